//! What was changed, by whom, and what came of it. Owns the ring of the newest entries; leaves what is worth one to
//! those who write it.

use rkyv::{Archive, Deserialize, Serialize};

use super::order::Order;
use crate::limits::{AUDIT_ENTRIES_MAX, AUDIT_TEXT_BYTES_MAX};

/// One thing that was done, or begun.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Audited {
    /// Counts from 1 on, without a gap: what is missing before the first one was dropped for newer ones.
    pub number: u64,
    /// The order's random name, by which a repetition is recognised.
    pub id: u128,
    /// When, by the clock of the node that was asked, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node that was asked.
    pub node: u64,
    /// Who asked.
    pub who: String,
    /// How that was proven.
    pub via: String,
    /// The address that it came from.
    pub from: String,
    /// What was asked.
    pub what: String,
    /// Of what.
    pub on: String,
    /// What came of it: `done`, `begun`, or why it was refused.
    pub result: String,
}

impl Audited {
    pub(super) fn of(order: &Order, number: u64, what: &str, on: String, result: &str) -> Self {
        Self {
            number,
            id: order.id,
            at_ms: order.at_ms,
            node: order.node,
            who: short(&order.who),
            via: short(&order.via),
            from: short(&order.from),
            what: short(what),
            on: short(&on),
            result: short(result),
        }
    }
}

/// Puts one at the end, and drops the oldest where there are too many.
pub(super) fn push(ring: &mut Vec<Audited>, entry: Audited) {
    ring.push(entry);
    let excess = ring.len().saturating_sub(AUDIT_ENTRIES_MAX);
    ring.drain(..excess);
}

/// The beginning of a text, as long as entries have it.
pub(super) fn short(text: &str) -> String {
    let end =
        (0..=AUDIT_TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}
