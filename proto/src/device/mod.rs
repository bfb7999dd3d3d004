//! What devices and nodes say to each other under ALPN `pollux/1` and `pollux/2`.
//!
//! Frames go in both directions of the one bidirectional stream that the device opens; volatile
//! telemetry goes as datagrams, each one [`Datagram`]. The words are in [`frame`], their way into
//! bytes and back in [`framing`], their bounds in [`check`], their meaning for a twin in
//! [`convert`]. `pollux/2` is the same, and further streams that the device opens, on each of which it comes for one
//! artifact ([`download`]). A device that nobody registered enrols under a name of its own ([`enrolment`]).

pub(crate) mod archive;
pub mod check;
pub mod convert;
pub mod download;
pub mod enrolment;
pub mod error;
pub mod frame;
pub mod framing;
pub mod lengths;
pub mod name;

pub use archive::{Append, Wire, Wrong};
pub use error::{CloseCode, FrameError};
pub use frame::{AckResult, Datagram, DeviceFrame, Limits, NodeFrame, RefusedReason, Replica};
pub use framing::{Decoder, Frame, decode_datagram, encode, encode_datagram};
pub use lengths::Lengths;

/// The ALPN name, which carries the version of everything in this module.
pub const ALPN: &[u8] = b"pollux/2";
/// The one before, without downloads, which nodes go on to speak.
pub const ALPN_FIRST: &[u8] = b"pollux/1";
