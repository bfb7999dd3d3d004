//! Changes of who belongs to a group, as the balancer asks for them: learners first, then voters, the old
//! ones out. Owns the choice among what makes sense at the moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::node::Seat;
use super::world::World;
use crate::ids::{GroupId, NodeId};
use crate::raft::{ChangeError, Demoted, Members};

/// Voters of a group at most: an even number and a majority that is not everyone.
const VOTERS_MAX: usize = 4;
/// How long a learner may take to catch up before the change is given up.
const CATCH_UP: Duration = Duration::from_secs(2);

/// One change of one group, if it has a leader.
pub(super) async fn change(world: Arc<World>, group: GroupId) {
    let Some(seat) = world.leader(group) else { return };
    let now = seat.group.metrics().members;
    let (Some(seen), None) = (now.at, &now.leaving) else { return };
    let outside: Vec<NodeId> =
        world.node_ids().into_iter().map(NodeId).filter(|id| !now.contains(*id)).collect();
    let learners: Vec<NodeId> = now.learners.iter().copied().collect();
    let others: Vec<NodeId> =
        now.voters.iter().copied().filter(|id| id.0 != seat.life.node).collect();
    let (come, vote, go) =
        (world.chance.pick(&outside), world.chance.pick(&learners), world.chance.pick(&others));
    let done = match (come, vote, go, world.chance.between(1, 6)) {
        (Some(node), _, _, 1 | 2) => come_in(&seat, node, &now).await,
        (_, Some(node), Some(old), 3) => {
            let mut voters = now.voters.clone();
            voters.remove(&old);
            voters.insert(node);
            let demoted = demoted(&world);
            seat.group.change_voters(&voters, demoted, seen).await
        }
        (_, Some(node), _, _) if now.voters.len() < VOTERS_MAX => {
            let voters: BTreeSet<NodeId> = now.voters.iter().copied().chain([node]).collect();
            seat.group.change_voters(&voters, Demoted::Learns, seen).await
        }
        // Down to one voter at times: it then leads alone.
        (_, _, Some(old), 4 | 5) => {
            let mut voters = now.voters.clone();
            voters.remove(&old);
            seat.group.change_voters(&voters, demoted(&world), seen).await
        }
        (_, Some(node), _, _) => seat.group.remove(node, seen).await,
        (Some(node), ..) => come_in(&seat, node, &now).await,
        _ => return,
    };
    let numbers = [seat.life.node, u64::from(group.0), u64::from(done.is_ok())];
    world.truth.note("changes members", &numbers);
    if done.is_ok() {
        world.truth.count(|counts| counts.members_changed += 1);
    }
}

fn demoted(world: &World) -> Demoted {
    if world.chance.one_in(2) { Demoted::Learns } else { Demoted::Leaves }
}

/// A learner first; a voter as soon as it has caught up.
async fn come_in(seat: &Seat, node: NodeId, now: &Members) -> Result<(), ChangeError> {
    let Some(seen) = now.at else { return Ok(()) };
    seat.group.add_learner(node, seen).await?;
    seat.group.caught_up(node, CATCH_UP).await?;
    let now = seat.group.metrics().members;
    let (Some(seen), true) = (now.at, now.voters.len() < VOTERS_MAX) else { return Ok(()) };
    let voters: BTreeSet<NodeId> = now.voters.iter().copied().chain([node]).collect();
    seat.group.change_voters(&voters, Demoted::Leaves, seen).await
}
