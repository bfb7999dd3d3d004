//! `pollux enrolment …` and `pollux device enroll`: by what devices that nobody registered come.

use std::path::Path;

use pollux_device::enrol::DeviceKey;
use pollux_proto::hex::hex;
use pollux_proto::{convert, v1};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki;
use pollux_twin::id::DEFAULT_TENANT;
use serde_json::json;

use crate::access::{table, when};
use crate::args::{
    ClaimCertArgs, EnrollArgs, EnrolmentArgs, EnrolmentCommand, Output, TenantFlags,
};
use crate::client::{self, Client};
use crate::enroll;
use crate::exit::{Exit, Failure};
use crate::fleet::{json_of, reach};
use crate::print;

/// Carries out a verb about enrolments.
pub(crate) async fn run(output: Output, command: EnrolmentCommand) -> Result<(), Failure> {
    match command {
        EnrolmentCommand::Put(args) => put(output, args).await,
        EnrolmentCommand::Get(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = client.request(v1::GetEnrolmentRequest { tenant, name });
            let one = client.enrolments().get(request).await?.into_inner();
            print::result(output, &text(&one), &json_of(&convert::enrolment_json(&one)))
        }
        EnrolmentCommand::List(TenantFlags { tenant, client }) => {
            let client = Client::connect(&client).await?;
            let request = client.request(v1::ListEnrolmentsRequest { tenant });
            let all = client.enrolments().list(request).await?.into_inner().enrolments;
            let row = |one: &v1::Enrolment| {
                let most = if one.most == 0 { String::new() } else { one.most.to_string() };
                let end =
                    if one.expires_at_ms == 0 { String::new() } else { when(one.expires_at_ms) };
                let disabled = if one.disabled { "disabled".to_owned() } else { String::new() };
                vec![
                    one.name.clone(),
                    one.prefix.clone(),
                    one.r#type.clone(),
                    one.enrolled.to_string(),
                    most,
                    end,
                    disabled,
                ]
            };
            let head = ["NAME", "PREFIX", "TYPE", "ENROLLED", "MOST", "UNTIL", "STATE"];
            let text = table(&head, all.iter().map(row).collect());
            let json: Vec<_> =
                all.iter().map(|one| json_of(&convert::enrolment_json(one))).collect();
            print::result(output, &text, &json!({ "enrolments": json }))
        }
        EnrolmentCommand::Remove(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let request = client.request(v1::RemoveEnrolmentRequest { tenant, name: name.clone() });
            client.enrolments().remove(request).await?;
            print::result(output, &format!("enrolment {name} is gone"), &json!({}))
        }
        EnrolmentCommand::ClaimCert(args) => claim_cert(output, &args),
        EnrolmentCommand::DeviceKey { device, key_file } => {
            let key = client::key(&device)?;
            let own = DeviceKey::derive(&secret(&key_file)?, key.tenant(), key.device());
            let own = hex(&own.reveal());
            print::result(output, &own, &json!({"device": device, "key": own}))
        }
    }
}

async fn put(output: Output, args: EnrolmentArgs) -> Result<(), Failure> {
    let tags_json = args.tags.as_deref().map(client::json).transpose()?.unwrap_or_default();
    let until = |good_for: std::time::Duration| {
        let ms = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX);
        Clock::new().wall().plus_ms(ms).ms
    };
    let (client, tenant, name) = reach(&args.named).await?;
    let enrolment = v1::Enrolment {
        tenant,
        name: name.clone(),
        prefix: args.prefix,
        r#type: args.of_type,
        groups: args.groups,
        tags_json,
        expires_at_ms: args.good_for.map_or(0, until),
        most: args.most,
        days: args.days,
        disabled: args.disabled,
        note: args.note,
        claim_ca_pem: args.claim_ca.as_deref().map(pem).transpose()?.unwrap_or_default(),
        claim_sha256: args.claim_cert.as_deref().map(print_of).transpose()?.unwrap_or_default(),
        ..Default::default()
    };
    let (enrolment, new_key) = (Some(enrolment), args.new_key);
    let request = client.request(v1::PutEnrolmentRequest { enrolment, new_key });
    let put = client.enrolments().put(request).await?.into_inner();
    let one = put.enrolment.unwrap_or_default();
    let mut json = json_of(&convert::enrolment_json(&one));
    if put.key.is_empty() {
        return print::result(output, &text(&one), &json);
    }
    // Alone on standard output, so that it can be piped to where it belongs.
    print::note(&format!("key of enrolment {name}; it is not shown again"));
    json["key"] = json!(put.key);
    print::result(output, &put.key, &json)
}

/// A device asks for its credential.
pub(crate) async fn enroll(output: Output, args: EnrollArgs) -> Result<(), Failure> {
    let key = client::key(&args.one.device)?;
    let own = match (&args.device_key_file, &args.key_file) {
        (Some(file), _) => Some(DeviceKey::new(secret(file)?)),
        (None, Some(file)) => Some(DeviceKey::derive(&secret(file)?, key.tenant(), key.device())),
        // TLS shows that it has the certificate's key.
        (None, None) => None,
    };
    let identity = match (&args.claim_cert, &args.claim_key) {
        (Some(cert), Some(key)) => Some((pem(cert)?, pem(key)?)),
        _ => None,
    };
    let csr_pem = match &args.csr {
        None => String::new(),
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::new(Exit::Usage, format!("read {}: {error}", file.display()))
                .next("name a PEM file with a certificate signing request")
        })?,
    };
    if !args.device_addr.is_empty() {
        return enroll::over_quic(output, &key, args, own, identity, &csr_pem).await;
    }
    let at_ms = Clock::new().wall().ms;
    let claim =
        own.map(|own| own.claim(key.tenant(), &args.enrolment, key.device(), at_ms, &csr_pem));
    let client = Client::connect_as(&args.one.client, identity).await?;
    let request = v1::ProvisionRequest {
        tenant: key.tenant().to_owned(),
        enrolment: args.enrolment,
        device: key.device().to_owned(),
        at_ms,
        csr_pem,
        hmac_sha256: claim.unwrap_or_default(),
    };
    let got = client.enrolments().provision(client.request(request)).await?.into_inner();
    tell(output, &got)
}

/// Prints what a device got.
pub(crate) fn tell(output: Output, got: &v1::ProvisionResponse) -> Result<(), Failure> {
    let credential = if got.token.is_empty() { &got.certificate_pem } else { &got.token };
    let (tenant, device) = (&got.tenant, &got.device);
    print::note(&format!("credential of {tenant}/{device}; it is not shown again"));
    print::result(output, credential, &json_of(&convert::provisioned_json(got)))
}

/// Makes a certificate that a batch of devices shares.
fn claim_cert(output: Output, args: &ClaimCertArgs) -> Result<(), Failure> {
    let (tenant, name) = args.name.split_once('/').unwrap_or((DEFAULT_TENANT, &args.name));
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("issue a certificate for {tenant}/{name}: {error}")).next(
            "run it where the key of the device CA is: on the first node of the cluster, whose data directory \
             --data-dir names",
        )
    };
    let (dir, now) = (args.data_dir.join(pki::PKI_DIR), Clock::new().wall());
    if !dir.is_dir() {
        return Err(failed(&format_args!("{} is no folder", dir.display())));
    }
    let issued = pki::device_authority(&dir, now)
        .and_then(|authority| authority.issue_claim(tenant, name, now, args.days));
    let issued = issued.map_err(|error| failed(&error))?;
    let file = |extension: &str| args.out.join(format!("{tenant}-{name}-claim.{extension}"));
    let (cert, key) = (file("pem"), file("key"));
    std::fs::create_dir_all(&args.out).map_err(|error| failed(&error))?;
    issued.write(&cert, &key).map_err(|error| failed(&error))?;
    let print = hex(&pki::sha256(&issued.chain()[0]));
    let text = format!(
        "certificate  {}\nprivate key  {}\nSHA-256      {print}",
        cert.display(),
        key.display()
    );
    print::result(output, &text, &json!({"certificate": cert, "key": key, "sha256": print}))
}

/// What a PEM file says.
pub(crate) fn pem(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("read {}: {error}", file.display()))
            .next("name a PEM file that can be read")
    })
}

/// The SHA-256 of the certificate in a file.
fn print_of(file: &Path) -> Result<String, Failure> {
    let certificate = pki::certificate_of(file).map_err(|error| {
        Failure::new(Exit::Usage, &error).next("name a PEM file with the certificate")
    })?;
    Ok(hex(&pki::sha256(&certificate)))
}

/// A key of 64 hexadecimal digits in a file.
fn secret(file: &Path) -> Result<[u8; 32], Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{}: {why}", file.display()))
            .next("name a file with the key as `pollux enrolment put` printed it")
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    convert::digest("key", text.trim()).map_err(|_| wrong(&"it has no 64 hexadecimal digits"))
}

fn text(one: &v1::Enrolment) -> String {
    let mut parts = vec![format!("{}/{}  brought {}", one.tenant, one.name, one.enrolled)];
    let said = [
        (one.most > 0, format!("of at most {}", one.most)),
        (!one.prefix.is_empty(), format!("named {}…", one.prefix)),
        (!one.r#type.is_empty(), format!("of type {}", one.r#type)),
        (!one.groups.is_empty(), format!("in {}", one.groups.join(", "))),
        (one.expires_at_ms > 0, format!("until {}", when(one.expires_at_ms))),
        (one.disabled, "disabled".to_owned()),
        (!one.claim_ca_pem.is_empty(), "by certificates of a CA".to_owned()),
        (!one.claim_sha256.is_empty(), format!("by certificate {}", one.claim_sha256)),
    ];
    parts.extend(said.into_iter().filter(|(is, _)| *is).map(|(_, text)| text));
    parts.join(", ")
}
