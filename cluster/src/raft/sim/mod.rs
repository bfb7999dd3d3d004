//! The real groups, log store, adapter, log and wire codec in a world of one thread, one seed and no real
//! time: the network loses, delays, doubles and cuts; disks stall and lose what was not synced; nodes
//! crash; members come and go. Test code only.
//!
//! Owns the world and its laws (`truth` at every moment, `judge` at the end, `linear` for the calls on a
//! register); what is tried is the code of the room around it. The model of the consensus under the
//! runtime's machines is another world, in `tests/`.

mod chance;
mod clients;
mod judge;
mod life;
mod linear;
mod machine;
mod members;
mod nemesis;
mod net;
mod node;
mod panics;
mod runtime;
mod stories;
mod tests;
mod truth;
mod watch;
mod world;

pub(crate) use runtime::SeededRuntime;
