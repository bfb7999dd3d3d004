//! The Pollux device SDK: connect, report, and be told what is desired and commanded.
//!
//! [`session`] is the pure machine that decides; the rest drives it over QUIC.

pub mod error;
pub mod limits;
pub mod session;
pub mod store;
mod wire;

pub use error::{Fault, QueueError};
