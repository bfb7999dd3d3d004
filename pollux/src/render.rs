//! Messages of pollux.v1 as the documents that the HTTP endpoint answers too, and as text.

use pollux_client::Event;
use pollux_proto::{convert, v1};
use serde_json::{Map, Value, json};

/// JSON that a node sent; it checked it, so anything else is shown as the text it is.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// A twin as one document.
pub(crate) fn twin(twin: &v1::Twin) -> Value {
    let mut out = summary_members(twin);
    let sections = [("tags", &twin.tags), ("desired", &twin.desired), ("reported", &twin.reported)];
    let (mut versions, mut meta) = (Map::new(), Map::new());
    for (name, section) in sections {
        let Some(section) = section else { continue };
        out.insert(name.into(), parsed(&section.json));
        versions.insert(name.into(), section.version.into());
        if section.version > 0 {
            meta.insert(name.into(), section_meta(section));
        }
    }
    out.insert("delta".into(), parsed(&twin.delta_json));
    out.insert("versions".into(), versions.into());
    out.insert("meta".into(), meta.into());
    let telemetry = twin.telemetry.iter().map(|latest| (latest.name.clone(), latest_value(latest)));
    out.insert("telemetry".into(), telemetry.collect::<Map<_, _>>().into());
    if let Some(ack) = &twin.desired_ack {
        out.insert("desired_ack".into(), desired_ack(ack));
    }
    out.insert("commands".into(), twin.commands.iter().map(command).collect());
    out.into()
}

/// A twin in a list: name, version, presence.
pub(crate) fn summary(twin: &v1::Twin) -> Value {
    summary_members(twin).into()
}

/// A command.
pub(crate) fn command(command: &v1::Command) -> Value {
    let mut out = json!({
        "id": command.id,
        "name": command.name,
        "payload": parsed(&command.payload_json),
        "deadline_at_ms": command.deadline_at_ms,
        "at_ms": command.at_ms,
        "by": command.by,
        "state": state(command.state),
    });
    if let Some(answer) = &command.answer_json {
        out["answer"] = parsed(answer);
    }
    if let Some(reason) = &command.reason {
        out["reason"] = reason.as_str().into();
    }
    out
}

/// The word for a command's state.
pub(crate) fn state(state: i32) -> String {
    lower(v1::CommandState::try_from(state).unwrap_or_default().as_str_name(), "COMMAND_STATE_")
}

/// The word for a section.
pub(crate) fn section(section: i32) -> String {
    lower(v1::Section::try_from(section).unwrap_or_default().as_str_name(), "SECTION_")
}

/// An event of a watch, with its position.
pub(crate) fn event(event: &Event, position: &str) -> Value {
    let (kind, mut body) = match event {
        Event::Twin(of) => ("twin", Map::from_iter([("twin".into(), twin(of))])),
        Event::Changed(changed) => changed_members(changed),
        Event::PictureComplete => ("picture_complete", Map::new()),
        Event::PositionLost => ("position_lost", Map::new()),
        Event::Progress => ("progress", Map::new()),
        Event::Telemetry(heard) => ("telemetry_heard", heard_members(heard)),
        Event::Sharing(sharing) => ("sharing", sharing_members(sharing)),
        _ => ("unknown", Map::new()),
    };
    body.insert("event".into(), kind.into());
    body.insert("position".into(), position.into());
    body.into()
}

fn sharing_members(
    v1::Sharing { consumer, shards, of, consumers }: &v1::Sharing,
) -> Map<String, Value> {
    let members = [
        ("consumer", json!(consumer)),
        ("shards", json!(shards)),
        ("of", json!(of)),
        ("consumers", json!(consumers)),
    ];
    members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn heard_members(heard: &v1::TelemetryHeard) -> Map<String, Value> {
    let values = heard.values.iter().map(|one| (one.name.clone(), parsed(&one.json)));
    let members = [
        ("tenant", json!(heard.tenant)),
        ("device", json!(heard.device)),
        ("at_ms", json!(heard.at_ms)),
        ("values", json!(values.collect::<Map<_, _>>())),
        ("left_out", json!(heard.left_out)),
    ];
    members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn changed_members(changed: &v1::Changed) -> (&'static str, Map<String, Value>) {
    use v1::changed::What;
    let (kind, what) = match &changed.what {
        None => ("heard", json!({})),
        Some(What::Patched(patched)) => ("patched", patch(patched)),
        Some(What::Telemetry(received)) => {
            let values = received.values.iter().map(|one| (one.name.clone(), latest_value(one)));
            ("telemetry", json!({ "values": values.collect::<Map<_, _>>() }))
        }
        Some(What::Connected(c)) => ("connected", json!({"session": c.session, "node": c.node})),
        Some(What::Disconnected(d)) => ("disconnected", json!({"session": d.session})),
        Some(What::DesiredAck(ack)) => ("desired_ack", desired_ack(ack)),
        Some(What::CommandQueued(queued)) => {
            ("command_queued", json!({"command": queued.command.as_ref().map(command)}))
        }
        Some(What::CommandMoved(moved)) => {
            let mut out = json!({"id": moved.id, "state": state(moved.state)});
            if let Some(answer) = &moved.answer_json {
                out["answer"] = parsed(answer);
            }
            if let Some(reason) = &moved.reason {
                out["reason"] = reason.as_str().into();
            }
            ("command_moved", out)
        }
        Some(What::Registered(device)) => {
            ("registered", parsed(&convert::device_json(device).to_json()))
        }
        Some(What::Deleted(deleted)) => ("deleted", json!({"by": deleted.by})),
    };
    let mut body = match what {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    body.insert("tenant".into(), changed.tenant.as_str().into());
    body.insert("device".into(), changed.device.as_str().into());
    body.insert("version".into(), changed.version.into());
    body.insert("at_ms".into(), changed.at_ms.into());
    if changed.r#match() != v1::Match::Unspecified {
        body.insert("match".into(), lower(changed.r#match().as_str_name(), "MATCH_").into());
    }
    if let Some(of) = &changed.twin {
        body.insert("twin".into(), twin(of));
    }
    (kind, body)
}

fn patch(patched: &v1::SectionPatched) -> Value {
    use v1::section_patched::Change;
    let mut out = json!({
        "section": section(patched.section),
        "section_version": patched.version,
        "by": patched.by,
    });
    match &patched.change {
        Some(Change::MergeJson(text)) => out["merge"] = parsed(text),
        Some(Change::WholeJson(text)) => out["whole"] = parsed(text),
        None => {}
    }
    if let Some(at) = patched.observed_at_ms {
        out["observed_at_ms"] = at.into();
    }
    out
}

fn summary_members(twin: &v1::Twin) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("tenant".into(), twin.tenant.as_str().into());
    out.insert("device".into(), twin.device.as_str().into());
    out.insert("version".into(), twin.version.into());
    let presence = twin.presence.unwrap_or_default();
    let mut shown = json!({
        "connected": presence.connected,
        "since_ms": presence.since_ms,
        "last_seen_ms": presence.last_seen_ms,
        "node": presence.node,
    });
    if presence.unknown {
        shown["unknown"] = true.into();
    }
    if presence.connected || presence.unknown {
        shown["session"] = presence.session.into();
    }
    out.insert("presence".into(), shown);
    if twin.quarantined {
        out.insert("quarantined".into(), true.into());
    }
    out
}

fn section_meta(section: &v1::SectionContent) -> Value {
    let leaves = section.leaf_times.iter().map(|leaf| {
        let mut times = json!({"at_ms": leaf.at_ms});
        if let Some(at) = leaf.observed_at_ms {
            times["observed_at_ms"] = at.into();
        }
        (leaf.path.clone(), times)
    });
    json!({
        "at_ms": section.changed_at_ms,
        "by": section.changed_by,
        "leaves": leaves.collect::<Map<_, _>>(),
    })
}

fn latest_value(latest: &v1::Telemetry) -> Value {
    let mut out = json!({"value": parsed(&latest.json), "at_ms": latest.at_ms});
    if let Some(at) = latest.observed_at_ms {
        out["observed_at_ms"] = at.into();
    }
    if latest.volatile {
        out["volatile"] = true.into();
        out["session"] = latest.session.into();
    }
    out
}

fn desired_ack(ack: &v1::DesiredAck) -> Value {
    let mut out = json!({"version": ack.version, "at_ms": ack.at_ms});
    if let Some(reason) = &ack.refused {
        out["refused"] = reason.as_str().into();
    }
    out
}

fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_exact() {
        let section = v1::SectionContent {
            json: "{\"n\":18446744073709551615,\"f\":1.0}".into(),
            version: 1,
            ..Default::default()
        };
        let document = twin(&v1::Twin { reported: Some(section), ..Default::default() });
        assert_eq!(document["reported"].to_string(), "{\"f\":1.0,\"n\":18446744073709551615}");
    }

    #[test]
    fn states_and_sections_have_their_words() {
        assert_eq!(state(v1::CommandState::Delivering.into()), "delivering");
        assert_eq!(section(v1::Section::Desired.into()), "desired");
    }
}
