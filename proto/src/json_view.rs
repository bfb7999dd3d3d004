//! The one JSON document of a twin, which HTTP answers and the command line prints.

use pollux_twin::change::{Command, CommandState};
use pollux_twin::twin::{DesiredAcked, Presence, SectionView, TelemetryView, View};
use pollux_twin::value::Object;
use pollux_twin::{Time, TwinKey, Value};

/// The document of a twin.
///
/// ```json
/// {"tenant":"default","device":"pump-1","version":7,
///  "tags":{},"desired":{},"reported":{},"delta":{},
///  "versions":{"tags":0,"desired":3,"reported":4},
///  "meta":{"reported":{"at_ms":1,"by":"device","leaves":{"/speed":{"at_ms":1}}}},
///  "presence":{"connected":true,"since_ms":1,"last_seen_ms":1,"node":1,"session":2},
///  "telemetry":{"rssi":{"value":-61,"at_ms":1,"volatile":true,"session":2}},
///  "desired_ack":{"version":3,"at_ms":1},
///  "commands":[{"id":1,"name":"restart","state":"queued"}]}
/// ```
///
/// `meta` has the sections that were ever written; `session` stands there while connected;
/// `desired_ack` once the device spoke of a desired version; `quarantined` only if it is true.
pub fn document(key: &TwinKey, view: &View) -> Value {
    let sections = [("tags", &view.tags), ("desired", &view.desired), ("reported", &view.reported)];
    let mut out = summary_members(key, view);
    let mut set = |name: &str, value| out.insert(name.to_owned(), value);
    for (name, section) in sections {
        set(name, section.value.clone());
    }
    set("delta", view.delta.clone());
    set("versions", object(sections.map(|(name, section)| (name, section.version.into()))));
    let written = sections.into_iter().filter(|(_, section)| section.version > 0);
    set("meta", object(written.map(|(name, section)| (name, meta(section)))));
    let latest = view.telemetry.iter();
    set("telemetry", object(latest.map(|latest| (latest.name.as_str(), telemetry(latest)))));
    if let Some(ack) = &view.desired_acked {
        set("desired_ack", desired_ack(ack));
    }
    set("commands", Value::Array(view.commands.iter().map(command).collect()));
    out.into()
}

/// What a list shows of a twin: its name, version and presence.
pub fn summary(key: &TwinKey, view: &View) -> Value {
    summary_members(key, view).into()
}

/// The JSON of a command.
pub fn command(command: &Command) -> Value {
    let (state, more) = match &command.state {
        CommandState::Queued => ("queued", None),
        CommandState::Delivering { .. } => ("delivering", None),
        CommandState::Done { answer } => ("done", Some(("answer", answer.clone()))),
        CommandState::Failed { reason } => ("failed", Some(("reason", reason.as_str().into()))),
        CommandState::Expired => ("expired", None),
        CommandState::Cancelled => ("cancelled", None),
        CommandState::Unknown => ("unknown", None),
    };
    let known = [
        ("id", command.id.into()),
        ("name", command.name.as_str().into()),
        ("payload", command.payload.clone()),
        ("deadline_at_ms", command.deadline.ms.into()),
        ("at_ms", command.at.ms.into()),
        ("by", command.by.as_str().into()),
        ("state", state.into()),
    ];
    object(known.into_iter().chain(more))
}

fn summary_members(key: &TwinKey, view: &View) -> Object {
    let quarantined = view.quarantined.then(|| ("quarantined", true.into()));
    let known = [
        ("tenant", key.tenant().into()),
        ("device", key.device().into()),
        ("version", view.version.into()),
        ("presence", presence(&view.presence)),
    ];
    members(known.into_iter().chain(quarantined))
}

fn presence(presence: &Presence) -> Value {
    let known = [
        ("connected", (presence.session.is_some() && !presence.unknown).into()),
        ("since_ms", presence.since.ms.into()),
        ("last_seen_ms", presence.seen.ms.into()),
        ("node", presence.node.into()),
    ];
    let unknown = presence.unknown.then_some(("unknown", true.into()));
    let session = presence.session.map(|session| ("session", session.into()));
    object(known.into_iter().chain(unknown).chain(session))
}

fn meta(section: &SectionView) -> Value {
    let leaves = section.times.iter();
    object([
        ("at_ms", section.at.ms.into()),
        ("by", section.by.as_str().into()),
        (
            "leaves",
            object(leaves.map(|leaf| (leaf.path.as_str(), times(leaf.at, leaf.observed_at)))),
        ),
    ])
}

fn telemetry(latest: &TelemetryView) -> Value {
    let mut out = times_members(latest.at, latest.observed_at);
    out.insert("value".to_owned(), latest.value.clone());
    if let Some(session) = latest.volatile {
        out.insert("volatile".to_owned(), true.into());
        out.insert("session".to_owned(), session.into());
    }
    out.into()
}

fn desired_ack(ack: &DesiredAcked) -> Value {
    let known = [("version", ack.version.into()), ("at_ms", ack.at.ms.into())];
    let refused = ack.refused.as_deref().map(|reason| ("refused", reason.into()));
    object(known.into_iter().chain(refused))
}

fn times(at: Time, observed_at: Option<Time>) -> Value {
    times_members(at, observed_at).into()
}

fn times_members(at: Time, observed_at: Option<Time>) -> Object {
    let observed = observed_at.map(|time| ("observed_at_ms", time.ms.into()));
    members([("at_ms", at.ms.into())].into_iter().chain(observed))
}

pub(crate) fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    members(pairs).into()
}

fn members<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Object {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
