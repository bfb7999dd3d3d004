//! What a node that holds a shard tells another that watches it for its callers. Archived like frames, and
//! checked like them before use; written and read by [`crate::forward`]'s functions.

use pollux_twin::change::{CommandState, Effect};
use pollux_twin::id::SLOTS;
use pollux_twin::{Change, Time, Value, View};
use rkyv::{Archive, Deserialize, Serialize};

use crate::device::check::{Check, text, value};
use crate::device::{FrameError, Wire};
use crate::forward::view;
use crate::limits::{FED_EVENTS_MAX, FORWARDED_PAGE_MAX, QUERY_TEXT_BYTES_MAX, TEXT_BYTES_MAX};
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

/// Asks for those changes of a shard that concern twins for which a filter holds, or held before.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Sift {
    /// What is watched.
    pub watch: Watch,
    /// The filter.
    pub filter: String,
}

/// Asks a node to keep for a while what filters are asked of, for those who watch these shards elsewhere and may
/// go on there.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct KeepStates {
    /// Which shards.
    pub shards: Vec<u16>,
}

/// Asks for some twins of a shard for which a filter holds.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SiftTwins {
    /// Which shard.
    pub shard: u16,
    /// What its table must have come to.
    pub least: u64,
    /// What every key must begin with.
    pub beginning: String,
    /// The filter.
    pub filter: String,
    /// Only keys after this one.
    pub after: Option<String>,
}

/// What came of a [`SiftTwins`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SiftedTwins {
    /// Key and state of each, in the order of keys.
    pub items: Vec<(String, View)>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// Asks the owner of a shard for telemetry that comes as datagrams, for as long as it is the owner.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Which shard.
    pub shard: u16,
    /// What every key that is wanted begins with.
    pub beginning: String,
    /// The filter that must hold for a twin; empty: any.
    pub filter: String,
}

/// An item of the answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// What came, in order; perhaps nothing.
    pub lives: Vec<Live>,
    /// How much was left out before it, since it came faster than it was taken.
    pub left_out: u64,
}

/// Telemetry of one datagram.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Live {
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// When it came.
    pub at: Time,
    /// When the device says that it was so.
    pub observed_at: Option<Time>,
    /// Values by name.
    pub values: Vec<(String, Value)>,
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
    /// Changes that a filter lets through; only where one was asked for.
    Sifted(SiftedChanges),
}

/// Some changes of one shard that a filter lets through.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SiftedChanges {
    /// Each with what it is to the filter; perhaps none.
    pub events: Vec<(Changed, Fit)>,
    /// What was seen with them.
    pub seen: Place,
}

/// What a change is to a filter.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Fit {
    /// It holds after the change, and did not before: the twin as it is then.
    Entered(Box<View>),
    /// It held and holds.
    Stayed,
    /// It held, and does no more.
    Left,
    /// It takes too many steps on this twin to be known.
    Undecided,
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

impl Fit {
    /// Whether who follows the filter must hear of it, whatever else the change says.
    pub const fn is_news(&self) -> bool {
        !matches!(self, Self::Stayed)
    }
}

impl Wire for Watch {}
impl Wire for Sift {}
impl Wire for KeepStates {}
impl Wire for SiftTwins {}
impl Wire for SiftedTwins {}
impl Wire for Told {}
impl Wire for Listen {}
impl Wire for Heard {}

impl Check for Watch {
    fn check(&self) -> Result<(), FrameError> {
        text("beginning", &self.beginning, TEXT_BYTES_MAX)
    }
}

impl Check for Told {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Changes(Changes { events, .. }) => {
                bounded("changes", events.len(), FED_EVENTS_MAX)?;
                events.iter().try_for_each(changed)
            }
            Self::Sifted(SiftedChanges { events, .. }) => {
                bounded("changes", events.len(), FED_EVENTS_MAX)?;
                events.iter().try_for_each(|(event, fit)| {
                    changed(event)?;
                    if let Fit::Entered(entered) = fit { view(entered) } else { Ok(()) }
                })
            }
            Self::Stands(_) | Self::TooOld | Self::Behind => Ok(()),
        }
    }
}

impl Check for Sift {
    fn check(&self) -> Result<(), FrameError> {
        text("filter", &self.filter, QUERY_TEXT_BYTES_MAX)?;
        self.watch.check()
    }
}

impl Check for Listen {
    fn check(&self) -> Result<(), FrameError> {
        text("filter", &self.filter, QUERY_TEXT_BYTES_MAX)?;
        text("beginning", &self.beginning, TEXT_BYTES_MAX)
    }
}

impl Check for Heard {
    fn check(&self) -> Result<(), FrameError> {
        bounded("telemetry", self.lives.len(), FED_EVENTS_MAX)?;
        self.lives.iter().try_for_each(|live| {
            text("key", &live.key, TEXT_BYTES_MAX)?;
            live.values.iter().try_for_each(|(name, one)| {
                text("telemetry name", name, TEXT_BYTES_MAX)?;
                value(one)
            })
        })
    }
}

impl Check for KeepStates {
    fn check(&self) -> Result<(), FrameError> {
        bounded("shards", self.shards.len(), SLOTS.into())
    }
}

impl Check for SiftTwins {
    fn check(&self) -> Result<(), FrameError> {
        text("filter", &self.filter, QUERY_TEXT_BYTES_MAX)?;
        text("beginning", &self.beginning, TEXT_BYTES_MAX)?;
        text("key", self.after.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)
    }
}

impl Check for SiftedTwins {
    fn check(&self) -> Result<(), FrameError> {
        bounded("twins", self.items.len(), FORWARDED_PAGE_MAX)?;
        text("key", self.next.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)?;
        self.items.iter().try_for_each(|(key, seen)| {
            text("key", key, TEXT_BYTES_MAX)?;
            view(seen)
        })
    }
}

const fn bounded(what: &'static str, items: usize, max: usize) -> Result<(), FrameError> {
    if items > max { Err(FrameError::TooMany { what, items, max }) } else { Ok(()) }
}

fn changed(event: &Changed) -> Result<(), FrameError> {
    text("key", &event.key, TEXT_BYTES_MAX)?;
    effect(&event.change.effect)
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
        | Effect::Buried { .. }
        | Effect::Forgotten
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
        let view = View { version: 3, ..View::default() };
        let fits = [Fit::Entered(Box::new(view.clone())), Fit::Stayed, Fit::Left, Fit::Undecided];
        let events = fits.into_iter().map(|fit| (changed(1, Value::Null), fit)).collect();
        let sifted = Told::Sifted(SiftedChanges { events, seen: Place { index: 7, ordinal: 1 } });
        for told in [Told::Stands(stand), Told::TooOld, Told::Behind, some, sifted] {
            assert_eq!(decode::<Told>(&encode(&told).unwrap()).unwrap(), told);
        }
    }

    #[test]
    fn what_is_sifted_comes_back() {
        let watch = Watch { shard: 9, beginning: "acme/".into(), after: None };
        let sift = Sift { watch, filter: "tags.a == 1".into() };
        assert_eq!(decode::<Sift>(&encode(&sift).unwrap()).unwrap(), sift);
        let keep = KeepStates { shards: vec![0, 4_095] };
        assert_eq!(decode::<KeepStates>(&encode(&keep).unwrap()).unwrap(), keep);
        let (beginning, filter) = ("acme/".to_owned(), "true".to_owned());
        let ask = SiftTwins { shard: 1, least: 9, beginning, filter, after: Some("acme/a".into()) };
        assert_eq!(decode::<SiftTwins>(&encode(&ask).unwrap()).unwrap(), ask);
        let items = vec![("acme/b".to_owned(), View::default())];
        let page = SiftedTwins { items, next: Some("acme/b".into()) };
        assert_eq!(decode::<SiftedTwins>(&encode(&page).unwrap()).unwrap(), page);
        let long = Sift { filter: "x".repeat(QUERY_TEXT_BYTES_MAX + 1), ..sift };
        assert!(matches!(encode(&long), Err(FrameError::TextTooLong { .. })));
        let many = SiftedTwins { items: vec![("a".into(), View::default()); 1_002], next: None };
        assert!(matches!(encode(&many), Err(FrameError::TooMany { .. })));
        for bytes in [encode(&page).unwrap(), encode(&ask).unwrap()] {
            for end in 0..bytes.len() {
                let _ = (decode::<SiftedTwins>(&bytes[..end]), decode::<SiftTwins>(&bytes[..end]));
            }
        }
    }

    #[test]
    fn what_is_heard_comes_back() {
        let listen = Listen { shard: 3, beginning: "acme/".into(), filter: String::new() };
        assert_eq!(decode::<Listen>(&encode(&listen).unwrap()).unwrap(), listen);
        let live = Live {
            key: "acme/pump".into(),
            at: Time { ms: 5 },
            observed_at: Some(Time { ms: 4 }),
            values: vec![("rssi".into(), Value::Int(-61))],
        };
        let heard = Heard { lives: vec![live.clone()], left_out: 7 };
        let bytes = encode(&heard).unwrap();
        assert_eq!(decode::<Heard>(&bytes).unwrap(), heard);
        for end in 0..bytes.len() {
            let _ = (decode::<Heard>(&bytes[..end]), decode::<Listen>(&bytes[..end]));
        }
        let many = Heard { lives: vec![live; FED_EVENTS_MAX + 1], left_out: 0 };
        assert!(matches!(encode(&many), Err(FrameError::TooMany { .. })));
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
