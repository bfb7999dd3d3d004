//! A machine that a node runs on: what it has on disk, which survives the node, and its clock.

use super::consensus::Ballot;
use super::log::Log;
use super::node::Node;
use super::store::Store;

/// One machine, with its node while that runs.
#[derive(Default)]
pub(super) struct Host {
    /// Goes up with each start and each end of the node.
    pub(super) boot: u64,
    pub(super) ballot: Ballot,
    pub(super) log: Log,
    pub(super) store: Store,
    /// How far the wall clock is off.
    pub(super) wall_off_ms: i64,
    pub(super) node: Option<Node>,
}

/// The number of the node on a machine, in the cluster's own counting.
pub(super) const fn number(host: usize) -> u64 {
    host as u64 + 1
}

/// The machine of a node.
pub(super) fn of(number: u64) -> usize {
    usize::try_from(number - 1).expect("a node of this world")
}

/// Where devices dial a node.
pub(super) fn address(host: usize) -> String {
    format!("node-{}:1", number(host))
}

/// The machine that is dialled.
pub(super) fn dialled(address: &str) -> usize {
    let number = address.strip_prefix("node-").and_then(|rest| rest.strip_suffix(":1"));
    of(number.and_then(|number| number.parse().ok()).expect("an address of this world"))
}
