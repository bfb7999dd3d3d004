//! What people set for the whole cluster, and the tokens that let nodes in. Owns the ranges; leaves their use
//! to `rules` and to the balancer.

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{
    LOST_AFTER_MS_DEFAULT, LOST_AFTER_MS_MIN, META_REPLICAS_MAX, MOVES_DEFAULT, MOVES_MAX,
    REPLICAS_DEFAULT, THRESHOLD_PERCENT_DEFAULT, THRESHOLD_PERCENT_MAX, TRANSFERS_DEFAULT,
    TRANSFERS_MAX,
};

/// How much the balancer may do at once, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Budget {
    /// Owners on their way to another node at once.
    pub transfers_max: u32,
    /// Groups that change their replicas at once.
    pub moves_max: u32,
    /// A node's load may differ from the mean by this much before owners move.
    pub threshold_percent: u32,
    /// Replicas of a shard where there are enough nodes; odd.
    pub replicas: u32,
    /// A node silent for this long is taken for lost, and its replicas are placed anew.
    pub lost_after_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            transfers_max: TRANSFERS_DEFAULT,
            moves_max: MOVES_DEFAULT,
            threshold_percent: THRESHOLD_PERCENT_DEFAULT,
            replicas: REPLICAS_DEFAULT,
            lost_after_ms: LOST_AFTER_MS_DEFAULT,
        }
    }
}

impl Budget {
    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let range = |what: &str, value: u32, most: u32| {
            let wrong = !(1..=most).contains(&value);
            wrong.then(|| format!("{what} is {value}: it takes 1 to {most}"))
        };
        let replicas_max = u32::try_from(META_REPLICAS_MAX).unwrap_or(u32::MAX);
        let even = (self.replicas.is_multiple_of(2))
            .then(|| format!("replicas is {}: it takes an odd number", self.replicas));
        let hasty = (self.lost_after_ms < LOST_AFTER_MS_MIN).then(|| {
            format!("lost_after_ms is {}: it takes {LOST_AFTER_MS_MIN} or more", self.lost_after_ms)
        });
        range("transfers_max", self.transfers_max, TRANSFERS_MAX)
            .or_else(|| range("moves_max", self.moves_max, MOVES_MAX))
            .or_else(|| range("threshold_percent", self.threshold_percent, THRESHOLD_PERCENT_MAX))
            .or_else(|| range("replicas", self.replicas, replicas_max))
            .or(even)
            .or(hasty)
    }
}

/// What lets one node in, once. The token itself is nowhere, only its hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Token {
    /// When it was issued, by the issuing leader's clock, in milliseconds since 1970.
    pub issued_ms: u64,
    /// From when on it is worth nothing.
    pub expires_ms: u64,
    /// The node it let in.
    pub used_by: Option<u64>,
}
