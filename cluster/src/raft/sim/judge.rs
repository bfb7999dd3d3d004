//! The judgement at the end of a run: everything has healed, nothing acknowledged is gone, and each
//! register's calls fit together.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::clients::{get, put};
use super::linear;
use super::truth::{Law, Truth};
use super::world::World;
use crate::ids::GroupId;

/// How long a group may take to go on, once all is well: several elections, and a snapshot.
const HEALED_WITHIN: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Each group must take one more write, and every member must get there.
pub(super) async fn judge(world: &Arc<World>) {
    for group in world.groups() {
        if let Err(what) = heals(world, group).await {
            world.truth.breach(Law::Heals, format!("{group}: {what}"));
        }
    }
}

async fn heals(world: &Arc<World>, group: GroupId) -> Result<(), String> {
    let looks = HEALED_WITHIN.as_millis() / LOOK.as_millis();
    let mut written = false;
    let mut missing = String::from("nobody leads");
    for _ in 0..looks {
        sleep(LOOK).await;
        let Some(seat) = world.leader(group) else { continue };
        let ours = seat.group.leadership().borrow().ours;
        let Some(epoch) = ours.map(|token| token.epoch()) else { continue };
        if !written {
            written = put(world, &seat, epoch).await && get(world, &seat, epoch).await;
            missing = format!("{epoch} does not write and read");
            continue;
        }
        let want = seat.machine.copy();
        let members = seat.group.metrics().members;
        let ids = members.voters.iter().chain(&members.learners);
        let behind: Vec<u64> = ids
            .map(|node| node.0)
            .filter(|node| {
                let has = world.seat(*node, group).map(|seat| seat.machine.copy());
                has.is_none_or(|has| (has.position, has.digest()) != (want.position, want.digest()))
            })
            .collect();
        if behind.is_empty() && members.leaving.is_none() {
            return Ok(());
        }
        missing = format!("{behind:?} have not all of {:?}, {members:?}", want.position);
    }
    Err(missing)
}

/// Judges what the calls of the whole run say.
pub(super) fn histories(truth: &Truth) {
    let histories = truth.with(|inner| {
        inner.check_kept();
        inner.histories()
    });
    for ((group, key), calls) in histories {
        if let Err(what) = linear::check(&calls) {
            truth.breach(Law::Linear, format!("register {key} of {group}: {what}"));
        }
    }
}

/// A panic in a task is a broken law as well.
pub(super) fn panics(truth: &Truth, panics: u64) {
    if panics > 0 {
        truth.breach(Law::NoPanic, format!("{panics} panics, see above"));
    }
}
