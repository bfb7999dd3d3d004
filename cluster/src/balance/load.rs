//! What a shard costs its owner, as one number. Owns the weighing of messages, sessions and bytes, and the
//! smoothing that keeps a moment's noise from moving anything.

use std::collections::BTreeMap;

use crate::ids::GroupId;
use crate::limits::{
    LOAD_BYTES_FLOOR, LOAD_MESSAGES_FLOOR, LOAD_SESSIONS_FLOOR, LOAD_SMOOTHING_MS,
};

/// What a group does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Messages of devices and services a second.
    pub messages_per_s: u64,
    /// Sessions of devices.
    pub sessions: u64,
    /// Bytes of its table.
    pub bytes: u64,
}

/// The score of a shard that does what the mean shard does.
const MEAN: f64 = 1000.0;
/// Parts of the score: what a shard costs by being there, its messages (most of the work), its sessions
/// (keep-alives and memory), its bytes (memory).
const PARTS: [f64; 4] = [0.1, 0.6, 0.2, 0.1];

/// Smoothed loads by group.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    smooth: BTreeMap<GroupId, [f64; 3]>,
    at_ms: u64,
    /// How long loads have been observed.
    pub(super) observed_ms: u64,
}

impl Loads {
    /// Takes in what was observed now. A group that nobody reported keeps its load.
    pub(super) fn observe(&mut self, now_ms: u64, seen: impl Iterator<Item = (GroupId, Load)>) {
        let passed = if self.smooth.is_empty() { 0 } else { now_ms.saturating_sub(self.at_ms) };
        self.observed_ms += passed;
        self.at_ms = now_ms;
        let newer = passed as f64 / (passed + LOAD_SMOOTHING_MS) as f64;
        for (group, load) in seen {
            let now = [load.messages_per_s as f64, load.sessions as f64, load.bytes as f64];
            let smooth = self.smooth.entry(group).or_insert(now);
            for (smooth, now) in smooth.iter_mut().zip(now) {
                *smooth += (now - *smooth) * newer;
            }
        }
    }

    /// A score for each of `shards` groups, [`MEAN`] on average once there is work to speak of.
    pub(super) fn scores(&self, shards: usize) -> Vec<u64> {
        let of = |shard: usize| {
            let group = u32::try_from(shard).map(GroupId::shard);
            group.ok().and_then(|group| self.smooth.get(&group)).copied().unwrap_or_default()
        };
        let mut means = [0.0; 3];
        for shard in 0..shards {
            means.iter_mut().zip(of(shard)).for_each(|(mean, load)| *mean += load / shards as f64);
        }
        // Below these floors it is noise: three messages are not a third of the work.
        let floors = [LOAD_MESSAGES_FLOOR, LOAD_SESSIONS_FLOOR, LOAD_BYTES_FLOOR];
        let means: Vec<f64> = means.iter().zip(floors).map(|(m, f)| m.max(f as f64)).collect();
        let score = |shard| {
            let parts = of(shard).into_iter().zip(&means).zip(&PARTS[1..]);
            let sum: f64 = parts.map(|((load, mean), part)| load / mean * part).sum();
            to_whole((PARTS[0] + sum) * MEAN)
        };
        (0..shards).map(score).collect()
    }
}

/// The nearest whole number, at least 1.
#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits before")]
fn to_whole(score: f64) -> u64 {
    score.round().clamp(1.0, 1e15) as u64
}
