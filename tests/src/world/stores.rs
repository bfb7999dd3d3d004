//! What a device keeps over its restarts: its queue with the counter, and the commands it executed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use pollux_device::store::{CommandStore, Kept, Outcome, QueueStore, Recorded};

#[derive(Default)]
struct Content {
    kept: Option<Kept>,
    commands: BTreeMap<u64, Recorded>,
}

/// A store that survives the device's restarts, and never fails.
#[derive(Default)]
pub(super) struct Memory(Mutex<Content>);

impl Memory {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("the world has one thread")
    }
}

impl QueueStore for Memory {
    fn load(&self) -> io::Result<Option<Kept>> {
        Ok(self.content().kept.clone())
    }

    fn restart(&self, incarnation: u64, frames: &mut dyn Iterator<Item = &[u8]>) {
        let frames = frames.map(Box::from).collect();
        self.content().kept = Some(Kept { incarnation, first_seq: 1, frames });
    }

    fn push(&self, seq: u64, frame: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        let kept = content.kept.as_mut().expect("an incarnation begins before its frames");
        let next = kept.first_seq + u64::try_from(kept.frames.len()).expect("a short queue");
        assert_eq!(seq, next, "numbers are given out without a gap");
        kept.frames.push(frame.into());
        Ok(())
    }

    fn forget(&self, seq: u64) {
        let mut content = self.content();
        let kept = content.kept.as_mut().expect("an incarnation begins before its answers");
        assert_eq!(seq, kept.first_seq, "numbers are forgotten in order");
        kept.first_seq += 1;
        kept.frames.remove(0);
    }
}

impl CommandStore for Memory {
    fn recall(&self, id: u64) -> Option<Recorded> {
        self.content().commands.get(&id).cloned()
    }

    fn begin(&self, id: u64) -> io::Result<()> {
        self.content().commands.insert(id, Recorded::Begun);
        Ok(())
    }

    fn finish(&self, id: u64, outcome: &Outcome) -> io::Result<()> {
        self.content().commands.insert(id, Recorded::Done(outcome.clone()));
        Ok(())
    }
}
