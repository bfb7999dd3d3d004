//! `pollux tenant …`: calls of the Tenants service.

use pollux_proto::{convert, v1};
use serde_json::json;

use crate::access::table;
use crate::args::{Output, TenantCommand};
use crate::client::Client;
use crate::exit::Failure;
use crate::fleet::json_of;
use crate::print;

/// Carries out a verb about tenants.
pub(crate) async fn run(output: Output, command: TenantCommand) -> Result<(), Failure> {
    match command {
        TenantCommand::List(client) => {
            let client = Client::connect(&client).await?;
            let request = client.request(v1::ListTenantsRequest {});
            let tenants = client.tenants().list(request).await?.into_inner().tenants;
            let rows = tenants.iter().map(|one| {
                let mut row = vec![one.tenant.clone()];
                row.extend(uses(one).map(|(_, used, limit)| of(used, limit)));
                row.push(one.note.clone());
                row
            });
            let text = table(
                &["TENANT", "DEVICES", "MESSAGES/S", "WRITES/S", "BYTES", "NOTE"],
                rows.collect(),
            );
            let all: Vec<_> =
                tenants.iter().map(|one| json_of(&convert::tenant_json(one))).collect();
            print::result(output, &text, &json!({ "tenants": all }))
        }
        TenantCommand::Show { tenant, client } => {
            let client = Client::connect(&client).await?;
            let request = client.request(v1::GetTenantRequest { tenant });
            show(output, client.tenants().get(request).await?.get_ref())
        }
        TenantCommand::Limit(asked) => {
            let client = Client::connect(&asked.client).await?;
            let limits = v1::TenantLimits {
                devices: asked.devices,
                messages_per_s: asked.messages_per_s,
                writes_per_s: asked.writes_per_s,
                bytes: asked.bytes,
            };
            let limits = Some(limits);
            let request = v1::LimitTenantRequest { tenant: asked.tenant, limits, note: asked.note };
            let limited = client.tenants().limit(client.request(request)).await?;
            show(output, limited.get_ref())
        }
    }
}

fn uses(one: &v1::Tenant) -> [(&'static str, u64, Option<u64>); 4] {
    let (limits, used) = (one.limits.unwrap_or_default(), one.r#use.unwrap_or_default());
    [
        ("devices", used.devices, limits.devices),
        ("messages/s", used.messages_per_s, limits.messages_per_s),
        ("writes/s", used.writes_per_s, limits.writes_per_s),
        ("bytes", used.bytes, limits.bytes),
    ]
}

fn of(used: u64, limit: Option<u64>) -> String {
    limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {limit}"))
}

fn show(output: Output, one: &v1::Tenant) -> Result<(), Failure> {
    let note = if one.note.is_empty() { String::new() } else { format!(" ({})", one.note) };
    let mut lines = vec![format!("{}{note}", one.tenant)];
    lines.extend(uses(one).map(|(what, used, limit)| format!("  {what:<11}{}", of(used, limit))));
    if !one.silent_nodes.is_empty() {
        let nodes: Vec<_> = one.silent_nodes.iter().map(ToString::to_string).collect();
        lines.push(format!("  without node {}, which did not answer", nodes.join(", ")));
    }
    print::result(output, &lines.join("\n"), &json_of(&convert::tenant_json(one)))
}
