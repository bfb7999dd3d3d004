//! Changes as watchers see them.

use bytes::Bytes;
use pollux_twin::table::Versions;
use pollux_twin::{Change, Effect, Time, TwinKey, Value};
use prost::Message;

use super::device::device_to_v1;
use super::twin::{command_to_v1, state_to_v1, twin_to_v1};
use crate::feed::{Fit, Live};
use crate::v1;
use crate::v1::changed::What;

/// A change as an event; `None` for one that only marks a number or a key as used.
///
/// `fit` is what it is to a watch's filter: who follows that is told even of a change that says nothing else.
pub fn changed(
    key: &TwinKey,
    versions: Versions,
    change: &Change,
    fit: Option<&Fit>,
) -> Option<v1::Changed> {
    let what = what(key, versions, change);
    if what.is_none() && !fit.is_some_and(Fit::is_news) {
        return None;
    }
    let (fit, twin) = match fit {
        None => (v1::Match::Unspecified, None),
        Some(Fit::Entered(view)) => (v1::Match::Entered, Some(twin_to_v1(key, view))),
        Some(Fit::Stayed) => (v1::Match::Stayed, None),
        Some(Fit::Left) => (v1::Match::Left, None),
        Some(Fit::Undecided) => (v1::Match::Undecided, None),
    };
    Some(v1::Changed {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        version: versions.twin,
        at_ms: change.at.ms,
        what,
        r#match: fit.into(),
        twin,
    })
}

/// A change in the form that it has on the wire; see [`changed`].
pub fn changed_bytes(
    key: &TwinKey,
    versions: Versions,
    change: &Change,
    fit: Option<&Fit>,
) -> Option<Bytes> {
    changed(key, versions, change, fit).map(|changed| changed.encode_to_vec().into())
}

fn what(key: &TwinKey, versions: Versions, change: &Change) -> Option<What> {
    Some(match &change.effect {
        Effect::None | Effect::Buried { .. } | Effect::Forgotten => return None,
        Effect::Patched { section, patch, whole, observed_at, by } => {
            use v1::section_patched::Change as Text;
            let json = patch.to_json();
            What::Patched(v1::SectionPatched {
                section: v1::Section::from(*section).into(),
                version: versions.section,
                change: Some(if *whole { Text::WholeJson(json) } else { Text::MergeJson(json) }),
                by: by.clone(),
                observed_at_ms: observed_at.map(|time| time.ms),
            })
        }
        Effect::Telemetry { values, observed_at } => What::Telemetry(v1::TelemetryReceived {
            values: values.iter().map(|named| telemetry(named, change.at, *observed_at)).collect(),
        }),
        Effect::Connected { session, incarnation: _, node } => {
            What::Connected(v1::Connected { session: *session, node: *node })
        }
        Effect::Disconnected { session } => {
            What::Disconnected(v1::Disconnected { session: *session })
        }
        Effect::DesiredAcked { version, refused } => What::DesiredAck(v1::DesiredAck {
            version: *version,
            refused: refused.clone(),
            at_ms: change.at.ms,
        }),
        Effect::CommandQueued(command) => {
            What::CommandQueued(v1::CommandQueued { command: Some(command_to_v1(command)) })
        }
        Effect::CommandMoved { id, state } => {
            let (state, answer_json, reason) = state_to_v1(state);
            let state = state.into();
            What::CommandMoved(v1::CommandMoved { id: *id, state, answer_json, reason })
        }
        Effect::Registered(entry) => What::Registered(device_to_v1(key, entry)),
        Effect::Deleted { by } => What::Deleted(v1::Deleted { by: by.clone() }),
    })
}

/// Telemetry that came as a datagram, after so many messages that were left out.
pub fn telemetry_heard(live: &Live, left_out: u64) -> v1::TelemetryHeard {
    let (tenant, device) = live.key.split_once('/').unwrap_or(("", &live.key));
    let value =
        |named| v1::Telemetry { volatile: true, ..telemetry(named, live.at, live.observed_at) };
    v1::TelemetryHeard {
        tenant: tenant.to_owned(),
        device: device.to_owned(),
        at_ms: live.at.ms,
        values: live.values.iter().map(value).collect(),
        left_out,
    }
}

fn telemetry(named: &(String, Value), at: Time, observed_at: Option<Time>) -> v1::Telemetry {
    v1::Telemetry {
        name: named.0.clone(),
        json: named.1.to_json(),
        at_ms: at.ms,
        observed_at_ms: observed_at.map(|time| time.ms),
        volatile: false,
        session: 0,
    }
}
