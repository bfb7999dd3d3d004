//! At most one generation's batches take effect: after an opening took effect, nothing of an older
//! one does, and what does comes without a gap. The shard's time never goes back (safety rules 1,
//! 4, 5, 20).

use pollux_twin::table::Outcome;
use pollux_twin::{Entry, Epoch, Time};

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

#[derive(Default)]
pub(super) struct Generations {
    newest: (Epoch, u64),
    number: u64,
    time: Time,
}

impl Invariant for Generations {
    fn name(&self) -> &'static str {
        "generations"
    }

    fn see(&mut self, _: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Logged { index, entry, outcome: Outcome::Took { time } } = seen else {
            return Ok(());
        };
        if *time < self.time {
            return Err(format!("the shard's time goes back at index {index}"));
        }
        self.time = *time;
        match entry {
            Entry::Open { epoch, generation, .. } => {
                let opened = (*epoch, *generation);
                if opened <= self.newest {
                    return Err(format!("index {index} opens {opened:?} after {:?}", self.newest));
                }
                (self.newest, self.number) = (opened, 0);
            }
            Entry::Batch { epoch, generation, number, .. } => {
                let batch = (*epoch, *generation);
                if batch != self.newest || *number != self.number + 1 {
                    return Err(format!(
                        "batch {number} of {batch:?} took effect at index {index} after batch {} \
                         of {:?}",
                        self.number, self.newest
                    ));
                }
                self.number = *number;
            }
        }
        Ok(())
    }
}
