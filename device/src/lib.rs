//! The Pollux device SDK: connect, report, and be told what is desired and commanded.
//!
//! [`session`] is the pure machine that decides; the rest drives it over QUIC.

mod clock;
mod device;
mod dial;
mod driver;
pub mod error;
pub mod limits;
mod options;
pub mod session;
mod shared;
pub mod store;
mod tls;
mod wire;

pub use device::{Acked, Command, Counts, Desired, Device, Online, Pending};
pub use dial::{Discovery, Endpoint, Transport};
pub use error::{Fault, QueueError};
pub use options::Options;
pub use session::Message;
pub use tls::{Identity, Trust};
