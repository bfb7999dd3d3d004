//! Items of a watch as JSON: the same words as `Changed` in `twins.proto`.

use pollux_proto::feed::{Fit, Live};
use pollux_proto::{convert, json_view};
use pollux_twin::change::CommandState;
use pollux_twin::value::Object;
use pollux_twin::{Change, Effect, Time, TwinKey, Value};

use super::object;
use crate::router::WatchItem;
use crate::watch::Committed;

/// The name of an event, its position (empty if it has none) and its body; `None` for a change
/// that only marks a number or a key as used.
pub(super) fn of(item: WatchItem) -> Option<(&'static str, String, Value)> {
    Some(match item {
        WatchItem::Picture { key, view } => {
            ("twin", String::new(), json_view::document(&key, &view))
        }
        WatchItem::PictureDone { position } => ("picture_complete", position, Value::object()),
        WatchItem::Reset { reason } => {
            ("position_lost", String::new(), object([("detail", reason.into())]))
        }
        WatchItem::Change { what, fit, position } => {
            ("changed", position, changed(&what, fit.as_ref())?)
        }
        // Told in batches to callers of gRPC alone.
        WatchItem::Changes { .. } => return None,
        WatchItem::Telemetry { live, left_out } => {
            ("telemetry", String::new(), heard(live, left_out))
        }
        WatchItem::Progress { position } => ("progress", position, Value::object()),
    })
}

fn heard(live: Live, left_out: u64) -> Value {
    let (tenant, device) = live.key.split_once('/').unwrap_or(("", &live.key));
    let values: Object = live.values.iter().cloned().collect();
    let body = object([
        ("tenant", tenant.into()),
        ("device", device.into()),
        ("at_ms", live.at.ms.into()),
        ("values", values.into()),
        ("left_out", left_out.into()),
    ]);
    with_observed(body, live.observed_at)
}

/// Nothing, if it says nothing and is no news to a filter.
fn changed(committed: &Committed, fit: Option<&Fit>) -> Option<Value> {
    let Committed { key, change, versions, .. } = committed;
    let what = what(key, versions.section, change);
    if what.is_none() && !fit.is_some_and(Fit::is_news) {
        return None;
    }
    let mut body = object([
        ("tenant", key.tenant().into()),
        ("device", key.device().into()),
        ("version", versions.twin.into()),
        ("at_ms", change.at.ms.into()),
    ]);
    if let Some((what, value)) = what {
        body = with(body, what, Some(value));
    }
    let (fit, twin) = match fit {
        None => return Some(body),
        Some(Fit::Entered(view)) => ("entered", Some(json_view::document(key, view))),
        Some(Fit::Stayed) => ("stayed", None),
        Some(Fit::Left) => ("left", None),
        Some(Fit::Undecided) => ("undecided", None),
    };
    Some(with(with(body, "match", Some(fit.into())), "twin", twin))
}

fn what(key: &TwinKey, section_version: u64, change: &Change) -> Option<(&'static str, Value)> {
    Some(match &change.effect {
        Effect::None => return None,
        Effect::Patched { section, patch, whole, observed_at, by } => {
            let content = if *whole { "whole" } else { "merge" };
            let known = [
                ("section", section.name().into()),
                ("version", section_version.into()),
                (content, patch.clone()),
                ("by", by.as_str().into()),
            ];
            ("patched", with_observed(object(known), *observed_at))
        }
        Effect::Telemetry { values, observed_at } => {
            let values: Object = values.iter().cloned().collect();
            ("telemetry", with_observed(object([("values", values.into())]), *observed_at))
        }
        Effect::Connected { session, incarnation: _, node } => {
            ("connected", object([("session", (*session).into()), ("node", (*node).into())]))
        }
        Effect::Disconnected { session } => {
            ("disconnected", object([("session", (*session).into())]))
        }
        Effect::DesiredAcked { version, refused } => {
            let body = object([("version", (*version).into())]);
            ("desired_ack", with(body, "refused", refused.as_deref().map(Value::from)))
        }
        Effect::CommandQueued(command) => ("command_queued", json_view::command(command)),
        Effect::CommandMoved { id, state } => ("command_moved", moved(*id, state)),
        Effect::Registered(entry) => {
            ("registered", convert::device_json(&convert::device_to_v1(key, entry)))
        }
        Effect::Buried { .. } | Effect::Forgotten => return None,
        Effect::Deleted { by } => ("deleted", object([("by", by.as_str().into())])),
    })
}

fn moved(id: u64, state: &CommandState) -> Value {
    let (name, more) = match state {
        CommandState::Queued => ("queued", None),
        CommandState::Delivering { .. } => ("delivering", None),
        CommandState::Done { answer } => ("done", Some(("answer", answer.clone()))),
        CommandState::Failed { reason } => ("failed", Some(("reason", reason.as_str().into()))),
        CommandState::Expired => ("expired", None),
        CommandState::Cancelled => ("cancelled", None),
        CommandState::Unknown => ("unknown", None),
    };
    let body = object([("id", id.into()), ("state", name.into())]);
    match more {
        Some((member, value)) => with(body, member, Some(value)),
        None => body,
    }
}

fn with_observed(body: Value, observed_at: Option<Time>) -> Value {
    with(body, "observed_at_ms", observed_at.map(|time| time.ms.into()))
}

/// With one more member, if there is one.
pub(super) fn with(mut body: Value, name: &str, value: Option<Value>) -> Value {
    if let (Value::Object(members), Some(value)) = (&mut body, value) {
        members.insert(name.to_owned(), value);
    }
    body
}

#[cfg(test)]
mod tests {
    use pollux_twin::change::Section;
    use pollux_twin::table::Versions;
    use std::sync::Arc;

    use pollux_twin::Mark;

    use super::*;

    #[test]
    fn a_change_tells_what_changed_and_where_to_resume() {
        let effect = Effect::Patched {
            section: Section::Desired,
            patch: object([("speed", 3_u64.into())]),
            whole: false,
            observed_at: None,
            by: "billing".to_owned(),
        };
        let item = |effect, fit| {
            let key = TwinKey::parse("pump-1").unwrap();
            let change = Change { at: Time::from_ms(5), mark: Mark::None, effect };
            let versions = Versions { twin: 9, section: 4 };
            let what = Arc::new(Committed::new(key, change, versions));
            WatchItem::Change { what, fit, position: "here".to_owned() }
        };
        let (name, position, body) = of(item(effect, None)).unwrap();
        assert_eq!((name, position.as_str()), ("changed", "here"));
        assert_eq!(
            body.to_json(),
            r#"{"at_ms":5,"device":"pump-1","patched":{"by":"billing","merge":{"speed":3},"section":"desired","version":4},"tenant":"default","version":9}"#
        );
        assert_eq!(of(item(Effect::None, None)), None, "a mark alone is nobody's news");
        assert_eq!(of(item(Effect::None, Some(Fit::Stayed))), None);
        let (_, _, body) = of(item(Effect::None, Some(Fit::Left))).unwrap();
        let left = r#"{"at_ms":5,"device":"pump-1","match":"left","tenant":"default","version":9}"#;
        assert_eq!(body.to_json(), left);
    }
}
