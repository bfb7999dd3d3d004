//! `pollux device …`: calls of the Devices service.

use std::path::Path;

use pollux_client::NewDevice;
use pollux_proto::hex::hex;
use pollux_proto::{convert, v1};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::{self, sha256};
use pollux_twin::TwinKey;
use pollux_twin::registration::Standing;
use serde_json::json;

use crate::access::when;
use crate::args::{
    CredentialCommand, DeviceCommand, ListDevicesArgs, OneDevice, Output, QueryArgs, RegisterArgs,
    StandingName,
};
use crate::client::{self, Client};
use crate::exit::{Exit, Failure};
use crate::render::parsed;
use crate::{deleted, device, enrolment, import, print, query};

/// A day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Cert(args) => device::cert(output, &args),
        DeviceCommand::Register(args) => register(output, args).await,
        DeviceCommand::Import(args) => import::run(output, args).await,
        DeviceCommand::Get(one) => {
            let (client, key) = reach(&one).await?;
            show(output, &client.calls().devices().get(key.as_str()).await?)
        }
        DeviceCommand::List(args) if args.deleted => deleted::list(output, args).await,
        DeviceCommand::List(args) => query::run(output, listed(args)).await,
        DeviceCommand::Disable { one, reason } => {
            let (client, key) = reach(&one).await?;
            show(output, &client.calls().devices().disable(key.as_str(), &reason).await?)
        }
        DeviceCommand::Enable(one) => {
            let (client, key) = reach(&one).await?;
            show(output, &client.calls().devices().enable(key.as_str()).await?)
        }
        DeviceCommand::Restore(one) => {
            let (client, key) = reach(&one).await?;
            show(output, &client.calls().devices().restore(key.as_str()).await?)
        }
        DeviceCommand::Enroll(args) => enrolment::enroll(output, args).await,
        DeviceCommand::Credential(command) => credential(output, command).await,
    }
}

/// A list is a query for what the registry says.
fn listed(args: ListDevicesArgs) -> QueryArgs {
    let ListDevicesArgs { tenant, prefix, standing, deleted: _, limit, cursor, client } = args;
    let standing = standing.map(|standing| {
        let standing = match standing {
            StandingName::Unregistered => Standing::Unregistered,
            StandingName::Enabled => Standing::Enabled,
            StandingName::Disabled => Standing::Disabled,
        };
        format!("standing == \"{}\"", standing.name())
    });
    // As JSON, a text is written as the language of filters writes it.
    let begins = format!("id.startsWith({})", json!(prefix));
    let prefix = (!prefix.is_empty()).then_some(begins);
    let filter: Vec<_> = standing.into_iter().chain(prefix).collect();
    QueryArgs {
        filter: filter.join(" && "),
        tenant,
        select: vec!["standing".to_owned()],
        limit,
        cursor,
        order_by: Vec::new(),
        count: false,
        group_by: Vec::new(),
        explain: false,
        client,
    }
}

async fn register(output: Output, args: RegisterArgs) -> Result<(), Failure> {
    let json = |text: Option<String>| text.as_deref().map(client::json).transpose();
    let (tags, desired) = (json(args.tags)?, json(args.desired)?);
    let pins = args.certificate.iter().map(|text| {
        let (name, file) = text.split_once('=').ok_or_else(|| {
            let message = format!("--certificate {text}: has no name");
            Failure::new(Exit::Usage, message).next("write it as NAME=FILE")
        })?;
        pin(name.to_owned(), Path::new(file))
    });
    let credentials = pins.collect::<Result<Vec<_>, _>>()?;
    let (client, key) = reach(&args.one).await?;
    let mut device = NewDevice::new(key.as_str())
        .tags_json(tags.unwrap_or_default())
        .desired_json(desired.unwrap_or_default());
    for credential in credentials {
        device = device.credential(credential);
    }
    device = args.groups.iter().fold(device.of_type(args.of_type), NewDevice::group);
    show(output, &client.calls().devices().register(device).await?)
}

async fn credential(output: Output, command: CredentialCommand) -> Result<(), Failure> {
    match command {
        CredentialCommand::Token { one, name, days } => {
            let token = hex(&rand::random::<[u8; 32]>());
            let proof = v1::new_credential::Proof::TokenSha256(hex(&sha256(token.as_bytes())));
            let until = |days: u32| Clock::new().wall().plus_ms(u64::from(days) * DAY_MS).ms;
            let expires_at_ms = days.map_or(0, until);
            give(&one, v1::NewCredential { name: name.clone(), proof: Some(proof), expires_at_ms })
                .await?;
            // Alone on standard output, so that it can be piped to where it belongs.
            print::note(&format!("token {name:?} of {}; it is not shown again", one.device));
            print::result(output, &token, &json!({"name": name, "token": token}))
        }
        CredentialCommand::Certificate { one, name, file } => {
            show(output, &give(&one, pin(name, &file)?).await?)
        }
        CredentialCommand::Revoke { one, name } => {
            let (client, key) = reach(&one).await?;
            let devices = client.calls().devices();
            show(output, &devices.revoke_credential(key.as_str(), &name).await?)
        }
    }
}

async fn give(one: &OneDevice, credential: v1::NewCredential) -> Result<v1::Device, Failure> {
    let (client, key) = reach(one).await?;
    Ok(client.calls().devices().give_credential(key.as_str(), credential).await?)
}

async fn reach(one: &OneDevice) -> Result<(Client, TwinKey), Failure> {
    let key = client::key(&one.device)?;
    Ok((Client::connect(&one.client).await?, key))
}

/// The certificate in a file, as a credential.
fn pin(name: String, file: &Path) -> Result<v1::NewCredential, Failure> {
    let certificate = pki::certificate_of(file).map_err(|error| {
        Failure::new(Exit::Usage, error).next("name a PEM file with the device's certificate")
    })?;
    let digest = hex(&sha256(&certificate));
    let proof = Some(v1::new_credential::Proof::CertificateSha256(digest));
    Ok(v1::NewCredential { name, proof, expires_at_ms: 0 })
}

fn show(output: Output, device: &v1::Device) -> Result<(), Failure> {
    let json = parsed(&convert::device_json(device).to_json());
    print::result(output, &text(device), &json)
}

fn text(device: &v1::Device) -> String {
    let standing = convert::standing_of(device).name();
    let mut lines = vec![format!("{}/{}  {standing}", device.tenant, device.device)];
    if device.at_ms > 0 {
        let reason = match device.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        lines.push(format!("  by {}, {}{reason}", device.by, when(device.at_ms)));
    }
    if !device.r#type.is_empty() {
        lines.push(format!("  type {}, version {}", device.r#type, device.type_version));
    }
    if !device.groups.is_empty() {
        lines.push(format!("  groups {}", device.groups.join(", ")));
    }
    for one in &device.credentials {
        let kind = match &one.proof {
            Some(v1::credential::Proof::CertificateSha256(digest)) => {
                format!("certificate {digest}")
            }
            Some(v1::credential::Proof::Token(_)) | None => "token".to_owned(),
        };
        let end = match one.expires_at_ms {
            0 => String::new(),
            ms => format!(", until {}", when(ms)),
        };
        lines.push(format!("  {}  {kind}, given by {}{end}", one.name, one.by));
    }
    lines.join("\n")
}
