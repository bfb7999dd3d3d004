//! After a while of quiet all is well: devices online with nothing unanswered, calls over, the shard
//! open, nothing at the gate, no command live.

use crate::world::judge::{End, Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Healed;

impl Invariant for Healed {
    fn name(&self) -> &'static str {
        "healed"
    }

    fn see(&mut self, _: &Truth, _: &Seen<'_>) -> Verdict {
        Ok(())
    }

    fn end(&mut self, _: &Truth, end: &End<'_>) -> Verdict {
        if end.sick.is_empty() { Ok(()) } else { Err(end.sick.join("; ")) }
    }
}
