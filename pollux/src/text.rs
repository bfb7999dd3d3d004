//! Twins and commands in lines for people.

use pollux_proto::v1;

use crate::render;

/// A twin in a few lines.
pub(crate) fn twin(twin: &v1::Twin) -> String {
    let mut lines = vec![summary(twin)];
    let sections = [("tags", &twin.tags), ("desired", &twin.desired), ("reported", &twin.reported)];
    let version = |section: &v1::SectionContent| format!("v{}", section.version);
    let versions = sections.iter().filter_map(|(_, section)| section.as_ref()).map(version);
    // A restored cluster has long ones.
    let width = versions.map(|version| version.len() + 2).max().unwrap_or(0).max(8);
    let names = 10 + width;
    for (name, section) in sections {
        let Some(section) = section else { continue };
        let version = version(section);
        let by = match section.changed_by.as_str() {
            "" => String::new(),
            by => format!("  (by {by})"),
        };
        lines.push(format!("  {name:<10}{version:<width$}{}{by}", section.json));
    }
    if twin.delta_json != "{}" {
        lines.push(format!("  {:<names$}{}", "delta", twin.delta_json));
    }
    for latest in &twin.telemetry {
        let volatile = if latest.volatile { "  (volatile)" } else { "" };
        lines.push(format!("  {:<names$}{} = {}{volatile}", "telemetry", latest.name, latest.json));
    }
    if let Some(ack) = &twin.desired_ack {
        let said = match &ack.refused {
            Some(reason) => format!("refused: {reason}"),
            None => "done".into(),
        };
        lines.push(format!("  {:<names$}v{} {said}", "desired ack", ack.version));
    }
    for command in &twin.commands {
        lines.push(format!("  {:<names$}{}", "command", self::command(command)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_apart_with_long_versions() {
        let section = |version, json: &str| {
            Some(v1::SectionContent { version, json: json.into(), ..Default::default() })
        };
        let shown = |version| {
            let shown = twin(&v1::Twin {
                tags: section(0, "{}"),
                desired: section(version, "{\"n\":1}"),
                delta_json: "{\"n\":1}".into(),
                ..Default::default()
            });
            let columns = shown.lines().skip(1).map(|line| line.find('{').expect("it has JSON"));
            columns.collect::<Vec<_>>()
        };
        assert_eq!(shown(3), [20, 20, 20]);
        assert_eq!(shown(1_000_000_000), [25, 25, 25]);
    }
}
