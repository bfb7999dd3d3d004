//! A job that has devices come for an artifact: where in desired it is named, and how. Owns the form of that.

use pollux_proto::v1;
use pollux_proto::v1::job_spec::Action;
use pollux_twin::value::Object;
use pollux_twin::{Rejection, Value};

use super::limits::{ARTIFACT_AT, ARTIFACT_AT_PART_MAX, ARTIFACT_AT_PARTS_MAX};
use super::plan::wrong;

/// What a job names, if it names an artifact.
pub(crate) trait Names {
    /// The artifact.
    fn artifact(&self) -> Option<&v1::JobArtifact>;

    /// The artifact, to be filled in.
    fn artifact_mut(&mut self) -> Option<&mut v1::JobArtifact>;
}

impl Names for v1::JobSpec {
    fn artifact(&self) -> Option<&v1::JobArtifact> {
        match &self.action {
            Some(Action::Artifact(artifact)) => Some(artifact),
            _ => None,
        }
    }

    fn artifact_mut(&mut self) -> Option<&mut v1::JobArtifact> {
        match &mut self.action {
            Some(Action::Artifact(artifact)) => Some(artifact),
            _ => None,
        }
    }
}

/// Whether a caller names an artifact as one may: what it is, the node fills in.
pub(crate) fn check(artifact: &v1::JobArtifact) -> Result<(), Rejection> {
    let filled = artifact.size > 0
        || [&artifact.sha256, &artifact.signature, &artifact.key].iter().any(|one| !one.is_empty());
    if filled {
        return Err(wrong("artifact: takes name, version and at; what it is, the node knows"));
    }
    parts(&artifact.at).map(drop)
}

/// Where in desired it is named.
fn parts(at: &str) -> Result<Vec<&str>, Rejection> {
    let at = if at.is_empty() { ARTIFACT_AT } else { at };
    let parts: Vec<_> = at.split('.').collect();
    let good = |part: &&str| {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        (1..=ARTIFACT_AT_PART_MAX).contains(&part.len()) && part.bytes().all(usable)
    };
    if parts.len() <= ARTIFACT_AT_PARTS_MAX && parts.iter().all(good) {
        return Ok(parts);
    }
    Err(wrong(format!(
        "artifact at {at:?}: it takes up to {ARTIFACT_AT_PARTS_MAX} names joined by dots, each of 1 to \
         {ARTIFACT_AT_PART_MAX} letters, digits, underscores and hyphens"
    )))
}

/// What is merged into desired. What the artifact lacks is taken away, should one before have had it.
pub(super) fn patch(artifact: &v1::JobArtifact) -> Result<Value, Rejection> {
    let text = |text: &String| match text.as_str() {
        "" => Value::Null,
        text => text.into(),
    };
    let members = [
        ("artifact", artifact.name.as_str().into()),
        ("version", artifact.version.as_str().into()),
        ("size", artifact.size.into()),
        ("sha256", artifact.sha256.as_str().into()),
        ("signature", text(&artifact.signature)),
        ("key", text(&artifact.key)),
    ];
    let members: Object =
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let named =
        parts(&artifact.at)?.into_iter().rev().fold(Value::Object(members), |inner, part| {
            Value::Object([(part.to_owned(), inner)].into_iter().collect())
        });
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_named_where_it_is_said() {
        let mut artifact = v1::JobArtifact {
            name: "fw".into(),
            version: "2".into(),
            size: 3,
            sha256: "ab".into(),
            ..Default::default()
        };
        let told = |artifact: &_| patch(artifact).unwrap().to_json();
        let inner =
            r#"{"artifact":"fw","key":null,"sha256":"ab","signature":null,"size":3,"version":"2"}"#;
        assert_eq!(told(&artifact), format!("{{\"firmware\":{inner}}}"));
        artifact.at = "software.app-1".into();
        assert_eq!(told(&artifact), format!("{{\"software\":{{\"app-1\":{inner}}}}}"));
        assert!(check(&artifact).is_err(), "what it is, the node fills in");
        for at in [".", "a..b", "a.", "ä", "a b", "a.b.c.d.e", &"x".repeat(65)] {
            let named = v1::JobArtifact { at: at.into(), ..Default::default() };
            assert!(format!("{:?}", check(&named)).contains("names joined by dots"), "{at}");
        }
    }
}
