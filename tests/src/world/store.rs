//! Checkpoints: cut a few images at a time while changes go on, written in one atomic batch, and
//! the start from the newest one. Where the images lie is a map; what is durable is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_twin::TwinKey;
use pollux_twin::change::Section;
use pollux_twin::index::IndexPath;
use pollux_twin::table::{Header, Options, Restore, Table};

use super::World;
use super::consensus::{Consensus, ELECTION_MS};
use super::host::number;
use super::judge::Seen;
use super::mutant::Mutant;
use super::node::Node;
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
    /// Cuts begun, and in which life of the node the last one was.
    cuts: u64,
    boot: u64,
}

impl Store {
    /// Another's state is in the place of what was here; a cut under way is of no use any more.
    pub(super) fn replace(&mut self, header: Header, images: BTreeMap<TwinKey, Arc<[u8]>>) {
        (self.header, self.images) = (header, images);
        self.give_up();
    }

    /// What was not on disk is gone.
    fn give_up(&mut self) {
        self.taken.clear();
        self.written = None;
    }
}

/// Few unpacked twins, so that they are packed and unpacked all the time; and indexes of what is written.
pub(super) fn options() -> Options {
    let path =
        |(section, name): (Section, &str)| IndexPath { section, names: [name.into()].into() };
    let written =
        [(Section::Reported, "id"), (Section::Reported, "mode"), (Section::Desired, "mode")];
    let indexes = written.into_iter().map(path).collect();
    Options { hot_twins_max: 2, hot_bytes_max: 16 * 1024, indexes }
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
    /// A node begins a checkpoint.
    pub(super) fn cut_begins(&mut self, host: usize, boot: u64) {
        let own = &mut self.hosts[host];
        let Some(node) = own.node.as_mut().filter(|node| node.boot == boot) else { return };
        own.store.cuts += 1;
        own.store.boot = boot;
        own.store.taken.clear();
        let cut = own.store.cuts;
        node.cutting = Some(cut);
        node.table.begin_cut();
        self.cut_goes_on(host, cut);
    }

    /// A node takes the next images of a cut.
    pub(super) fn cut_goes_on(&mut self, host: usize, cut: u64) {
        let own = &mut self.hosts[host];
        let Some(node) = own.node.as_mut().filter(|node| node.cutting == Some(cut)) else {
            return self.cut_again(host, cut);
        };
        let images = node.table.take_cut(CUT_LEN);
        let pause = self.sim.chance.between(1, 15);
        if images.is_empty() {
            own.store.written = Some(node.table.end_cut());
            let takes = self.sim.chance.between(1, 60);
            self.sim.after(takes, Event::Checkpointed { host, cut });
        } else {
            own.store.taken.extend(images);
            self.sim.after(pause, Event::CutGoesOn { host, cut });
        }
    }

    /// A cut came to nothing because a state took the table's place: there will be another.
    fn cut_again(&mut self, host: usize, cut: u64) {
        let own = &self.hosts[host];
        let boot = own.store.boot;
        // A node that was restarted since has another one to come.
        let same = own.node.as_ref().is_some_and(|node| node.boot == boot);
        if same && own.store.cuts == cut {
            let again = self.sim.chance.between(100, 1_500);
            self.sim.after(again, Event::CutBegins { host, boot });
        }
    }

    /// The checkpoint is on disk: the log before it may go.
    pub(super) fn checkpointed(&mut self, host: usize, cut: u64) {
        let own = &mut self.hosts[host];
        let Some(node) = own.node.as_mut().filter(|node| node.cutting == Some(cut)) else {
            return self.cut_again(host, cut);
        };
        node.cutting = None;
        let header = own.store.written.take().expect("it was being written");
        own.store.images.extend(own.store.taken.drain(..));
        own.store.header = header;
        self.checkpoints += 1;
        let images = &own.store.images;
        self.judge.see(&Seen::Checkpointed { header, images });
        let kept = self.sim.chance.between(0, 20);
        let upto = match self.mutant {
            Mutant::PurgesTooFar => header.index + 3,
            _ => header.index.saturating_sub(kept),
        };
        own.log.purge(upto.min(own.log.durable()));
        self.cut_again(host, cut);
    }

    /// A node starts: the newest checkpoint; what the log has after it comes when it is known to be
    /// committed.
    pub(super) fn start(&mut self, host: usize) {
        let nodes = self.hosts.len();
        let own = &mut self.hosts[host];
        if own.node.is_some() {
            return;
        }
        own.boot += 1;
        // A starting node has nothing but its wall clock to know the time by: it is right then.
        own.wall_off_ms = 0;
        let (boot, header) = (own.boot, own.store.header);
        let table = restore(&header, &own.store.images);
        let elected = self.sim.now
            + self.sim.chance.between(1, 100)
            + if nodes > 1 { ELECTION_MS } else { 0 };
        let me = (self.mutant, number(host), nodes);
        let consensus = Consensus::new(me, own.ballot, header.index, elected);
        let last = own.log.last().index;
        own.node = Some(Node::new(boot, self.sim.now, table, (consensus, last)));
        self.sim.after(1, Event::Tick { host, boot });
        let first = self.sim.chance.between(50, 800);
        self.sim.after(first, Event::CutBegins { host, boot });
    }

    /// The process is gone, with all that was only in memory.
    pub(super) fn crash(&mut self, host: usize) {
        let own = &mut self.hosts[host];
        own.node = None;
        own.boot += 1;
        own.log.crash(&mut self.sim.chance);
        own.store.give_up();
        self.crashes += 1;
        for conn in self.net.standing(Some(host)) {
            self.net.cut(conn);
            let learns = self.sim.chance.between(1, 1_500);
            self.sim.after(learns, Event::DeviceLoses { conn });
        }
        let down = self.sim.chance.between(10, 1_500);
        self.sim.after(down, Event::Starts { host });
        self.inspect();
    }
}
