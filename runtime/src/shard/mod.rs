//! The shards of this node: the actors of each on its owner, the replica that the log is applied to,
//! and the drivers between them and the pure machines of twin/.
//!
//! Start reading at `actor` (what comes in), then `core` (one turn of the shard's machine),
//! `proposer` (to the log and back), `replica` (from the log into the table) and `machine` (what the
//! group drives).

mod actor;
mod core;
mod hand_over;
mod handle;
mod leave;
mod machine;
mod messages;
mod outgoing;
mod overlay;
mod proposer;
mod quota;
mod released;
mod replica;
mod twin_actor;

pub(crate) use actor::ShardOptions;
pub(crate) use hand_over::HandOver;
pub(crate) use handle::{Launch, ShardHandle};
pub(crate) use leave::{finish_leaving, leave};
pub(crate) use machine::ReplicaMachine;
pub(crate) use messages::{FromSession, Gone, TwinAddress};
pub(crate) use released::weigh as weigh_value;
pub(crate) use replica::{PictureOf, Replica, table_index};
