//! A device to register, as a line of a file of very many.

use pollux_twin::limits::DEPTH_CEILING;
use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Value};

use super::device::register;
use crate::limits::DEVICE_LINE_BYTES_MAX;
use crate::{status, v1};

/// A device as a line of JSON says it: `{"device": …, "tenant": …, "tags": …, "desired": …, "type": …, "groups": […],
/// "credentials": […]}`, of which only the device's name is required. Sizes of sections and their depth are the node's
/// to judge, which has them configured.
///
/// # Errors
/// Says what is wrong with it, for people.
pub fn device_line(text: &[u8]) -> Result<v1::RegisterDeviceRequest, String> {
    let limits = JsonLimits { bytes_max: DEVICE_LINE_BYTES_MAX, depth_max: DEPTH_CEILING };
    let value = Value::from_json(text, &limits).map_err(|error| error.to_string())?;
    let Value::Object(mut members) = value else {
        return Err("takes an object with the device's name".to_owned());
    };
    let patch = |value: Option<Value>| value.map_or(String::new(), |patch| patch.to_json());
    let credentials = match members.remove("credentials") {
        None => Vec::new(),
        Some(Value::Array(all)) => all.into_iter().map(credential).collect::<Result<_, _>>()?,
        Some(_) => return Err("credentials takes an array".to_owned()),
    };
    let device = v1::RegisterDeviceRequest {
        tenant: string(&mut members, "tenant")?,
        device: string(&mut members, "device")?,
        tags_json: patch(members.remove("tags")),
        desired_json: patch(members.remove("desired")),
        credentials,
        idempotency_key: String::new(),
        r#type: string(&mut members, "type")?,
        groups: strings(&mut members, "groups")?,
    };
    no_more(&members, "tenant, device, tags, desired, credentials, type and groups")?;
    let checked = register(device.clone(), &limits);
    checked.map_err(|rejection| status::message(&rejection))?;
    Ok(device)
}

fn credential(value: Value) -> Result<v1::NewCredential, String> {
    use v1::new_credential::Proof;
    let Value::Object(mut members) = value else {
        return Err("a credential is an object with its name and a hash".to_owned());
    };
    let name = string(&mut members, "name")?;
    let token = string(&mut members, "token_sha256")?;
    let certificate = string(&mut members, "certificate_sha256")?;
    let proof = match (token.is_empty(), certificate.is_empty()) {
        (false, true) => Proof::TokenSha256(token),
        (true, false) => Proof::CertificateSha256(certificate),
        _ => {
            return Err(format!(
                "credential {name:?} takes one of token_sha256, certificate_sha256"
            ));
        }
    };
    let expires_at_ms = match members.remove("expires_at_ms") {
        None => 0,
        Some(Value::Int(ms)) if ms >= 0 => ms.unsigned_abs(),
        Some(_) => return Err("expires_at_ms takes milliseconds since 1970".to_owned()),
    };
    no_more(&members, "name, token_sha256 or certificate_sha256, and expires_at_ms")?;
    Ok(v1::NewCredential { name, proof: Some(proof), expires_at_ms })
}

fn string(members: &mut Object, name: &str) -> Result<String, String> {
    match members.remove(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{name} takes a string")),
    }
}

fn strings(members: &mut Object, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{name} takes an array of strings");
    let string = |item| match item {
        Value::String(text) => Ok(text),
        _ => Err(wrong()),
    };
    match members.remove(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) => all.into_iter().map(string).collect(),
        Some(_) => Err(wrong()),
    }
}

fn no_more(members: &Object, right: &str) -> Result<(), String> {
    match members.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("has no member {name:?}; it takes {right}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_device() {
        let digest = "ab".repeat(32);
        let text = format!(
            r#"{{"device":"p","tags":{{"site":"north"}},"credentials":[{{"name":"t","token_sha256":"{digest}","expires_at_ms":7}}]}}"#
        );
        let device = device_line(text.as_bytes()).unwrap();
        assert_eq!(device.tags_json, r#"{"site":"north"}"#);
        assert_eq!((device.desired_json.as_str(), device.credentials.len()), ("", 1));
    }

    #[test]
    fn what_is_no_device_is_told() {
        for (text, said) in [
            ("nonsense", "byte 0"),
            ("[]", "takes an object"),
            ("{}", "device: "),
            (r#"{"device":"a/b"}"#, "device: "),
            (r#"{"device":5}"#, "device takes a string"),
            (r#"{"device":"p","tag":{}}"#, "no member \"tag\""),
            (r#"{"device":"p","credentials":[{"name":"t"}]}"#, "one of token_sha256"),
            (
                r#"{"device":"p","credentials":[{"name":"t","token_sha256":"zz"}]}"#,
                "64 hexadecimal digits",
            ),
        ] {
            let message = device_line(text.as_bytes()).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
