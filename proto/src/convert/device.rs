//! The registry's calls, and its entries as messages.

use pollux_twin::input::Request;
use pollux_twin::limits::{CREDENTIALS_MAX, GROUPS_MAX};
use pollux_twin::registration::{
    Credential, Digest, OfType, Proof, Registration, RegistryRequest, Standing,
};
use pollux_twin::twin::Restorable;
use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Rejection, Time, TwinKey, Value};

use super::call::{Call, call, wrong};
use super::json;
use crate::hex::{from_hex, hex};
use crate::json_view::object;
use crate::v1;

/// `Devices.Register`.
pub fn register(
    request: v1::RegisterDeviceRequest,
    limits: &JsonLimits,
) -> Result<Call, Rejection> {
    let patch = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => json(field, text, limits).map(Some),
    };
    let tags = patch("tags_json", &request.tags_json)?;
    let desired = patch("desired_json", &request.desired_json)?;
    if request.credentials.len() > CREDENTIALS_MAX {
        let max = u32::try_from(CREDENTIALS_MAX).unwrap_or(u32::MAX);
        return Err(Rejection::TooMany { what: "credentials".into(), max });
    }
    let credentials = request.credentials.into_iter().map(credential).collect::<Result<_, _>>()?;
    let of_type = named_type(request.r#type);
    if request.groups.len() > GROUPS_MAX {
        let max = u32::try_from(GROUPS_MAX).unwrap_or(u32::MAX);
        return Err(Rejection::TooMany { what: "groups of one device".into(), max });
    }
    let groups = request.groups;
    let asked = RegistryRequest::Register { tags, desired, credentials, of_type, groups };
    of(&request.tenant, &request.device, request.idempotency_key, asked)
}

/// What a call says of a device's type: nothing, that it has none, or which; its version is the node's to know.
fn named_type(name: String) -> Option<OfType> {
    match name.as_str() {
        "" => None,
        NO_TYPE => Some(OfType::default()),
        _ => Some(OfType { name, version: 0 }),
    }
}

/// Stands where a device shall have no type any more.
const NO_TYPE: &str = "-";

/// `Devices.Get`.
pub fn get_device(request: &v1::GetDeviceRequest) -> Result<Call, Rejection> {
    of(&request.tenant, &request.device, String::new(), RegistryRequest::Get)
}

/// `Devices.Disable`.
pub fn disable(request: v1::DisableDeviceRequest) -> Result<Call, Rejection> {
    let v1::DisableDeviceRequest { tenant, device, reason, idempotency_key } = request;
    of(&tenant, &device, idempotency_key, RegistryRequest::Disable { reason })
}

/// `Devices.Enable`.
pub fn enable(request: v1::EnableDeviceRequest) -> Result<Call, Rejection> {
    of(&request.tenant, &request.device, request.idempotency_key, RegistryRequest::Enable)
}

/// A device whose twin was deleted, with what is known of it.
pub fn deleted_device(key: &TwinKey, found: Restorable) -> v1::DeletedDevice {
    let is_back = found.deleted.is_none();
    let (at, deleted_by) = found.deleted.unwrap_or_default();
    v1::DeletedDevice {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        restorable_until_ms: found.until.ms,
        deleted_at_ms: at.ms,
        deleted_by,
        is_back,
    }
}

/// The same as JSON.
pub fn deleted_device_json(device: &v1::DeletedDevice) -> Value {
    let mut members = Object::from([
        ("tenant".to_owned(), device.tenant.as_str().into()),
        ("device".to_owned(), device.device.as_str().into()),
        ("restorable_until_ms".to_owned(), device.restorable_until_ms.into()),
        ("is_back".to_owned(), Value::Bool(device.is_back)),
    ]);
    if !device.is_back {
        members.insert("deleted_at_ms".to_owned(), device.deleted_at_ms.into());
        members.insert("deleted_by".to_owned(), device.deleted_by.as_str().into());
    }
    Value::Object(members)
}

/// `Devices.Restore`.
pub fn restore(request: v1::RestoreDeviceRequest) -> Result<Call, Rejection> {
    of(&request.tenant, &request.device, request.idempotency_key, RegistryRequest::Restore)
}

/// `Devices.GiveCredential`.
pub fn give_credential(request: v1::GiveCredentialRequest) -> Result<Call, Rejection> {
    let Some(given) = request.credential else {
        return Err(wrong("credential: none given; name one with its hash"));
    };
    let (name, proof, expires) = credential(given)?;
    let give = RegistryRequest::Give { name, proof, expires };
    of(&request.tenant, &request.device, request.idempotency_key, give)
}

/// `Devices.RevokeCredential`.
pub fn revoke_credential(request: v1::RevokeCredentialRequest) -> Result<Call, Rejection> {
    let v1::RevokeCredentialRequest { tenant, device, name, idempotency_key } = request;
    of(&tenant, &device, idempotency_key, RegistryRequest::Revoke { name })
}

fn of(tenant: &str, device: &str, key: String, asked: RegistryRequest) -> Result<Call, Rejection> {
    call(tenant, device, key, Request::Registry(Box::new(asked)))
}

fn credential(given: v1::NewCredential) -> Result<(String, Proof, Option<Time>), Rejection> {
    use v1::new_credential::Proof as Given;
    let proof = match &given.proof {
        Some(Given::TokenSha256(text)) => Proof::Token(digest("token_sha256", text)?),
        Some(Given::CertificateSha256(text)) => {
            Proof::Certificate(digest("certificate_sha256", text)?)
        }
        None => {
            return Err(wrong("credential: has no hash; set token_sha256 or certificate_sha256"));
        }
    };
    let expires = (given.expires_at_ms > 0).then(|| Time::from_ms(given.expires_at_ms));
    Ok((given.name, proof, expires))
}

/// A hash from 64 hexadecimal digits.
///
/// # Errors
/// When it is something else; `field` names it there.
pub fn digest(field: &str, text: &str) -> Result<Digest, Rejection> {
    from_hex(text)
        .ok_or_else(|| wrong(&format!("{field}: is no SHA-256; give it as 64 hexadecimal digits")))
}

/// An entry as a message.
pub fn device_to_v1(key: &TwinKey, entry: &Registration) -> v1::Device {
    let standing = match entry.standing {
        Standing::Unregistered => v1::Standing::Unregistered,
        Standing::Enabled => v1::Standing::Enabled,
        Standing::Disabled => v1::Standing::Disabled,
    };
    v1::Device {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        standing: standing.into(),
        at_ms: entry.at.ms,
        by: entry.by.clone(),
        reason: entry.reason.clone(),
        credentials: entry.credentials.iter().map(credential_to_v1).collect(),
        r#type: entry.of_type.as_ref().map(|of| of.name.clone()).unwrap_or_default(),
        type_version: entry.of_type.as_ref().map_or(0, |of| of.version),
        groups: entry.groups.clone(),
        enrolled_by: entry.enrolled.as_ref().map(|one| one.by.clone()).unwrap_or_default(),
    }
}

fn credential_to_v1(one: &Credential) -> v1::Credential {
    use v1::credential::Proof as Shown;
    let proof = match &one.proof {
        Proof::Token(_) => Shown::Token(true),
        Proof::Certificate(digest) => Shown::CertificateSha256(hex(digest)),
    };
    v1::Credential {
        name: one.name.clone(),
        proof: Some(proof),
        expires_at_ms: one.expires.map_or(0, |end| end.ms),
        at_ms: one.at.ms,
        by: one.by.clone(),
    }
}

/// Whether a device may come, as its message says.
pub fn standing_of(device: &v1::Device) -> Standing {
    match device.standing() {
        v1::Standing::Enabled => Standing::Enabled,
        v1::Standing::Disabled => Standing::Disabled,
        v1::Standing::Unregistered | v1::Standing::Unspecified => Standing::Unregistered,
    }
}

/// An entry as JSON, as HTTP answers it and the command line prints it.
pub fn device_json(device: &v1::Device) -> Value {
    let credentials: Vec<Value> = device.credentials.iter().map(credential_json).collect();
    let known = [
        ("tenant", device.tenant.as_str().into()),
        ("device", device.device.as_str().into()),
        ("standing", standing_of(device).name().into()),
        ("credentials", credentials.into()),
    ];
    let decided = [("at_ms", device.at_ms.into()), ("by", device.by.as_str().into())];
    let decided = decided.into_iter().filter(|_| device.at_ms > 0);
    let of_type =
        [("type", device.r#type.as_str().into()), ("type_version", device.type_version.into())];
    let of_type = of_type.into_iter().filter(|_| !device.r#type.is_empty());
    let groups: Vec<Value> = device.groups.iter().map(|name| name.as_str().into()).collect();
    let groups = (!groups.is_empty()).then(|| ("groups", groups.into()));
    let enrolled = (!device.enrolled_by.is_empty())
        .then(|| ("enrolled_by", device.enrolled_by.as_str().into()));
    let reason = (!device.reason.is_empty()).then(|| ("reason", device.reason.as_str().into()));
    object(
        known.into_iter().chain(decided).chain(reason).chain(of_type).chain(groups).chain(enrolled),
    )
}

fn credential_json(one: &v1::Credential) -> Value {
    use v1::credential::Proof as Shown;
    let kind = match &one.proof {
        Some(Shown::CertificateSha256(_)) => "certificate",
        Some(Shown::Token(_)) | None => "token",
    };
    let sha256 = match &one.proof {
        Some(Shown::CertificateSha256(digest)) => Some(("sha256", digest.as_str().into())),
        Some(Shown::Token(_)) | None => None,
    };
    let known = [
        ("name", one.name.as_str().into()),
        ("kind", kind.into()),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    let expires = (one.expires_at_ms > 0).then(|| ("expires_at_ms", one.expires_at_ms.into()));
    object(known.into_iter().chain(sha256).chain(expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(hex(&digest("x", &text).unwrap()), text);
        assert_eq!(digest("x", &text.to_uppercase()), digest("x", &text));
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0g".repeat(32), &"é".repeat(32)]
        {
            let said = digest("token_sha256", bad).unwrap_err();
            assert!(format!("{said:?}").contains("token_sha256: is no SHA-256"), "{bad}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let entry = Registration {
            standing: Standing::Enabled,
            at: Time::from_ms(5),
            by: "ops".into(),
            reason: String::new(),
            of_type: None,
            groups: Vec::new(),
            enrolled: None,
            credentials: [("t", Proof::Token([7; 32])), ("c", Proof::Certificate([8; 32]))]
                .map(|(name, proof)| Credential {
                    name: name.into(),
                    proof,
                    expires: Some(Time::from_ms(9)),
                    at: Time::from_ms(4),
                    by: "ops".into(),
                })
                .into(),
        };
        let device = device_to_v1(&TwinKey::parse("acme/pump").unwrap(), &entry);
        let pinned = hex(&[8; 32]);
        assert_eq!(
            device_json(&device).to_json(),
            format!(
                r#"{{"at_ms":5,"by":"ops","credentials":[{{"at_ms":4,"by":"ops","expires_at_ms":9,"kind":"token","name":"t"}},{{"at_ms":4,"by":"ops","expires_at_ms":9,"kind":"certificate","name":"c","sha256":"{pinned}"}}],"device":"pump","standing":"enabled","tenant":"acme"}}"#
            )
        );
    }

    #[test]
    fn a_call_without_a_hash_says_what_is_missing() {
        let request = v1::GiveCredentialRequest { device: "d".into(), ..Default::default() };
        let said = give_credential(request.clone()).unwrap_err();
        assert!(format!("{said:?}").contains("credential: none given"));
        let credential = Some(v1::NewCredential { name: "t".into(), ..Default::default() });
        let said =
            give_credential(v1::GiveCredentialRequest { credential, ..request }).unwrap_err();
        assert!(format!("{said:?}").contains("set token_sha256 or certificate_sha256"));
    }
}
