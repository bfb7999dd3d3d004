//! Checkpoints: cut a few images at a time while changes go on, written in one atomic batch, and
//! the start from the newest one. Where the images lie is a map; what is durable is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_twin::TwinKey;
use pollux_twin::table::{Header, Options, Restore, Table};

use super::World;
use super::judge::Seen;
use super::mutant::Mutant;
use super::node::Node;
use super::replica;
use super::sim::Event;

/// Images taken of a cut in one go.
const CUT_LEN: usize = 2;

/// What is on disk beside the log.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) header: Header,
    pub(super) images: BTreeMap<TwinKey, Arc<[u8]>>,
    /// Images of the cut under way, not on disk yet.
    taken: Vec<(TwinKey, Arc<[u8]>)>,
    written: Option<Header>,
    /// How many checkpoints there were.
    pub(super) count: u64,
}

/// Few unpacked twins, so that they are packed and unpacked all the time.
pub(super) const fn options() -> Options {
    Options { hot_twins_max: 2, hot_bytes_max: 16 * 1024 }
}

/// A table as a checkpoint has it.
pub(super) fn restore(header: &Header, images: &BTreeMap<TwinKey, Arc<[u8]>>) -> Table {
    let mut restore = Restore::new();
    for (key, image) in images {
        restore.add(key.clone(), Arc::clone(image)).expect("images are kept unharmed");
    }
    restore.finish(header, options()).expect("a checkpoint is whole")
}

impl World {
    /// The node begins a checkpoint, or goes on with one.
    pub(super) fn cut_goes_on(&mut self, boot: u64) {
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        if !node.cutting {
            node.cutting = true;
            node.table.begin_cut();
            self.store.taken.clear();
        }
        let images = node.table.take_cut(CUT_LEN);
        let pause = self.sim.chance.between(1, 15);
        if images.is_empty() {
            self.store.written = Some(node.table.end_cut());
            let takes = self.sim.chance.between(1, 60);
            self.sim.after(takes, Event::Checkpointed { boot });
        } else {
            self.store.taken.extend(images);
            self.sim.after(pause, Event::CutGoesOn { boot });
        }
    }

    /// The checkpoint is on disk: the log before it may go.
    pub(super) fn checkpointed(&mut self, boot: u64) {
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        node.cutting = false;
        let header = self.store.written.take().expect("it was being written");
        let again = self.sim.chance.between(100, 1_500);
        self.sim.after(again, Event::CutGoesOn { boot });
        self.store.images.extend(self.store.taken.drain(..));
        self.store.header = header;
        self.store.count += 1;
        let images = &self.store.images;
        self.judge.see(&Seen::Checkpointed { header, images });
        let kept = self.sim.chance.between(0, 20);
        let upto = match self.mutant {
            Mutant::PurgesTooFar => header.index + 3,
            _ => header.index.saturating_sub(kept),
        };
        self.log.purge(upto.min(self.log.durable()));
    }

    /// The node starts: the newest checkpoint, then what the log has after it.
    pub(super) fn start(&mut self) {
        if self.node.is_some() {
            return;
        }
        self.boot += 1;
        // A starting node has nothing but its wall clock to know the time by: it is right then.
        self.faults.mend();
        self.first_term = self.term + 1;
        let boot = self.boot;
        let mut table = restore(&self.store.header, &self.store.images);
        // What a crash left of the tail is on disk, and known to be, from here on.
        self.judge.learn(&self.log, self.log.durable());
        let from = (self.store.header.index + 1).max(self.log.purged() + 1);
        replica::replay(self.mutant, &mut table, &self.log, from, self.log.durable());
        self.judge.see(&Seen::Restored { table: &table });
        self.node = Some(Node::new(boot, self.sim.now, table));
        self.sim.after(1, Event::Tick { boot });
        let first = self.sim.chance.between(50, 800);
        self.sim.after(first, Event::CutGoesOn { boot });
        let elected = self.sim.chance.between(1, 100);
        self.sim.after(elected, Event::Leads { boot });
    }

    /// The process is gone, with all that was only in memory.
    pub(super) fn crash(&mut self) {
        self.node = None;
        self.boot += 1;
        self.crashes += 1;
        self.log.crash(&mut self.sim.chance);
        self.store.taken.clear();
        self.store.written = None;
        for conn in self.net.standing() {
            self.net.cut(conn);
            let learns = self.sim.chance.between(1, 1_500);
            self.sim.after(learns, Event::DeviceLoses { conn });
        }
        let down = self.sim.chance.between(10, 1_500);
        self.sim.after(down, Event::Starts);
    }
}
