//! The `Twin` machine: one device's state, what it decides, and how a change is carried out.

/// Everything a reader of a twin sees.
#[derive(Clone, Debug, PartialEq)]
pub struct View {}
