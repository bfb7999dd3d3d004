//! A part of a job's devices as it is kept: a twin of Pollux's own whose tags name the devices and whose desired says
//! where each stands. Owns its form; the states themselves are the machine's.

use pollux_twin::limits::OBJECT_KEYS_MAX;
use pollux_twin::twin::{Life, View};
use pollux_twin::value::Object;
use pollux_twin::{Rejection, TwinKey, Value};

use super::limits::{PART_BYTES_MAX, PART_DEVICES_MAX};
use super::machine::{State, Target};
use crate::own;

/// What the name of a part's twin begins with.
const KIND: &str = "job-part:";

/// The states by their numbers: those that are kept keep theirs.
const STATES: [State; 7] = [
    State::Waiting,
    State::Sending,
    State::Sent,
    State::Done,
    State::Failed,
    State::Unknown,
    State::Cancelled,
];

/// The twin of a part.
pub(crate) fn key(tenant: &str, name: &str, part: u32) -> Result<TwinKey, Rejection> {
    let twin = own::named(&format!("{KIND}{tenant}:{name}:{part:06}"));
    twin.map_err(|error| Rejection::Invalid { reason: format!("tenant and name: {error}") })
}

/// A part as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// The devices, if it is of this run of the job.
    pub(crate) keys: Vec<TwinKey>,
    pub(crate) targets: Vec<Target>,
    /// The turn that wrote it last.
    pub(crate) turn: u64,
    /// Versions that the next writes must meet.
    pub(crate) names_version: u64,
    pub(crate) states_version: u64,
}

impl Part {
    /// Reads a part of one run of a job of a tenant; another run's has no devices.
    pub(crate) fn read(tenant: &str, run: u64, view: &View) -> Option<Self> {
        if view.life != Life::Alive {
            return Some(Self::default());
        }
        let (names, states) = (&view.tags, &view.desired);
        let mut part = Self {
            names_version: names.version,
            states_version: states.version,
            ..Self::default()
        };
        let kept_run = names.value.get("run")?.as_u64()?;
        if kept_run != run {
            // Nothing of a later run may be written over.
            part.turn = if kept_run > run { u64::MAX } else { 0 };
            return Some(part);
        }
        part.turn = names.value.get("turn")?.as_u64()?;
        let Some(Value::Array(devices)) = names.value.get("devices") else { return None };
        let key = |name: &Value| TwinKey::parse(&format!("{tenant}/{}", name.as_str()?)).ok();
        part.keys = devices.iter().map(key).collect::<Option<_>>()?;
        part.targets = vec![Target::default(); part.keys.len()];
        if states.value.get("run").and_then(Value::as_u64) == Some(run) {
            part.turn = part.turn.max(states.value.get("turn")?.as_u64()?);
            let Some(Value::Array(kept)) = states.value.get("states") else { return None };
            part.targets = kept.iter().map(target).collect::<Option<_>>()?;
        }
        (part.targets.len() == part.keys.len()).then_some(part)
    }
}

impl Part {
    /// One of which only the versions can be told.
    pub(crate) fn unreadable(view: &View) -> Self {
        let (names_version, states_version) = (view.tags.version, view.desired.version);
        Self { names_version, states_version, ..Self::default() }
    }
}

/// The content of tags: which devices.
pub(crate) fn names(run: u64, turn: u64, keys: &[TwinKey]) -> Value {
    let devices = keys.iter().map(|key| key.device().into()).collect();
    content(run, turn, "devices", devices)
}

/// The content of desired: where each stands.
pub(crate) fn states(run: u64, turn: u64, targets: &[Target]) -> Value {
    content(run, turn, "states", targets.iter().map(kept).collect())
}

fn content(run: u64, turn: u64, name: &str, items: Vec<Value>) -> Value {
    let members = [("run", run.into()), ("turn", turn.into()), (name, Value::Array(items))];
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Most are waiting, done without a word, or nearly: short forms are short.
fn kept(target: &Target) -> Value {
    if *target == Target::default() {
        return Value::Int(0);
    }
    let state = STATES.iter().position(|state| *state == target.state).unwrap_or(0) as u64;
    let mut items = vec![
        state.into(),
        u64::from(target.attempt).into(),
        target.at_ms.into(),
        target.number.into(),
    ];
    if !target.reason.is_empty() {
        items.push(target.reason.as_str().into());
    }
    Value::Array(items)
}

fn target(kept: &Value) -> Option<Target> {
    let Value::Array(items) = kept else {
        return (*kept == Value::Int(0)).then(Target::default);
    };
    let at = |n: usize| items.get(n).and_then(Value::as_u64);
    Some(Target {
        state: STATES.get(usize::try_from(at(0)?).ok()?).copied()?,
        attempt: u32::try_from(at(1)?).ok()?,
        at_ms: at(2)?,
        number: at(3)?,
        reason: items.get(4).map_or(Some(""), Value::as_str)?.to_owned(),
    })
}

/// Devices, in order, as parts.
pub(crate) fn divide(keys: Vec<TwinKey>) -> Vec<Vec<TwinKey>> {
    let mut parts: Vec<Vec<TwinKey>> = Vec::new();
    let mut bytes = usize::MAX;
    for key in keys {
        // Quotes and a comma stand around each.
        let more = key.device().len() + 3;
        let full = parts.last().is_none_or(|part| part.len() == PART_DEVICES_MAX);
        if full || bytes + more > PART_BYTES_MAX {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        parts.last_mut().expect("one was pushed").push(key);
    }
    parts
}

const _: () = assert!(PART_DEVICES_MAX <= OBJECT_KEYS_MAX, "a part is no larger than an object");

/// Members of an object by name, for those who read what is kept.
pub(super) fn text(members: &Object, name: &str) -> Option<String> {
    Some(members.get(name)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use pollux_twin::limits::{ID_BYTES_MAX, SECTION_BYTES_MAX};
    use pollux_twin::twin::SectionView;

    use super::super::limits::REASON_BYTES_MAX;
    use super::*;

    fn view(tags: Value, desired: Value) -> View {
        let section = |value, version| SectionView { version, value, ..SectionView::default() };
        let (tags, desired) = (section(tags, 3), section(desired, 7));
        View { life: Life::Alive, tags, desired, ..View::default() }
    }

    fn keys(count: usize, bytes: usize) -> Vec<TwinKey> {
        let key = |n| TwinKey::parse(&format!("acme/{n:0>bytes$}")).unwrap();
        (0..count).map(key).collect()
    }

    #[test]
    fn a_part_comes_back_and_another_runs_does_not() {
        let keys = keys(3, 8);
        let said = Target {
            state: State::Unknown,
            attempt: 2,
            at_ms: u64::MAX,
            number: 9,
            reason: "so \"it\" is".into(),
        };
        let done = Target { state: State::Done, attempt: 1, ..Target::default() };
        let targets = vec![Target::default(), said, done];
        let kept = view(names(5, 1, &keys), states(5, 2, &targets));
        let part = Part::read("acme", 5, &kept).unwrap();
        assert_eq!((&part.keys, &part.targets, part.turn), (&keys, &targets, 2));
        assert_eq!((part.names_version, part.states_version), (3, 7));
        let part = Part::read("acme", 6, &kept).unwrap();
        assert_eq!((part.keys, part.turn), (vec![], 0));
        let part = Part::read("acme", 4, &kept).unwrap();
        assert_eq!((part.keys, part.turn), (vec![], u64::MAX), "nothing is written over it");
        // States of a run before are none of this one.
        let kept = view(names(5, 1, &keys), states(4, 9, &targets[..1]));
        let part = Part::read("acme", 5, &kept).unwrap();
        assert_eq!(part.targets, vec![Target::default(); 3]);
        assert_eq!(Part::read("acme", 5, &view(Value::object(), Value::object())), None);
    }

    #[test]
    fn the_largest_parts_fit_their_sections() {
        for bytes in [8, 100, ID_BYTES_MAX] {
            let all = keys(1_000, bytes);
            let parts = divide(all.clone());
            assert_eq!(parts.concat(), all);
            for part in parts {
                let target = Target {
                    state: State::Cancelled,
                    attempt: 11,
                    at_ms: 1 << 42,
                    number: u64::MAX,
                    reason: "\"".repeat(REASON_BYTES_MAX / 2),
                };
                let most = vec![target; part.len()];
                for content in [names(u64::MAX, 9, &part), states(u64::MAX, 9, &most)] {
                    assert!(content.to_json().len() <= SECTION_BYTES_MAX);
                }
            }
        }
    }
}
