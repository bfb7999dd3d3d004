//! When a majority last answered. Owns the counting over one set of voters, or two during a joint change.

use std::collections::{BTreeMap, BTreeSet};

/// The newest moment by which a majority of every set of voters had answered this node: `heard_ms` says when
/// each peer last did, and this node itself answers `now_ms`. None when a majority never has. An owner whose
/// moment is an election timeout ago must assume that another one was elected.
#[must_use]
pub fn quorum_heard_ms(
    voters: &[BTreeSet<u64>],
    own: u64,
    heard_ms: &BTreeMap<u64, u64>,
    now_ms: u64,
) -> Option<u64> {
    let of_set = |set: &BTreeSet<u64>| {
        let heard = |node: &u64| {
            if *node == own { Some(now_ms) } else { heard_ms.get(node).map(|at| (*at).min(now_ms)) }
        };
        let mut times: Vec<Option<u64>> = set.iter().map(heard).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(set.len() / 2).copied().flatten()
    };
    let moments: Option<Vec<u64>> = voters.iter().map(of_set).collect();
    moments?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(voters: &[&[u64]], heard_ms: &[(u64, u64)], expected: Option<u64>) {
        let voters: Vec<BTreeSet<u64>> =
            voters.iter().map(|v| v.iter().copied().collect()).collect();
        let heard_ms = heard_ms.iter().copied().collect();
        assert_eq!(quorum_heard_ms(&voters, 1, &heard_ms, 100), expected);
    }

    #[test]
    fn the_slowest_of_the_fastest_majority_counts() {
        check(&[&[1]], &[], Some(100));
        check(&[&[1, 2, 3]], &[(2, 40), (3, 70)], Some(70));
        check(&[&[1, 2, 3]], &[(3, 70)], Some(70));
        check(&[&[1, 2, 3]], &[], None);
        check(&[&[1, 2]], &[(2, 30)], Some(30));
        check(&[&[1, 2, 3, 4, 5]], &[(2, 40), (3, 70), (4, 10)], Some(40));
        // Clocks of one process do not disagree, but a bound costs nothing.
        check(&[&[1, 2, 3]], &[(2, 900)], Some(100));
    }

    #[test]
    fn both_sets_count_and_one_without_this_node_counts_without_it() {
        check(&[&[1, 2, 3], &[1, 4, 5]], &[(2, 80), (4, 20), (5, 60)], Some(60));
        check(&[&[1, 2, 3], &[4, 5, 6]], &[(2, 80), (4, 20), (5, 60)], Some(20));
        check(&[&[1, 2, 3], &[4, 5, 6]], &[(2, 80), (4, 20)], None);
        check(&[], &[], None);
    }
}
