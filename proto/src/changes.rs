//! Many changes in one message, each left in the form that it has on the wire: a node writes a change once for all
//! who watch it.

use bytes::Bytes;

/// `pollux.v1.Changes`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Changes {
    /// Each the bytes of a [`Changed`](crate::v1::Changed).
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub changes: Vec<Bytes>,
}
