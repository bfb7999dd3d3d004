//! Presence ends as it must: when all is quiet, a twin is connected exactly if its device is, and in
//! the same session (safety rule 18).

use crate::world::judge::{End, Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Presence;

impl Invariant for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn see(&mut self, _: &Truth, _: &Seen<'_>) -> Verdict {
        Ok(())
    }

    fn end(&mut self, truth: &Truth, end: &End<'_>) -> Verdict {
        for (device, own) in &end.sessions {
            let shown = truth.past(device).and_then(|past| past.twin.session());
            if shown != *own {
                return Err(format!("{device} is in session {own:?}, its twin says {shown:?}"));
            }
        }
        Ok(())
    }
}
