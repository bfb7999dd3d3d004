//! Words on the wire: device frames and framing, peer frames, the gRPC services, and the one table that
//! turns a rejection into a status. No sockets, no tasks, no decisions.

pub mod artifact;
pub mod changes;
pub mod convert;
pub mod device;
pub mod enrol;
pub mod feed;
pub mod forward;
pub mod hex;
pub mod json_view;
pub mod limits;
pub mod peer;
pub mod position;
pub mod query;
pub mod relay;
pub mod status;
mod text;
pub mod v1;
