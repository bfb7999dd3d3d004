//! Whom a node should still believe, itself included. Owns pure judgements over what was heard of peers: whether
//! this node's clock is off theirs (safety rule 20), and when a majority last answered (safety rule 6).
//! Leaves to the runtime what is heard, and what a node does that may not own.

mod clock;
mod quorum;

pub use clock::ClockVerdict;
pub use quorum::quorum_heard_ms;
