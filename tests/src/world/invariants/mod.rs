//! What must always hold, one rule a file. None knows how the drivers work: each compares what was
//! seen with what is on disk.

mod agreement;
mod durable;
mod generations;
mod healed;
mod in_order;
mod linear;
mod majority;
mod once;
mod presence;
mod pushed_once;
mod release;
mod replay;
mod sound;
mod typed;
mod versions;
mod watch;

use super::judge::Invariant;
use super::mutant::Mutant;

/// All of them. A mutant that a comparison of images would give away at once must be found by what
/// devices and callers see.
pub(super) fn all(mutant: Mutant) -> Vec<Box<dyn Invariant>> {
    let mut all: Vec<Box<dyn Invariant>> = vec![
        Box::new(agreement::Agreement),
        Box::new(durable::Durable),
        Box::new(generations::Generations::default()),
        Box::new(healed::Healed),
        Box::new(in_order::InOrder::default()),
        Box::new(linear::Linear),
        Box::new(majority::Majority),
        Box::new(once::Once),
        Box::new(presence::Presence),
        Box::new(pushed_once::PushedOnce::default()),
        Box::new(release::Release),
        Box::new(sound::Sound),
        Box::new(typed::Typed::default()),
        Box::new(versions::Versions::default()),
        Box::new(watch::Watch),
    ];
    let marks = [Mutant::ForgetsKeys, Mutant::ForgetsNumbers, Mutant::MarksStayHome];
    if !marks.contains(&mutant) {
        all.push(Box::new(replay::Replay::default()));
    }
    all
}
