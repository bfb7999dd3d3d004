//! What a run is compared with: bare servers that only answer, over the same transport, with
//! messages of the same sizes, for the same fleet. No twin, no log, no session.

mod load;
mod rpc;
mod server;

pub use load::run;
pub use rpc::serve_reads;
pub use server::{ServerTls, endpoint, serve};

/// Bytes of the messages of an echo, as frames on the stream; see [`crate::frame_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Each message of a device.
    pub up: usize,
    /// Each answer.
    pub down: usize,
}
