//! Whether this node's clock agrees with its peers'. Owns the median and the room between stopping and
//! beginning again.

use crate::limits::{CLOCK_BACK_MS, CLOCK_OFF_MS, CLOCK_PEERS_MIN};

/// What a node's peers say of its clock. A node that is off may not own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockVerdict {
    /// It agrees with most of them, or there are too few to say.
    #[default]
    Agrees,
    /// It is off their median by this much; positive when it is behind them.
    Off {
        /// Their median minus this node's time.
        by_ms: i64,
    },
}

impl ClockVerdict {
    /// The next verdict, from what each peer's clock showed minus what this node's did, all heard lately.
    /// With fewer peers than it takes to say who is wrong, the last verdict stands.
    #[must_use]
    pub fn next(self, offsets_ms: &[i64]) -> Self {
        if offsets_ms.len() < CLOCK_PEERS_MIN {
            return self;
        }
        let by_ms = median(offsets_ms);
        let bound = match self {
            Self::Agrees => CLOCK_OFF_MS,
            Self::Off { .. } => CLOCK_BACK_MS,
        };
        if by_ms.unsigned_abs() > bound { Self::Off { by_ms } } else { Self::Agrees }
    }
}

/// The middle one; of two middle ones the one nearer to this node, so that of three nodes of which one is
/// wrong only that one is judged to be.
fn median(offsets_ms: &[i64]) -> i64 {
    let mut sorted = offsets_ms.to_vec();
    sorted.sort_unstable();
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    if low.unsigned_abs() <= high.unsigned_abs() { low } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: ClockVerdict, offsets_ms: &[i64], expected: ClockVerdict) {
        assert_eq!(before.next(offsets_ms), expected);
    }

    #[test]
    fn a_clock_is_off_when_most_say_so() {
        let (agrees, off) = (ClockVerdict::Agrees, |by_ms| ClockVerdict::Off { by_ms });
        check(agrees, &[5_000, -5_000, 5_000], agrees);
        check(agrees, &[5_001, 20, 5_001], off(5_001));
        check(agrees, &[-9_000, -9_000], off(-9_000));
        check(agrees, &[i64::MIN, i64::MAX, i64::MIN], off(i64::MIN));
        // One of three is wrong: the two others see it and each other.
        check(agrees, &[0, 10_000], agrees);
        check(agrees, &[-10_000, 3], agrees);
    }

    #[test]
    fn too_few_peers_change_nothing_and_the_way_back_is_narrower() {
        let off = ClockVerdict::Off { by_ms: 7_000 };
        for few in [&[][..], &[0], &[90_000]] {
            check(ClockVerdict::Agrees, few, ClockVerdict::Agrees);
            check(off, few, off);
        }
        check(off, &[4_500, 4_500, 0], ClockVerdict::Off { by_ms: 4_500 });
        check(off, &[4_000, 4_000, 0], ClockVerdict::Agrees);
    }

    #[test]
    fn of_any_minority_of_wrong_clocks_only_those_are_judged_wrong() {
        for nodes in 3..8_usize {
            for wrong in 0..=(nodes - 1) / 2 {
                let clock = |node: usize| if node < wrong { 60_000 } else { 37 * node as i64 };
                for node in 0..nodes {
                    let peers = (0..nodes).filter(|peer| *peer != node);
                    let offsets: Vec<i64> = peers.map(|peer| clock(peer) - clock(node)).collect();
                    let off = ClockVerdict::default().next(&offsets) != ClockVerdict::Agrees;
                    assert_eq!(off, node < wrong, "node {node} of {nodes}, {wrong} wrong");
                }
            }
        }
    }
}
