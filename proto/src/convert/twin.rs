//! Twins and commands as messages, and back for those who ask.

use pollux_twin::change::{Command, CommandState};
use pollux_twin::twin::{DesiredAcked, LeafTime, Life, Presence, SectionView, TelemetryView, View};
use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Rejection, Time, TwinKey, Value};

use super::{json, key};
use crate::limits::{NODE_FRAME_BYTES_MAX, VALUE_DEPTH_MAX};
use crate::v1;

/// A twin as a message.
pub fn twin_to_v1(key: &TwinKey, view: &View) -> v1::Twin {
    v1::Twin {
        tags: Some(section(&view.tags)),
        desired: Some(section(&view.desired)),
        reported: Some(section(&view.reported)),
        delta_json: view.delta.to_json(),
        telemetry: view.telemetry.iter().map(telemetry).collect(),
        commands: view.commands.iter().map(command_to_v1).collect(),
        desired_ack: view.desired_acked.as_ref().map(|ack| v1::DesiredAck {
            version: ack.version,
            refused: ack.refused.clone(),
            at_ms: ack.at.ms,
        }),
        ..summary(key, view)
    }
}

/// What a list shows of a twin: its name, version and presence.
pub fn summary(key: &TwinKey, view: &View) -> v1::Twin {
    v1::Twin {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        version: view.version,
        presence: Some(v1::Presence {
            connected: view.presence.session.is_some() && !view.presence.unknown,
            since_ms: view.presence.since.ms,
            last_seen_ms: view.presence.seen.ms,
            node: view.presence.node,
            session: view.presence.session.unwrap_or(0),
            unknown: view.presence.unknown,
        }),
        quarantined: view.quarantined,
        ..v1::Twin::default()
    }
}

fn section(section: &SectionView) -> v1::SectionContent {
    let leaf_times = section.times.iter().map(|leaf| v1::LeafTime {
        path: leaf.path.clone(),
        at_ms: leaf.at.ms,
        observed_at_ms: leaf.observed_at.map(|time| time.ms),
    });
    v1::SectionContent {
        json: section.value.to_json(),
        version: section.version,
        changed_at_ms: section.at.ms,
        changed_by: section.by.clone(),
        leaf_times: leaf_times.collect(),
    }
}

fn telemetry(latest: &TelemetryView) -> v1::Telemetry {
    v1::Telemetry {
        name: latest.name.clone(),
        json: latest.value.to_json(),
        at_ms: latest.at.ms,
        observed_at_ms: latest.observed_at.map(|time| time.ms),
        volatile: latest.volatile.is_some(),
        session: latest.volatile.unwrap_or(0),
    }
}

/// A command as a message.
pub fn command_to_v1(command: &Command) -> v1::Command {
    let (state, answer_json, reason) = state_to_v1(&command.state);
    v1::Command {
        id: command.id,
        name: command.name.clone(),
        payload_json: command.payload.to_json(),
        deadline_at_ms: command.deadline.ms,
        at_ms: command.at.ms,
        by: command.by.clone(),
        state: state.into(),
        answer_json,
        reason,
    }
}

/// A command's state, its answer and its reason.
pub(super) fn state_to_v1(
    state: &CommandState,
) -> (v1::CommandState, Option<String>, Option<String>) {
    match state {
        CommandState::Queued => (v1::CommandState::Queued, None, None),
        CommandState::Delivering { .. } => (v1::CommandState::Delivering, None, None),
        CommandState::Done { answer } => (v1::CommandState::Done, Some(answer.to_json()), None),
        CommandState::Failed { reason } => (v1::CommandState::Failed, None, Some(reason.clone())),
        CommandState::Expired => (v1::CommandState::Expired, None, None),
        CommandState::Cancelled => (v1::CommandState::Cancelled, None, None),
        CommandState::Unknown => (v1::CommandState::Unknown, None, None),
    }
}

/// A message as the twin it shows. What a summary leaves out is empty; the session in which a
/// command is being delivered is not told, and comes back as the twin's own.
pub fn twin_from_v1(twin: &v1::Twin) -> Result<(TwinKey, View), Rejection> {
    let key = key(&twin.tenant, &twin.device)?;
    let presence = twin.presence.unwrap_or_default();
    let session = (presence.connected || presence.unknown).then_some(presence.session);
    let telemetry = twin.telemetry.iter().map(|latest| {
        Ok(TelemetryView {
            name: latest.name.clone(),
            value: answer_json("telemetry", &latest.json)?,
            at: Time::from_ms(latest.at_ms),
            observed_at: latest.observed_at_ms.map(Time::from_ms),
            volatile: latest.volatile.then_some(latest.session),
        })
    });
    let commands = twin.commands.iter().map(|command| command_of(command, session));
    let view = View {
        life: Life::Alive,
        quarantined: twin.quarantined,
        version: twin.version,
        tags: section_from(twin.tags.as_ref())?,
        desired: section_from(twin.desired.as_ref())?,
        reported: section_from(twin.reported.as_ref())?,
        delta: match twin.delta_json.as_str() {
            "" => Object::new().into(),
            text => answer_json("delta_json", text)?,
        },
        desired_acked: twin.desired_ack.as_ref().map(|ack| DesiredAcked {
            version: ack.version,
            refused: ack.refused.clone(),
            at: Time::from_ms(ack.at_ms),
        }),
        telemetry: telemetry.collect::<Result<_, Rejection>>()?,
        presence: Presence {
            session,
            unknown: presence.unknown,
            node: presence.node,
            since: Time::from_ms(presence.since_ms),
            seen: Time::from_ms(presence.last_seen_ms),
        },
        commands: commands.collect::<Result<_, Rejection>>()?,
    };
    Ok((key, view))
}

/// A message as the command it shows.
pub fn command_from_v1(command: &v1::Command) -> Result<Command, Rejection> {
    command_of(command, None)
}

fn section_from(section: Option<&v1::SectionContent>) -> Result<SectionView, Rejection> {
    let Some(section) = section else {
        return Ok(SectionView { value: Object::new().into(), ..SectionView::default() });
    };
    let times = section.leaf_times.iter().map(|leaf| LeafTime {
        path: leaf.path.clone(),
        at: Time::from_ms(leaf.at_ms),
        observed_at: leaf.observed_at_ms.map(Time::from_ms),
    });
    Ok(SectionView {
        version: section.version,
        at: Time::from_ms(section.changed_at_ms),
        by: section.changed_by.clone(),
        value: answer_json("section", &section.json)?,
        times: times.collect(),
    })
}

fn command_of(command: &v1::Command, session: Option<u64>) -> Result<Command, Rejection> {
    use v1::CommandState as S;
    let state = match command.state() {
        S::Queued => CommandState::Queued,
        S::Delivering => CommandState::Delivering { session: session.unwrap_or(0) },
        S::Done => {
            CommandState::Done { answer: answer_json("answer_json", command.answer_json())? }
        }
        S::Failed => CommandState::Failed { reason: command.reason().to_owned() },
        S::Expired => CommandState::Expired,
        S::Cancelled => CommandState::Cancelled,
        // A state of a newer version is one that this one does not know.
        S::Unknown | S::Unspecified => CommandState::Unknown,
    };
    Ok(Command {
        id: command.id,
        name: command.name.clone(),
        payload: answer_json("payload_json", &command.payload_json)?,
        deadline: Time::from_ms(command.deadline_at_ms),
        at: Time::from_ms(command.at_ms),
        by: command.by.clone(),
        state,
    })
}

/// JSON that a node answered: bounded only so that nothing can overflow.
fn answer_json(field: &str, text: &str) -> Result<Value, Rejection> {
    let limits = JsonLimits { bytes_max: NODE_FRAME_BYTES_MAX, depth_max: VALUE_DEPTH_MAX };
    json(field, text, &limits)
}
