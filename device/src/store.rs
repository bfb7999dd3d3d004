//! Hooks for what may survive a restart of the device: its unacknowledged messages and the commands
//! it executed. Without them both live as long as the process.

use std::io;

use pollux_twin::Value;

/// The end of a command: its answer, or why it failed.
pub type Outcome = Result<Value, String>;

/// What a [`QueueStore`] held when the device started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The incarnation that the numbers belong to.
    pub incarnation: u64,
    /// Number of the first frame; the next number to give out if there is none.
    pub first_seq: u64,
    /// The frames, numbered without a gap from `first_seq`.
    pub frames: Vec<Box<[u8]>>,
}

/// Keeps the unacknowledged messages of one device over restarts, with their numbers.
///
/// A device takes a new incarnation exactly when its counter or queue is lost (safety rule 13):
/// an implementation must keep the incarnation, the next number and the frames together.
/// Calls are made with the device locked, so they should be quick.
pub trait QueueStore: Send + Sync {
    /// What was kept; `None` at the first start or when it was lost.
    fn load(&self) -> io::Result<Option<Kept>>;
    /// A new incarnation begins, with `frames` numbered from 1 in place of all that was kept.
    fn restart(&self, incarnation: u64, frames: &mut dyn Iterator<Item = &[u8]>);
    /// Keeps one more frame; must be durable when it returns.
    fn push(&self, seq: u64, frame: &[u8]) -> io::Result<()>;
    /// The number is answered: its frame is no longer needed, the counter stays.
    fn forget(&self, seq: u64);
}

/// What a [`CommandStore`] knows of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It was begun; whether it was carried out is not known.
    Begun,
    /// It is over.
    Done(Outcome),
}

/// Keeps the ids of executed commands over restarts of the device.
///
/// With it, a command is executed exactly once as far as the device can tell; without it, at most
/// once as long as the process lives (safety rule 14). Ids are unique for the life of a twin.
/// Calls are made with the device locked, so they should be quick.
pub trait CommandStore: Send + Sync {
    /// What is known of a command; `None` if it was never begun here.
    fn recall(&self, id: u64) -> Option<Recorded>;
    /// The command is about to be executed; must be durable when it returns.
    fn begin(&self, id: u64) -> io::Result<()>;
    /// The command is over.
    fn finish(&self, id: u64, outcome: &Outcome) -> io::Result<()>;
}
