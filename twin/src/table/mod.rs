//! What a replica holds of a shard: its twins, applied from the log. No decision is taken here.

mod fence;

pub use fence::{Fence, Outcome};
