//! What nodes say to each other.
//!
//! Two protocols, told apart by their ALPN names:
//!
//! - [`ALPN`]: between nodes of one cluster. The dialling node opens one bidirectional stream for each
//!   [`PeerLane`]. On the first one, the control lane, it says [`Greeting::Hello`] and is answered by
//!   [`Greeting::Welcome`] or [`Greeting::Refused`]; each further one begins with [`Greeting::Lane`].
//!   After that both sides speak [`PeerFrame`]s on all of them, with numbers of their own.
//! - [`JOIN_ALPN`]: a node without a certificate asks to be taken in. One stream, one
//!   [`JoinFrame::Request`], one answer.
//!
//! # Versions
//!
//! | what | version | says so |
//! |---|---|---|
//! | greetings | 1 | the ALPN name; their layout never changes under it |
//! | frames after the greeting | [`WIRE_VERSION`] | each hello names the newest it speaks; the lower of the two is spoken, [`WIRE_VERSION_MIN`] at least |
//! | joining | 1 | the ALPN name |
//! | the bytes of a group's calls | the first byte of each | whoever makes them; opaque here |
//!
//! The words are in [`frame`], their way into bytes and back in [`framing`]; greetings and join frames
//! are framed like those of devices.

mod check;
pub mod frame;
pub mod framing;

pub use frame::{Greeting, JoinFrame, NodeFacts, PeerFault, PeerHead, PeerLane, PeerRefusal};
pub use framing::{PeerDecoder, PeerFrame, encode_peer, encode_peer_head};

/// The ALPN name between nodes.
pub const ALPN: &[u8] = b"pollux-peer/1";
/// The ALPN name of a node that asks to be taken in.
pub const JOIN_ALPN: &[u8] = b"pollux-join/1";
/// The newest version of the frames after the greeting that this code speaks.
pub const WIRE_VERSION: u16 = 1;
/// The oldest one that it speaks.
pub const WIRE_VERSION_MIN: u16 = 1;

/// The URI that a node's certificate carries as its one URI subject alternative name.
pub fn node_uri(cluster: u128, node: u64) -> String {
    format!("pollux-node:{cluster:032x}/{node}")
}

/// The cluster and the node that a certificate's URI names; none if it is not in the one form that
/// [`node_uri`] gives.
pub fn parse_node_uri(uri: &str) -> Option<(u128, u64)> {
    let (cluster, node) = uri.strip_prefix("pollux-node:")?.split_once('/')?;
    let (cluster, node) = (u128::from_str_radix(cluster, 16).ok()?, node.parse().ok()?);
    (node_uri(cluster, node) == uri).then_some((cluster, node))
}

/// A text for people, cut to what a refusal may carry.
pub fn message(text: &str) -> String {
    crate::text::head(text, crate::limits::PEER_MESSAGE_TEXT_BYTES_MAX).to_owned()
}
