//! `pollux type …` and `pollux group …`: calls of the Types and Groups services.

use std::path::Path;

use pollux_proto::{convert, v1};
use serde_json::{Value, json};

use crate::access::{table, when};
use crate::args::{GroupCommand, NamedThing, Output, TenantFlags, TypeCommand};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print;
use crate::render::parsed;

/// Carries out a verb about types.
pub(crate) async fn types(output: Output, command: TypeCommand) -> Result<(), Failure> {
    match command {
        TypeCommand::Put { named, file, note } => {
            let schemas_json = read(&file)?;
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::PutTypeRequest { tenant, name, schemas_json, note };
            let put = client.types().put(client.request(request)).await?;
            show_type(output, put.get_ref())
        }
        TypeCommand::Get(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::GetTypeRequest { tenant, name };
            show_type(output, client.types().get(client.request(request)).await?.get_ref())
        }
        TypeCommand::List(TenantFlags { tenant, client }) => {
            let client = Client::connect(&client).await?;
            let request = v1::ListTypesRequest { tenant };
            let types = client.types().list(client.request(request)).await?.into_inner().types;
            let row = |one: &v1::DeviceType| {
                vec![
                    one.name.clone(),
                    one.version.to_string(),
                    when(one.at_ms),
                    one.by.clone(),
                    one.note.clone(),
                ]
            };
            let rows = types.iter().map(row).collect();
            let text = table(&["NAME", "VERSION", "SINCE", "BY", "NOTE"], rows);
            let all: Vec<_> = types.iter().map(|one| json_of(&convert::type_json(one))).collect();
            print::result(output, &text, &json!({ "types": all }))
        }
        TypeCommand::Remove(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::RemoveTypeRequest { tenant, name: name.clone() };
            client.types().remove(client.request(request)).await?;
            print::result(output, &format!("type {name} is gone"), &json!({}))
        }
    }
}

/// Carries out a verb about groups.
pub(crate) async fn groups(output: Output, command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::Put { named, filter, note } => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::PutGroupRequest { tenant, name, filter, note };
            show_group(output, client.groups().put(client.request(request)).await?.get_ref())
        }
        GroupCommand::Get(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::GetGroupRequest { tenant, name };
            show_group(output, client.groups().get(client.request(request)).await?.get_ref())
        }
        GroupCommand::List(TenantFlags { tenant, client }) => {
            let client = Client::connect(&client).await?;
            let request = v1::ListGroupsRequest { tenant };
            let groups = client.groups().list(client.request(request)).await?.into_inner().groups;
            let rows = groups
                .iter()
                .map(|one| vec![one.name.clone(), one.filter.clone(), one.note.clone()]);
            let text = table(&["NAME", "FILTER", "NOTE"], rows.collect());
            let all: Vec<_> = groups.iter().map(|one| json_of(&convert::group_json(one))).collect();
            print::result(output, &text, &json!({ "groups": all }))
        }
        GroupCommand::Remove(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::RemoveGroupRequest { tenant, name: name.clone() };
            client.groups().remove(client.request(request)).await?;
            print::result(output, &format!("group {name} is gone"), &json!({}))
        }
        GroupCommand::Add { named, devices } => {
            let (client, tenant, name) = reach(&named).await?;
            let request = client.request(v1::ChangeMembersRequest { tenant, name, devices });
            show_moved(output, client.groups().add(request).await?.get_ref())
        }
        GroupCommand::TakeOut { named, devices } => {
            let (client, tenant, name) = reach(&named).await?;
            let request = client.request(v1::ChangeMembersRequest { tenant, name, devices });
            show_moved(output, client.groups().take_out(request).await?.get_ref())
        }
        GroupCommand::Members { named, limit, cursor } => {
            let (client, tenant, name) = reach(&named).await?;
            let request = v1::MembersRequest { tenant, name, limit, cursor };
            let found = client.groups().members(client.request(request)).await?.into_inner();
            let mut lines = found.devices.clone();
            if !found.cursor.is_empty() {
                lines.push(format!("there are more: --cursor {}", found.cursor));
            }
            let json = json!({ "devices": found.devices, "next_cursor": found.cursor });
            print::result(output, &lines.join("\n"), &json)
        }
    }
}

pub(crate) async fn reach(named: &NamedThing) -> Result<(Client, String, String), Failure> {
    let (tenant, name) = named.name.split_once('/').unwrap_or(("", &named.name));
    let client = Client::connect(&named.client).await?;
    Ok((client, tenant.to_owned(), name.to_owned()))
}

/// What a file says, `-` being standard input.
fn read(file: &Path) -> Result<String, Failure> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    text.map_err(|error| {
        Failure::new(Exit::Usage, format!("read {}: {error}", file.display()))
            .next("name a file of JSON, or - for standard input")
    })
}

pub(crate) fn json_of(value: &pollux_twin::Value) -> Value {
    parsed(&value.to_json())
}

fn show_type(output: Output, one: &v1::DeviceType) -> Result<(), Failure> {
    let json = json_of(&convert::type_json(one));
    let schemas = serde_json::to_string_pretty(&json["schemas"]).unwrap_or_default();
    let note = if one.note.is_empty() { String::new() } else { format!(" ({})", one.note) };
    let by = format!("by {}, {}", one.by, when(one.at_ms));
    let text =
        format!("{}/{}  version {}{note}\n  {by}\n{schemas}", one.tenant, one.name, one.version);
    print::result(output, &text, &json)
}

fn show_group(output: Output, one: &v1::Group) -> Result<(), Failure> {
    let whose = match one.filter.as_str() {
        "" => "devices are put in".to_owned(),
        filter => filter.to_owned(),
    };
    let note = if one.note.is_empty() { String::new() } else { format!(" ({})", one.note) };
    let text = format!("{}/{}  {whose}{note}", one.tenant, one.name);
    print::result(output, &text, &json_of(&convert::group_json(one)))
}

fn show_moved(output: Output, moved: &v1::ChangeMembersResponse) -> Result<(), Failure> {
    for one in &moved.refused {
        print::note(&format!("{}: {}", one.device, one.message));
    }
    let many = |count: u64| if count == 1 { "device" } else { "devices" };
    let text = format!("{} {} done", moved.done, many(moved.done));
    print::result(output, &text, &json_of(&convert::moved_json(moved)))?;
    match moved.refused.len() as u64 {
        0 => Ok(()),
        count => {
            let message = format!("{count} {} refused; the others are done", many(count));
            Err(Failure::new(Exit::Refused, message))
        }
    }
}
