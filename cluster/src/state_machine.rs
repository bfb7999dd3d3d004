//! What a group applies its entries into. Owns the contract only: the runtime brings the machine
//! (a shard's table and its checkpoint), the group drives it from one task.

use bytes::Bytes;

use crate::fault::Fault;
use crate::ids::Position;

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

    /// Replaces the whole state with a snapshot taken at `position` by another replica. On return it
    /// must be durable: the log before it is dropped.
    ///
    /// # Errors
    /// When the pieces are damaged or cannot be stored; the old state must then still be whole.
    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        source: Box<dyn SnapshotSource>,
    ) -> Result<(), Fault>;
}
