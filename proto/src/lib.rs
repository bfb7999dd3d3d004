//! Words on the wire: device frames and framing, the gRPC services, and the one table that turns a
//! rejection into a status. No sockets, no tasks, no decisions.

pub mod device;
pub mod limits;
pub mod status;
mod text;
pub mod v1;
