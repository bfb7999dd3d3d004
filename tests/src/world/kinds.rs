//! The one type of the world's devices: there is a newer version every few seconds, and nodes hear of it one after the
//! other. Odd ones want few members in what is desired.

use std::sync::Arc;

use pollux_twin::Value;
use pollux_twin::types::{Broken, DeviceType, Named, Part, Types};

/// Its name.
pub(super) const NAME: &str = "kind";
/// How long a version is the newest.
const LASTS_MS: u64 = 5_000;
/// How much later each node hears of it than the one before.
const LATER_MS: u64 = 900;
/// Members that an odd version lets desired have.
const MEMBERS_MAX: usize = 2;

/// What a node knows of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds(u64);

impl Kinds {
    pub(super) fn heard_by(host: usize, now_ms: u64) -> Self {
        let later = u64::try_from(host).unwrap_or(0) * LATER_MS;
        Self(1 + now_ms.saturating_sub(later) / LASTS_MS)
    }
}

impl Types for Kinds {
    fn named(&self, name: &str) -> Named {
        match name {
            NAME => Named { version: self.0, asks: Some(Arc::new(Version(self.0))) },
            _ => Named { version: 0, asks: None },
        }
    }
}

/// What a version asks.
pub(super) struct Version(pub(super) u64);

impl DeviceType for Version {
    fn asks(&self, part: Part<'_>) -> bool {
        self.0 % 2 == 1 && part == Part::Desired
    }

    fn check(&self, _: Part<'_>, value: &Value) -> Result<(), Broken> {
        match value.as_object().is_some_and(|members| members.len() > MEMBERS_MAX) {
            true => Err(Broken { at: String::new(), wrong: "too many members".into() }),
            false => Ok(()),
        }
    }
}
