//! Has a majority of the meta group's nodes hold what was brought here, before it is acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use pollux_cluster::NodeId;
use pollux_cluster::meta::Place;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::limits::{HOLD_RETRY, HOLD_STALLED, SPREAD_MAX};
use super::peer::Held;
use super::{ArtifactFault, Depot, Digest};

impl Depot {
    /// Returns when enough nodes have the bytes, which are on this one, on their disks: enough of those where the meta
    /// group is, which is given back.
    pub(crate) async fn spread(&self, digest: Digest, size: u64) -> Result<Place, ArtifactFault> {
        let place = self.place();
        let mut held = BTreeSet::from([self.inner.node.0]);
        let mut asked = JoinSet::new();
        let voters: BTreeSet<_> = place.goal.voters.iter().chain(&place.acting).copied().collect();
        for node in voters.into_iter().filter(|node| *node != self.inner.node.0) {
            let depot = self.clone();
            asked.spawn(async move { (node, depot.have_held(NodeId(node), &digest, size).await) });
        }
        let mut why = "no other node can be reached".to_owned();
        let end = self.inner.clock.elapsed() + SPREAD_MAX;
        while !is_enough(&place, &held) {
            let left = end.saturating_sub(self.inner.clock.elapsed());
            let answered = tokio::time::timeout(left, asked.join_next()).await;
            match answered.ok().flatten() {
                Some(Ok((node, Ok(())))) => {
                    held.insert(node);
                }
                Some(Ok((node, Err(fault)))) => {
                    tracing::warn!(
                        node,
                        fault,
                        "a node does not hold an artifact that was brought"
                    );
                    why = format!("node {node}: {fault}");
                }
                Some(Err(error)) => why = error.to_string(),
                // Nobody is left to wait for, or no time.
                None => {
                    let needed = place.acting.len().max(place.goal.voters.len()) / 2 + 1;
                    let held = held.intersection(&place.acting.iter().copied().collect()).count();
                    return Err(ArtifactFault::NoMajority { held, needed, why });
                }
            }
        }
        Ok(place)
    }

    /// Where the meta group is, as this node knows it.
    pub(crate) fn place(&self) -> Place {
        self.picture().borrow().meta.own.clone()
    }

    /// Asks a node again and again until it holds something, for as long as it comes further.
    async fn have_held(&self, node: NodeId, digest: &Digest, size: u64) -> Result<(), String> {
        let clock = self.inner.clock;
        let (mut most, mut since) = (0, clock.elapsed());
        loop {
            let why = match self.ask_to_hold(node, digest, size).await {
                Ok(Held { held: true, .. }) => return Ok(()),
                Ok(Held { bytes, .. }) if bytes > most => {
                    (most, since) = (bytes, clock.elapsed());
                    continue;
                }
                Ok(Held { fault, .. }) if !fault.is_empty() => fault,
                Ok(Held { .. }) => "it comes no further".to_owned(),
                Err(fault) => fault.to_string(),
            };
            if over(since, clock.elapsed()) {
                return Err(why);
            }
            sleep(HOLD_RETRY).await;
        }
    }
}

fn over(since: Duration, now: Duration) -> bool {
    now.saturating_sub(since) >= HOLD_STALLED
}

/// Whether a majority holds it: of those who vote, and of those who are meant to, while the two differ.
fn is_enough(place: &Place, held: &BTreeSet<u64>) -> bool {
    let most = |voters: &[u64]| {
        let there = voters.iter().filter(|node| held.contains(node)).count();
        voters.is_empty() || there * 2 > voters.len()
    };
    most(&place.acting) && most(&place.goal.voters)
}

#[cfg(test)]
mod tests {
    use pollux_cluster::meta::Goal;

    use super::*;

    #[test]
    fn a_majority_is_one_of_each_set_of_voters() {
        let mut place = Place::settled(Goal::of([1, 2, 3]));
        let enough =
            |place: &Place, held: &[u64]| is_enough(place, &held.iter().copied().collect());
        assert!(!enough(&place, &[1]) && enough(&place, &[1, 3]));
        assert!(!enough(&place, &[4, 5, 1]), "others do not count");
        place.goal = Goal::of([3, 4, 5]);
        assert!(!enough(&place, &[1, 2]) && !enough(&place, &[4, 5]));
        assert!(enough(&place, &[1, 3, 4]));
        assert!(enough(&Place::settled(Goal::of([1])), &[1]));
    }
}
