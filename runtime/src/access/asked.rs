//! Which action a call is, and on what. Owns the parts of a twin that a write is about; leaves the decision to the
//! policies.

use pollux_cluster::access::{Access, Action, Decision, Fit, On, Path, ROOT, Refused};
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::registration::RegistryRequest;
use pollux_twin::{Rejection, TwinKey, Value};

use crate::limits::WRITTEN_PARTS_MAX;
use crate::router::Scope;

/// The policies, and what is said of their filters.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    access: &'a Access,
    fits: &'a dyn Fn(&str) -> Fit,
}

impl<'a> By<'a> {
    pub(super) const fn new(access: &'a Access, fits: &'a dyn Fn(&str) -> Fit) -> Self {
        Self { access, fits }
    }

    /// Where no twin is at hand: what depends on it is let through, to be decided where it is.
    pub(super) const fn without_twin(access: &'a Access) -> Self {
        Self { access, fits: &|_| Fit::Depends }
    }
}

/// The right to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// It is there.
    Given,
    /// It is there with some twins.
    Depends,
}

/// Whether a principal may call a twin.
pub(super) fn call(
    by: By<'_>,
    principal: &str,
    key: &TwinKey,
    request: &Request,
) -> Result<Right, Rejection> {
    let action = match request {
        Request::Get | Request::GetCommand { .. } => Action::TwinRead,
        Request::Patch { .. } => Action::TwinWrite,
        Request::Delete { .. } => Action::TwinDelete,
        Request::Command { .. } | Request::CancelCommand { .. } => Action::CommandSend,
        Request::Registry(request) if **request == RegistryRequest::Get => Action::TwinRead,
        Request::Registry(request) if request.is_delete() => Action::TwinDelete,
        Request::Registry(_) => Action::DeviceManage,
    };
    let (tenant, device) = (key.tenant(), key.device());
    if let Request::Patch { section, patch, whole, .. } = request {
        return write(by, principal, key, (*section, patch, *whole));
    }
    let mut right = let_through(by, principal, action, On::Twin { tenant, device })?;
    // Registering writes, too, and nobody may by another name what is denied.
    let Request::Registry(request) = request else { return Ok(right) };
    if **request == RegistryRequest::Restore {
        return Ok(right.max(restore(by, principal, key)?));
    }
    let RegistryRequest::Register { tags, desired, .. } = &**request else { return Ok(right) };
    for (section, patch) in [(Section::Tags, tags), (Section::Desired, desired)] {
        if let Some(patch) = patch {
            right = right.max(write(by, principal, key, (section, patch, false))?);
        }
    }
    Ok(right)
}

/// Whether a principal may write all that a restored twin gets back.
fn restore(by: By<'_>, principal: &str, key: &TwinKey) -> Result<Right, Rejection> {
    let (tenant, device) = (key.tenant(), key.device());
    let paths = [Section::Tags, Section::Desired].map(|section| Path(vec![section.name().into()]));
    let_through(by, principal, Action::TwinWrite, On::Parts { tenant, device, paths: &paths })
}

/// Whether a principal may write a section, or what of it a patch is about.
fn write(
    by: By<'_>,
    principal: &str,
    key: &TwinKey,
    (section, patch, whole): (Section, &Value, bool),
) -> Result<Right, Rejection> {
    let (tenant, device, action) = (key.tenant(), key.device(), Action::TwinWrite);
    // Most may write all of a section: what exactly is written is looked at only where that is not so.
    let section = Path(vec![section.name().to_owned()]);
    let all = On::Parts { tenant, device, paths: std::slice::from_ref(&section) };
    let refused = match let_through(by, principal, action, all) {
        Err(refused) if !whole => refused,
        decided => return decided,
    };
    let Some(paths) = written(section.clone(), patch) else {
        let on = format!("{all}: a patch of more than {WRITTEN_PARTS_MAX} parts takes all of it");
        return Err(forbidden(action, on));
    };
    if paths.len() == 1 && paths[0].0.len() == 1 {
        return Err(refused);
    }
    let_through(by, principal, action, On::Parts { tenant, device, paths: &paths })
}

/// Whether a principal may do something to all twins of a scope; one whose right depends on them may not.
pub(super) fn scope(
    by: By<'_>,
    principal: &str,
    action: Action,
    scope: &Scope,
) -> Result<(), Rejection> {
    match on(scope) {
        Some(on) => decided(by, principal, action, on),
        // Only whoever has a node's disk: no policy is about the twins of all tenants at once.
        None if principal == ROOT => Ok(()),
        None => Err(forbidden(action, "all tenants")),
    }
}

/// A scope as policies have it; nothing for the twins of all tenants.
pub(super) fn on(scope: &Scope) -> Option<On<'_>> {
    match scope {
        Scope::One(key) => Some(On::Twin { tenant: key.tenant(), device: key.device() }),
        Scope::Prefix { tenant, prefix } | Scope::Part { tenant, prefix, .. } => {
            Some(On::Fleet { tenant, prefix })
        }
        Scope::All => None,
    }
}

/// What the policies say; what depends on a twin is refused.
pub(super) fn decided(
    by: By<'_>,
    principal: &str,
    action: Action,
    on: On<'_>,
) -> Result<(), Rejection> {
    match by.access.decide_by(principal, action, on, by.fits) {
        Decision::Allowed { .. } => Ok(()),
        Decision::Refused(Refused::Nothing { on }) => Err(forbidden(action, on)),
        Decision::Refused(_) | Decision::Depends { .. } => Err(forbidden(action, on)),
    }
}

/// What the policies say; what depends on a twin is let through.
fn let_through(
    by: By<'_>,
    principal: &str,
    action: Action,
    on: On<'_>,
) -> Result<Right, Rejection> {
    match by.access.decide_by(principal, action, on, by.fits) {
        Decision::Allowed { .. } => Ok(Right::Given),
        Decision::Depends { .. } => Ok(Right::Depends),
        Decision::Refused(Refused::Nothing { on }) => Err(forbidden(action, on)),
        Decision::Refused(_) => Err(forbidden(action, on)),
    }
}

fn forbidden(action: Action, on: impl ToString) -> Rejection {
    Rejection::Forbidden { action: action.name().to_owned(), on: on.to_string() }
}

/// The parts that a merge patch writes: what it sets, removes or empties. Nothing where they are too many to be looked at
/// one by one.
fn written(section: Path, patch: &Value) -> Option<Vec<Path>> {
    let mut paths = Vec::new();
    let mut left = vec![(section, patch)];
    while let Some((path, value)) = left.pop() {
        match value {
            Value::Object(members) if !members.is_empty() => {
                // Each of them ends in a part, or in several.
                if paths.len() + left.len() + members.len() > WRITTEN_PARTS_MAX {
                    return None;
                }
                left.extend(members.iter().map(|(key, value)| {
                    let mut keys = path.0.clone();
                    keys.push(key.clone());
                    (Path(keys), value)
                }));
            }
            _ => paths.push(path),
        }
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use pollux_cluster::access::{Policy, Principal};
    use pollux_twin::JsonLimits;

    use super::*;

    fn access(sections: &[&str]) -> Access {
        let mut access = Access::default();
        access.principals.insert("svc".into(), Principal::default());
        let policy = Policy {
            principals: vec!["svc".into()],
            actions: vec!["twin:write".into()],
            on: vec!["acme/*".parse().unwrap()],
            sections: sections.iter().map(|text| text.parse().unwrap()).collect(),
            ..Policy::default()
        };
        access.policies.insert("p".into(), policy);
        access
    }

    #[test]
    fn registering_writes_what_may_be_written_only() {
        let mut access = access(&["desired.limits"]);
        let policy = Policy {
            principals: vec!["svc".into()],
            actions: vec!["device:manage".into()],
            on: vec!["acme/*".parse().unwrap()],
            ..Policy::default()
        };
        access.policies.insert("m".into(), policy);
        let key = TwinKey::parse("acme/pump").unwrap();
        let register = |desired: Option<&str>| {
            let read = |text| Value::from_json(text, &JsonLimits::default()).unwrap();
            let request = RegistryRequest::Register {
                tags: None,
                desired: desired.map(read),
                credentials: Vec::new(),
                of_type: None,
                groups: Vec::new(),
            };
            let request = Request::Registry(Box::new(request));
            call(By::without_twin(&access), "svc", &key, &request)
        };
        assert_eq!(register(None), Ok(Right::Given));
        assert_eq!(register(Some(r#"{"limits":{"max":1}}"#)), Ok(Right::Given));
        assert!(register(Some(r#"{"secret":1}"#)).is_err());
    }

    fn write(sections: &[&str], patch: &str, whole: bool) -> Result<Right, Rejection> {
        let patch = Value::from_json(patch, &JsonLimits::default()).unwrap();
        let patch = Request::Patch { section: Section::Desired, patch, whole, expected: None };
        let (access, key) = (access(sections), TwinKey::parse("acme/pump").unwrap());
        call(By::without_twin(&access), "svc", &key, &patch)
    }

    /// A patch of so many parts.
    fn many(parts: usize) -> String {
        let members: Vec<_> = (0..parts).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{\"limits\":{{{}}}}}", members.join(","))
    }

    #[test]
    fn a_write_is_allowed_where_all_its_parts_are() {
        let limits = &["desired.limits"][..];
        for (sections, patch, whole, refused_on) in [
            (&[][..], r#"{"a":1}"#, false, ""),
            (&["desired"], r#"{"a":1}"#, true, ""),
            (limits, r#"{"limits":{"max":3,"min":null}}"#, false, ""),
            (limits, r#"{"limits":null}"#, false, ""),
            (limits, r#"{"limits":{}}"#, false, ""),
            (limits, r#"{"limits":{"max":3},"a":1}"#, false, "acme/pump desired.a"),
            (limits, r#"{"limits":{"max":3}}"#, true, "acme/pump desired"),
            (limits, r"{}", false, "acme/pump desired"),
            (&["tags"], r#"{"a":1}"#, false, "acme/pump desired.a"),
            (limits, &many(WRITTEN_PARTS_MAX), false, ""),
            (
                limits,
                &many(WRITTEN_PARTS_MAX + 1),
                false,
                "acme/pump desired: a patch of more than 256 parts takes all of it",
            ),
            (&["desired"], &many(WRITTEN_PARTS_MAX + 1), false, ""),
        ] {
            match (write(sections, patch, whole), refused_on) {
                (Ok(Right::Given), "") => {}
                (Err(Rejection::Forbidden { on, .. }), expected) => assert_eq!(on, expected),
                (other, _) => panic!("{patch}: {other:?}"),
            }
        }
    }
}
