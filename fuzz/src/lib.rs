//! What each fuzz target does with its bytes: decode them, and hold whatever comes out to the rules.
//! A broken rule is a panic. `fuzz/run` feeds them from a fuzzer; proto's tests, from a seed.

mod decoders;
mod inputs;

pub use decoders::{datagram, entries, frames, image, json, peer, texts};
pub use inputs::inputs;
