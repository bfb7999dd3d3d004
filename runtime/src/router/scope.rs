//! What lists and watches are about, and what they give.

use std::sync::Arc;

use bytes::Bytes;
use pollux_proto::feed::{Fit, Live};
use pollux_twin::twin::View;
use pollux_twin::{ShardId, TwinKey};

use crate::watch::Committed;

/// Which twins a list or a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One twin.
    One(TwinKey),
    /// All twins of a tenant whose device id begins with `prefix` (empty: all of the tenant).
    Prefix {
        /// Tenant id.
        tenant: String,
        /// Beginning of the device id.
        prefix: String,
    },
    /// Those of them that are in one shard.
    Part {
        /// Tenant id.
        tenant: String,
        /// Beginning of the device id.
        prefix: String,
        /// The shard.
        shard: ShardId,
    },
    /// Every twin of every tenant.
    All,
}

impl Scope {
    /// The tenant whose twins they are; empty for those of all.
    pub(crate) fn tenant(&self) -> &str {
        match self {
            Self::One(key) => key.tenant(),
            Self::Prefix { tenant, .. } | Self::Part { tenant, .. } => tenant,
            Self::All => "",
        }
    }
}

/// One page of a list, in key order, from the applied tables.
#[derive(Clone, Debug)]
pub struct Page {
    /// The twins.
    pub items: Vec<(TwinKey, View)>,
    /// Continue after this key; `None` at the end.
    pub next: Option<TwinKey>,
}

/// What a watcher receives, in log order per shard.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// A twin as it is, part of the full picture that comes first (if asked for, or after `Reset`).
    Picture {
        /// Which twin.
        key: TwinKey,
        /// Its state.
        view: Box<View>,
    },
    /// The picture is complete; changes follow. Resume from `position`.
    PictureDone {
        /// Resume token.
        position: String,
    },
    /// The position asked for is older than what is kept (or of another cluster's life): a full
    /// picture follows instead.
    Reset {
        /// Why, for people.
        reason: String,
    },
    /// One committed change.
    Change {
        /// What changed.
        what: Arc<Committed>,
        /// What it is to the watch's filter, if it has one.
        fit: Option<Fit>,
        /// Resume token that stands for everything up to here.
        position: String,
    },
    /// Several committed changes, in batches only.
    Changes {
        /// Each in the form that it has on the wire.
        changes: Vec<Bytes>,
        /// Resume token that stands for everything up to the last of them.
        position: String,
    },
    /// Telemetry came that is in no log.
    Telemetry {
        /// What came.
        live: Live,
        /// How much was left out before it.
        left_out: u64,
    },
    /// Nothing happened for a while; the position moved all the same.
    Progress {
        /// Resume token.
        position: String,
    },
}

/// Whether a watch begins with the full picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Changes from now on only.
    None,
    /// The twins as they are, then the changes.
    First,
}

impl Scope {
    /// Whether a twin is in it.
    pub fn contains(&self, key: &TwinKey) -> bool {
        match self {
            Self::One(one) => one == key,
            // Who asks for a part looks at its shard alone.
            Self::Prefix { tenant, prefix } | Self::Part { tenant, prefix, .. } => {
                key.tenant() == tenant && key.device().starts_with(prefix.as_str())
            }
            Self::All => true,
        }
    }

    /// What every key in it begins with, as text.
    pub(crate) fn beginning(&self) -> String {
        match self {
            Self::One(key) => key.as_str().into(),
            Self::Prefix { tenant, prefix } | Self::Part { tenant, prefix, .. } => {
                format!("{tenant}/{prefix}")
            }
            Self::All => String::new(),
        }
    }
}
