//! Watchers: they follow the changes of all twins through whoever owns the shard, resume from where
//! they stand after whatever breaks, and begin with a full picture when that is too far back.

use std::sync::Arc;

use pollux_runtime::watch::{Committed, Cursor, Event as Change, Need};
use pollux_twin::table::Applied;

use super::World;
use super::judge::Seen;
use super::sim::Event;

/// Changes taken at once.
const TAKEN_MAX: usize = 6;

/// One watcher.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// Where it stands; nowhere before its first picture.
    cursor: Option<Cursor>,
    /// Where it is connected.
    host: usize,
    /// How many changes it was told.
    pub(super) told: u64,
}

impl World {
    /// A watcher asks for what is new, and will ask again.
    pub(super) fn watcher_asks(&mut self, watcher: usize) {
        let pause = self.sim.chance.between(5, 60);
        self.sim.after(pause, Event::WatcherAsks { watcher });
        let away = self.rough() && self.sim.chance.one_in(30);
        let watching = &mut self.watchers[watcher];
        let node = self.hosts[watching.host].node.as_ref().filter(|node| node.shard.is_open());
        let Some(node) = node.filter(|_| !away) else {
            watching.host = self.sim.chance.index(self.hosts.len());
            return;
        };
        let answer =
            watching.cursor.map(|from| (from, node.ring.after(from, TAKEN_MAX, Need::Changes)));
        let heard = !(self.net.rough && self.sim.chance.one_in(12));
        if !heard {
            // The answer got lost on its way: it asks again from where it stands.
            return;
        }
        match answer {
            Some((from, Ok((events, to)))) => {
                watching.cursor = Some(to);
                watching.told += events.len() as u64;
                self.judge.see(&Seen::Watched { from, to, events: &events });
            }
            _ => {
                let head = node.ring.head();
                watching.cursor = Some(head);
                self.judge.see(&Seen::Pictured { head, table: &node.table });
            }
        }
    }

    /// Whether a watcher has not been told all there is.
    pub(super) fn is_behind(&self, watcher: &Watcher) -> bool {
        watcher.cursor.is_none_or(|cursor| cursor.index < self.judge.truth.index)
    }
}

/// The changes of an entry as watchers are told them.
pub(super) fn watched(index: u64, applied: &Applied) -> Vec<Change> {
    let events = applied.events.iter().zip(1..).filter_map(|(event, ordinal)| {
        let versions = event.result.as_ref().ok()?;
        Some(Change {
            at: Cursor { index, ordinal },
            what: Arc::new(Committed::new(event.key.clone(), event.change.clone(), *versions)),
            states: None,
            fit: None,
            weight: 200,
        })
    });
    events.collect()
}
