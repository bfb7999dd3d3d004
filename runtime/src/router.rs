//! Where callers on this node meet its shards: every service call, list and watch comes through
//! here. In a cluster this is where a call is forwarded to its owner; alone, the owner is here.

use std::time::Duration;

use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::twin::View;
use pollux_twin::{Change, Rejection, TwinKey};

/// One service call to one twin.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which twin.
    pub key: TwinKey,
    /// Who asks: shown as the changer, and the scope of the idempotency key.
    pub caller: String,
    /// Makes a retry recognisable.
    pub idempotency_key: Option<String>,
    /// What is asked.
    pub request: Request,
    /// How long the caller waits; after that the answer is [`Rejection::Unknown`] for writes.
    pub timeout: Duration,
}

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
    /// Every twin of every tenant.
    All,
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
        /// Which twin.
        key: TwinKey,
        /// What changed.
        change: std::sync::Arc<Change>,
        /// Version of the whole twin after it.
        version: u64,
        /// Version of the changed section after it (zero if no section changed).
        section_version: u64,
        /// Resume token that stands for everything up to here.
        position: String,
    },
    /// Nothing happened for a while; the position moved all the same.
    Progress {
        /// Resume token.
        position: String,
    },
}
