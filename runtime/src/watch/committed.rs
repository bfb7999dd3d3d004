//! One committed change, shared by all who watch it, and written once for all of them.

use std::sync::OnceLock;

use bytes::Bytes;
use pollux_proto::convert::changed_bytes;
use pollux_proto::feed::Fit;
use pollux_twin::table::Versions;
use pollux_twin::{Change, TwinKey};

/// See the module.
#[derive(Debug)]
pub struct Committed {
    /// Which twin.
    pub key: TwinKey,
    /// What changed.
    pub change: Change,
    /// Versions after it.
    pub versions: Versions,
    written: OnceLock<Option<Bytes>>,
}

impl Committed {
    /// A change that nobody has asked for yet.
    pub const fn new(key: TwinKey, change: Change, versions: Versions) -> Self {
        Self { key, change, versions, written: OnceLock::new() }
    }

    /// It as a [`Changed`](pollux_proto::v1::Changed) in the form that it has on the wire; `None` if it only marks a
    /// number or a key as used. Only what depends on a watch's filter is written for each watch.
    pub(crate) fn written(&self, fit: Option<&Fit>) -> Option<Bytes> {
        let write = || changed_bytes(&self.key, self.versions, &self.change, fit);
        if fit.is_some() { write() } else { self.written.get_or_init(write).clone() }
    }
}
