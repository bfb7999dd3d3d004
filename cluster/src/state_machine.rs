//! What a group applies its entries into. Owns the contract only: the runtime brings the machine
//! (a shard's table and its checkpoint), the group drives it from one task.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::fault::Fault;
use crate::ids::Position;
use crate::limits::INCOMING_SNAPSHOT_BYTES_MAX;

/// What a state machine's durable checkpoint stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last entry the checkpoint includes; none when it is empty.
    pub applied: Option<Position>,
    /// The membership in force at that place, as it was given to [`StateMachine::advance`]; empty
    /// when there was none.
    pub membership: Bytes,
}

/// Pieces of a snapshot, in order. Each piece is at most
/// [`SNAPSHOT_CHUNK_BYTES_MAX`](crate::limits::SNAPSHOT_CHUNK_BYTES_MAX) long.
pub trait SnapshotSource: Send + 'static {
    /// The next piece, none at the end.
    ///
    /// # Errors
    /// When the source is damaged or gone; the snapshot is then given up as a whole.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault>;
}

/// Takes a snapshot in while it comes, piece by piece. Dropped, it leaves nothing behind.
pub trait SnapshotSink: Any + Send {
    /// Takes the next piece. May wait for the disk.
    ///
    /// # Errors
    /// When the piece is damaged or cannot be stored; the snapshot is then given up as a whole.
    fn push(&mut self, chunk: Bytes) -> Result<(), Fault>;

    /// All pieces of the state at `position` came. What is wrong with them has to be found here, where it
    /// is refused and the group goes on: a fault of [`StateMachine::install`] ends the group.
    ///
    /// # Errors
    /// When they are not whole, or of another place.
    fn end(&mut self, position: Position) -> Result<(), Fault>;
}

/// Begins a sink. Of a group there is one at a time, and no new one while one is installed.
pub type Sinks = Arc<dyn Fn() -> Result<Box<dyn SnapshotSink>, Fault> + Send + Sync>;

/// A sink that keeps the pieces in memory: for states that are small.
#[derive(Default)]
pub struct Pieces {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Pieces {
    /// Makes such sinks.
    #[must_use]
    pub fn sinks() -> Sinks {
        Arc::new(|| Ok(Box::new(Self::default())))
    }

    /// The pieces in a sink of this kind.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn of(sink: Box<dyn SnapshotSink>) -> Result<impl SnapshotSource, Fault> {
        let sink: Box<dyn Any> = sink;
        let other =
            |_| Fault::StateMachine("a snapshot came in another way than it is taken".into());
        let pieces = sink.downcast::<Self>().map_err(other)?.pieces;
        Ok(Received(pieces.into_iter()))
    }
}

impl SnapshotSink for Pieces {
    fn push(&mut self, chunk: Bytes) -> Result<(), Fault> {
        self.bytes += chunk.len();
        if self.bytes > INCOMING_SNAPSHOT_BYTES_MAX {
            return Err(Fault::StateMachine(format!(
                "a snapshot of more than {INCOMING_SNAPSHOT_BYTES_MAX} bytes does not fit into memory"
            )));
        }
        self.pieces.push(chunk);
        Ok(())
    }

    fn end(&mut self, _: Position) -> Result<(), Fault> {
        Ok(())
    }
}

struct Received(std::vec::IntoIter<Bytes>);

impl SnapshotSource for Received {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.next())
    }
}

/// A deterministic machine that a group's committed entries are applied to.
///
/// All methods are called from one task at a time. Two machines given the same entries hold the same
/// bytes: no clock, no randomness, no configuration in here.
pub trait StateMachine: Send + 'static {
    /// The place and the membership that the durable checkpoint stands for. Called once, first.
    ///
    /// # Errors
    /// When the checkpoint cannot be read; the group then does not start.
    fn recovered(&mut self) -> Result<Recovered, Fault>;

    /// Applies one committed entry and gives the answer for the proposer, if it is on this node.
    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes;

    /// An entry that is not the application's moved the position. A membership, if there is one, is
    /// opaque and has to be kept with the next checkpoint.
    fn advance(&mut self, position: Position, membership: Option<Bytes>);

    /// A cut of the present state, for a replica that the log no longer reaches. It must not change
    /// while entries are applied after it, and making it should be cheap: the pieces are pulled later.
    ///
    /// # Errors
    /// When no cut can be made now.
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault>;

    /// How a snapshot of another replica is taken in while it comes; the present state goes on meanwhile.
    /// In memory, unless said otherwise.
    fn sinks(&self) -> Sinks {
        Pieces::sinks()
    }

    /// Replaces the whole state with a snapshot taken at `position` by another replica, all of which is in
    /// a sink of [`StateMachine::sinks`]. On return it must be durable: the log before it is dropped.
    ///
    /// # Errors
    /// When it cannot be stored; the old state must then still be whole.
    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Fault>;
}
