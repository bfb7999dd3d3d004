//! A group of devices: those that were put in it, or those for which a filter holds.

use rkyv::{Archive, Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Group {
    /// The filter whose twins are in it; empty where devices are put in.
    pub filter: String,
    /// For people.
    pub note: String,
    /// When it last changed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who changed it.
    pub by: String,
}
