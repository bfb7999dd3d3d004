//! `pollux device enroll --device-addr …`: a device enrols over QUIC, by the SDK that devices have.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pollux_device::enrol::{DeviceKey, Enrolment};
use pollux_device::{Endpoint, EnrolError, Fault, Identity, Trust};
use pollux_proto::v1;
use pollux_twin::TwinKey;

use crate::args::{EnrollArgs, Output};
use crate::enrolment::{pem, tell};
use crate::exit::{Exit, Failure};

/// Only its owner may read a key.
const PRIVATE: u32 = 0o600;

/// Asks the nodes' device endpoints.
pub(crate) async fn over_quic(
    output: Output,
    device: &TwinKey,
    args: EnrollArgs,
    key: Option<DeviceKey>,
    claim: Option<(String, String)>,
    csr_pem: &str,
) -> Result<(), Failure> {
    let ca = args.server_ca.as_deref().map(pem).transpose()?.unwrap_or_default();
    let trust = Trust::from_pem(ca.as_bytes()).map_err(usage)?;
    // Whatever is given must have a place to be kept.
    let key_file = args.new_key.as_deref().map(new_file).transpose()?;
    let (nodes, name) = (args.device_addr, args.enrolment.as_str());
    let mut asked = match (key, claim) {
        (Some(key), _) => Enrolment::by_key(nodes, name, device.device(), &key, &trust),
        (None, claim) => {
            let (certificate, key) = claim.unwrap_or_default();
            let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
            let claim = Identity::from_pem_trusting(certificate, key, &trust).map_err(usage)?;
            Enrolment::by_claim(nodes, name, device.device(), claim)
        }
    };
    asked = asked.tenant(device.tenant());
    if let Some(name) = &args.server_name {
        asked = asked.server_name(name);
    }
    asked = match (&key_file, csr_pem) {
        (Some(_), _) => asked.certificate(),
        (None, "") => asked,
        (None, csr) => asked.csr(csr),
    };
    let endpoint = Endpoint::open().map_err(|error| Failure::new(Exit::Failed, error))?;
    let got = asked.enrol(&endpoint).await;
    endpoint.wait_idle().await;
    let got = match got {
        Ok(got) => got,
        Err(error) => {
            // An empty file would stand in the way of the next try.
            let _ = args.new_key.as_deref().map(std::fs::remove_file);
            return Err(failure(&error));
        }
    };
    if let (Some(mut file), Some(key)) = (key_file, &got.key) {
        let written = file.write_all(key.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| Failure::new(Exit::Failed, format!("write the key: {error}")))?;
    }
    tell(
        output,
        &v1::ProvisionResponse {
            tenant: device.tenant().to_owned(),
            device: device.device().to_owned(),
            token: got.token.unwrap_or_default(),
            certificate_pem: got.certificate.unwrap_or_default(),
            expires_at_ms: got.expires_at_ms.unwrap_or_default(),
            server_ca_pem: got.server_ca,
        },
    )
}

fn new_file(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("write {}: {error}", path.display()))
            .next("name a file that is not there yet")
    })
}

fn usage(fault: Fault) -> Failure {
    Failure::new(Exit::Usage, fault).next("name PEM files with certificates and their keys")
}

fn failure(error: &EnrolError) -> Failure {
    let (exit, next) = match error {
        EnrolError::Refused { .. } => (Exit::Refused, "see docs/provisioning.md for what helps"),
        EnrolError::Busy { .. } => (Exit::Unavailable, "try again later"),
        EnrolError::Unreachable { .. } => (
            Exit::Unavailable,
            "name device endpoints of nodes with --device-addr; it is safe to ask again",
        ),
        EnrolError::Unsupported { .. } => (Exit::Failed, "leave --device-addr out to come by gRPC"),
        EnrolError::Protocol { .. } => {
            (Exit::Failed, "see that --device-addr names a node of Pollux")
        }
        EnrolError::Options(_) => (Exit::Usage, ""),
    };
    Failure::new(exit, error).next(next)
}
