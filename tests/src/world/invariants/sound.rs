//! No twin ever breaks an invariant of its own: none is quarantined (safety rule 10).

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Sound;

impl Invariant for Sound {
    fn name(&self) -> &'static str {
        "sound"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Changed { key, change } = seen else { return Ok(()) };
        let quarantined = truth.past(key).is_some_and(|past| past.twin.is_quarantined());
        if quarantined { Err(format!("{key} is quarantined by {change:?}")) } else { Ok(()) }
    }
}
