//! Whether callers are checked, and by whose tokens. Owns that a door for others is open only where that was said.

use std::path::PathBuf;

use pollux_cluster::limits::SUBJECT_BYTES_MAX;

use super::super::checked::{AccessConfig, AccessMode, IssuerConfig, Listen};
use super::{Checks, Written};

pub(super) fn check(checks: &mut Checks<'_>, config: &Written, listen: Listen) -> AccessConfig {
    AccessConfig { mode: mode(checks, config, listen), issuer: issuer(checks, config) }
}

fn mode(checks: &mut Checks<'_>, config: &Written, listen: Listen) -> AccessMode {
    let doors = [("listen.grpc", listen.grpc), ("listen.http", listen.http)];
    match config.access.mode.as_str() {
        "open" => AccessMode::Open,
        "enforced" => AccessMode::Enforced,
        "auto" => {
            for (key, address) in doors.into_iter().filter(|(_, at)| !at.ip().is_loopback()) {
                let right = "others can reach that, and nobody is checked there: set access.mode = \"enforced\" and \
                             make the first operator with `pollux access bootstrap`, or say access.mode = \"open\" if \
                             whoever reaches it may do everything";
                checks.refuse(key, address, right);
            }
            AccessMode::Open
        }
        other => {
            checks.refuse("access.mode", format!("{other:?}"), "it takes auto, open or enforced");
            AccessMode::Enforced
        }
    }
}

fn issuer(checks: &mut Checks<'_>, config: &Written) -> Option<IssuerConfig> {
    let access = &config.access;
    let keys = [
        ("access.jwt_issuer", &access.jwt_issuer),
        ("access.jwt_audience", &access.jwt_audience),
        ("access.jwt_keys", &access.jwt_keys),
    ];
    if keys.iter().all(|(_, value)| value.is_empty()) {
        return None;
    }
    for (key, value) in keys {
        if value.is_empty() {
            let right = "it belongs to the other two of jwt_issuer, jwt_audience and jwt_keys: set all three";
            checks.refuse(key, "empty", right);
        }
    }
    for (key, value) in &keys[..2] {
        if value.len() > SUBJECT_BYTES_MAX {
            let right = format!("it takes up to {SUBJECT_BYTES_MAX} bytes");
            checks.refuse(key, format!("{} bytes long", value.len()), right);
        }
    }
    if !access.jwt_keys.is_empty()
        && let Err(error) = std::fs::File::open(&access.jwt_keys)
    {
        let right = format!("it takes a file with a JSON Web Key Set that can be read: {error}");
        checks.refuse("access.jwt_keys", format!("{:?}", access.jwt_keys), right);
    }
    Some(IssuerConfig {
        issuer: access.jwt_issuer.clone(),
        audience: access.jwt_audience.clone(),
        keys: PathBuf::from(&access.jwt_keys),
    })
}
