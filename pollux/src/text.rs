//! Twins and commands in lines for people.

use pollux_proto::v1;

use crate::render;

/// A twin in a few lines.
pub(crate) fn twin(twin: &v1::Twin) -> String {
    let mut lines = vec![summary(twin)];
    let sections = [("tags", &twin.tags), ("desired", &twin.desired), ("reported", &twin.reported)];
    for (name, section) in sections {
        let Some(section) = section else { continue };
        let version = format!("v{}", section.version);
        let by = match section.changed_by.as_str() {
            "" => String::new(),
            by => format!("  (by {by})"),
        };
        lines.push(format!("  {name:<10}{version:<8}{}{by}", section.json));
    }
    if twin.delta_json != "{}" {
        lines.push(format!("  {:<18}{}", "delta", twin.delta_json));
    }
    for latest in &twin.telemetry {
        let volatile = if latest.volatile { "  (volatile)" } else { "" };
        lines.push(format!("  {:<18}{} = {}{volatile}", "telemetry", latest.name, latest.json));
    }
    if let Some(ack) = &twin.desired_ack {
        let said = match &ack.refused {
            Some(reason) => format!("refused: {reason}"),
            None => "done".into(),
        };
        lines.push(format!("  {:<18}v{} {said}", "desired ack", ack.version));
    }
    for command in &twin.commands {
        lines.push(format!("  {:<18}{}", "command", self::command(command)));
    }
    lines.join("\n")
}

/// A twin in one line.
pub(crate) fn summary(twin: &v1::Twin) -> String {
    let presence = twin.presence.unwrap_or_default();
    let there = match (presence.connected, presence.unknown, presence.last_seen_ms) {
        (true, ..) => format!("connected, session {}", presence.session),
        (_, true, _) => {
            format!("not heard of since its node started, session {}", presence.session)
        }
        (.., 0) => "never connected".into(),
        _ => "offline".into(),
    };
    let quarantined = if twin.quarantined { ", quarantined" } else { "" };
    format!("{}/{}  version {}, {there}{quarantined}", twin.tenant, twin.device, twin.version)
}

/// A command in one line.
pub(crate) fn command(command: &v1::Command) -> String {
    let payload = match command.payload_json.as_str() {
        "null" | "" => String::new(),
        payload => format!(" {payload}"),
    };
    let end = match (&command.answer_json, &command.reason) {
        (Some(answer), _) => format!(": {answer}"),
        (None, Some(reason)) => format!(": {reason}"),
        (None, None) => String::new(),
    };
    let state = render::state(command.state);
    format!("{} {}{payload}  {state}{end}", command.id, command.name)
}
