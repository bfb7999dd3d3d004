//! A type of devices: what all devices of a kind have in common. Owns its counting; its schemas are text here.

use rkyv::{Archive, Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DeviceType {
    /// Goes up by one with each change of its schemas; never back, not by taking it away either.
    pub version: u64,
    /// What it asks, as JSON; nothing where it was taken away.
    pub schemas: Option<String>,
    /// For people.
    pub note: String,
    /// When it last changed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who changed it.
    pub by: String,
}
