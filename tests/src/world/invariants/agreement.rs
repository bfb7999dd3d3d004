//! All nodes apply one log, and nothing that is not committed: on the disks of a majority.

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Agreement;

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Applied { host, index, slot } = seen else { return Ok(()) };
        if *index > truth.index {
            return Err(format!("node {host} applies {index}, which no majority has on disk"));
        }
        if truth.slot(*index) != *slot {
            return Err(format!("node {host} applies another entry at {index} than is committed"));
        }
        Ok(())
    }
}
