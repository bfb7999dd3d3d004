//! By which certificates devices of an enrolment come, where they come by one that a batch shares. Owns what is kept of
//! that; that a device holds the certificate's key TLS proves, and what it gets the runtime decides.

use rkyv::{Archive, Deserialize, Serialize};

/// Whose certificates are good for an enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Claimed {
    /// Those that this CA issued, by its certificate in DER.
    By(Vec<u8>),
    /// The one with this SHA-256.
    Pinned([u8; 32]),
}
