//! Whether callers are checked, and by whose tokens. Owns that a door for others is open only where that was said.

use std::path::PathBuf;

use pollux_cluster::limits::SUBJECT_BYTES_MAX;

use super::super::checked::{AccessConfig, AccessMode, IssuerConfig, KeySource, Listen};
use super::super::keys::AccessSection;
use super::{Checks, DAY_MS, Written};
use crate::access::Place;

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
    let refresh = checks.ms("access.jwt_refresh_ms", access.jwt_refresh_ms, 1_000, DAY_MS);
    let named =
        [("access.jwt_issuer", &access.jwt_issuer), ("access.jwt_audience", &access.jwt_audience)];
    let rest = [&access.jwt_keys, &access.jwt_ca];
    if named.iter().map(|(_, value)| *value).chain(rest).all(String::is_empty) {
        return None;
    }
    for (key, value) in named {
        if value.is_empty() {
            let right =
                "it belongs to the others of jwt_issuer, jwt_audience and jwt_keys: set all three";
            checks.refuse(key, "empty", right);
        }
        if value.len() > SUBJECT_BYTES_MAX {
            let right = format!("it takes up to {SUBJECT_BYTES_MAX} bytes");
            checks.refuse(key, format!("{} bytes long", value.len()), right);
        }
    }
    if !access.jwt_ca.is_empty() {
        checks.readable("access.jwt_ca", &access.jwt_ca);
    }
    Some(IssuerConfig {
        issuer: access.jwt_issuer.clone(),
        audience: access.jwt_audience.clone(),
        keys: keys(checks, access),
        ca: (!access.jwt_ca.is_empty()).then(|| PathBuf::from(&access.jwt_ca)),
        refresh,
    })
}

/// Where the keys are.
fn keys(checks: &mut Checks<'_>, access: &AccessSection) -> KeySource {
    const KEY: &str = "access.jwt_keys";
    let text = &access.jwt_keys;
    if text.is_empty() {
        if let Err(problem) = Place::of_discovery(&access.jwt_issuer) {
            let right = format!(
                "without it jwt_issuer has to be a URL, where the issuer says where its keys are: {problem}; name a \
                 file or a URL with a JSON Web Key Set: set all three"
            );
            checks.refuse(KEY, "empty", right);
        }
        return KeySource::Discovered;
    }
    if text.contains("://") {
        if let Err(problem) = Place::parse(text) {
            checks.refuse(KEY, format!("{text:?}"), problem);
        }
        return KeySource::Url(text.clone());
    }
    if let Err(error) = std::fs::File::open(text) {
        let right = format!(
            "it takes a file with a JSON Web Key Set that can be read, or an https URL: {error}"
        );
        checks.refuse(KEY, format!("{text:?}"), right);
    }
    KeySource::File(PathBuf::from(text))
}
