//! What a node that holds a shard tells another that watches it for its callers. Archived like frames, and
//! checked like them before use; written and read by [`crate::forward`]'s functions.

use pollux_twin::Change;
use pollux_twin::change::{CommandState, Effect};
use rkyv::{Archive, Deserialize, Serialize};

use crate::device::check::{Check, text, value};
use crate::device::{FrameError, Wire};
use crate::limits::{FED_EVENTS_MAX, TEXT_BYTES_MAX};
use crate::position::Place;

/// Asks for the changes of a shard.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Watch {
    /// Which shard.
    pub shard: u16,
    /// What every key that is wanted begins with.
    pub beginning: String,
    /// What was seen last; none: from now on.
    pub after: Option<Place>,
}

/// An item of the answer. The first says where it stands, or that it cannot begin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Told {
    /// All changes after its place follow.
    Stands(Stand),
    /// What follows the place asked for is no longer kept there.
    TooOld,
    /// The replica there has not come to the place asked for.
    Behind,
    /// Changes, in the order of the log.
    Changes(Changes),
}

/// Where a replica stands.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The place in its log.
    pub at: Place,
    /// How long ago, at most, it had all that was acknowledged.
    pub age_ms: u64,
}

/// Some changes of one shard.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Changes {
    /// Those that are wanted; perhaps none.
    pub events: Vec<Changed>,
    /// What was seen with them.
    pub seen: Place,
}

/// One committed change.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Changed {
    /// Where it stands.
    pub at: Place,
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// What changed.
    pub change: Change,
    /// Version of the whole twin after it.
    pub version: u64,
    /// Version of the changed section after it, if one changed.
    pub section_version: u64,
}

impl Wire for Watch {}
impl Wire for Told {}

impl Check for Watch {
    fn check(&self) -> Result<(), FrameError> {
        text("beginning", &self.beginning, TEXT_BYTES_MAX)
    }
}

impl Check for Told {
    fn check(&self) -> Result<(), FrameError> {
        let Self::Changes(Changes { events, .. }) = self else { return Ok(()) };
        if events.len() > FED_EVENTS_MAX {
            let (items, max) = (events.len(), FED_EVENTS_MAX);
            return Err(FrameError::TooMany { what: "changes", items, max });
        }
        events.iter().try_for_each(|event| {
            text("key", &event.key, TEXT_BYTES_MAX)?;
            effect(&event.change.effect)
        })
    }
}

fn effect(effect: &Effect) -> Result<(), FrameError> {
    match effect {
        Effect::Patched { patch, .. } => value(patch),
        Effect::Telemetry { values, .. } => values.iter().try_for_each(|(_, one)| value(one)),
        Effect::CommandQueued(command) => value(&command.payload),
        Effect::CommandMoved { state: CommandState::Done { answer }, .. } => value(answer),
        Effect::CommandMoved { .. }
        | Effect::None
        | Effect::Connected { .. }
        | Effect::Disconnected { .. }
        | Effect::DesiredAcked { .. }
        | Effect::Registered(_)
        | Effect::Deleted { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{decode, encode};
    use crate::limits::VALUE_DEPTH_MAX;
    use pollux_twin::change::{Mark, Section};
    use pollux_twin::{Time, Value};

    fn changed(ordinal: u32, patch: Value) -> Changed {
        let section = Section::Desired;
        let effect =
            Effect::Patched { section, patch, whole: false, observed_at: None, by: "a".into() };
        Changed {
            at: Place { index: 7, ordinal },
            key: "acme/pump".into(),
            change: Change { at: Time { ms: 5 }, mark: Mark::None, effect },
            version: 3,
            section_version: 2,
        }
    }

    fn changes(events: Vec<Changed>) -> Told {
        Told::Changes(Changes { events, seen: Place { index: 7, ordinal: u32::MAX } })
    }

    #[test]
    fn what_is_asked_and_told_comes_back() {
        for after in [None, Some(Place { index: u64::MAX, ordinal: 1 })] {
            let watch = Watch { shard: 9, beginning: "acme/".into(), after };
            assert_eq!(decode::<Watch>(&encode(&watch).unwrap()).unwrap(), watch);
        }
        let patch = Value::from_json("{\"a\":[1,{\"b\":-2.5}]}", &Default::default()).unwrap();
        let some = changes(vec![changed(1, patch), changed(2, Value::Null)]);
        let stand = Stand { at: Place { index: 3, ordinal: 1 }, age_ms: 70 };
        for told in [Told::Stands(stand), Told::TooOld, Told::Behind, some] {
            assert_eq!(decode::<Told>(&encode(&told).unwrap()).unwrap(), told);
        }
    }

    #[test]
    fn what_is_cut_or_flipped_never_panics() {
        let bytes = encode(&changes(vec![changed(1, Value::Bool(true))])).unwrap();
        for end in 0..bytes.len() {
            let _ = decode::<Told>(&bytes[..end]);
            let mut flipped = bytes.to_vec();
            flipped[end] ^= 0x80;
            let _ = decode::<Told>(&flipped);
        }
        assert!(decode::<Told>(b"").is_err());
        assert!(decode::<Watch>(b"").is_err());
    }

    #[test]
    fn bounds_hold_before_sending() {
        let many = changes(vec![changed(1, Value::Null); FED_EVENTS_MAX + 1]);
        assert!(matches!(encode(&many), Err(FrameError::TooMany { .. })));
        let deep = (0..=VALUE_DEPTH_MAX).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(matches!(
            encode(&changes(vec![changed(1, deep)])),
            Err(FrameError::TooDeep { .. })
        ));
        let long = Watch { shard: 0, beginning: "x".repeat(TEXT_BYTES_MAX + 1), after: None };
        assert!(matches!(encode(&long), Err(FrameError::TextTooLong { .. })));
    }
}
