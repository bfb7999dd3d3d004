//! Artifacts and their keys as JSON, as HTTP answers them and the command line prints them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pollux_twin::Value;

use crate::hex::hex;
use crate::json_view::object;
use crate::v1;

/// An artifact.
pub fn artifact_json(one: &v1::Artifact) -> Value {
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        ("version", one.version.as_str().into()),
        ("size", one.size.into()),
        ("sha256", hex(&one.sha256).into()),
        ("media_type", one.media_type.as_str().into()),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    let signed = (!one.signature.is_empty()).then(|| {
        [("signature", STANDARD.encode(&one.signature).into()), ("key", one.key.as_str().into())]
    });
    object(known.into_iter().chain(signed.into_iter().flatten()))
}

/// A key that artifacts are signed by.
pub fn artifact_key_json(one: &v1::ArtifactKey) -> Value {
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        ("public_key", STANDARD.encode(&one.public_key).into()),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    let note = (!one.note.is_empty()).then(|| ("note", one.note.as_str().into()));
    object(known.into_iter().chain(note))
}
