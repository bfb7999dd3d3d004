//! What devices and nodes say to each other under ALPN `pollux/1`.
//!
//! Frames go in both directions of the one bidirectional stream that the device opens; volatile
//! telemetry goes as datagrams, each one [`Datagram`]. Framing is in [`framing`].

pub mod frame;

pub use frame::{AckResult, Datagram, DeviceFrame, Limits, NodeFrame, RefusedReason, Replica};

/// The ALPN name, which carries the version of everything in this module.
pub const ALPN: &[u8] = b"pollux/1";
