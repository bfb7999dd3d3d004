//! What was once on the disks of a majority stays there, in the log or in a checkpoint, whatever
//! crashes (safety rule 21).

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Majority;

impl Invariant for Majority {
    fn name(&self) -> &'static str {
        "majority"
    }

    fn see(&mut self, _: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Held { index, having, of } if having * 2 <= *of => {
                Err(format!("entry {index} was committed and is on {having} of {of} disks"))
            }
            _ => Ok(()),
        }
    }
}
