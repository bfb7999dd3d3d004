//! The network between nodes: messages that are lost, doubled, late and out of order; links that are
//! blocked, one way or both.

use std::collections::BTreeSet;

use super::World;
use super::consensus::Message;
use super::host::{number, of};
use super::sim::{Event, Sim};

/// Which links are blocked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    blocked: BTreeSet<(usize, usize)>,
    /// Whether messages get lost, doubled and very late.
    pub(super) rough: bool,
}

impl Peers {
    /// Links that are good for nothing much.
    pub(super) fn rough() -> Self {
        Self { rough: true, ..Self::default() }
    }

    /// Whether what `from` sends gets to `to`.
    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        !self.blocked.contains(&(from, to))
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    /// All links are as they should be.
    pub(super) fn heal(&mut self) {
        self.blocked.clear();
    }

    /// How long something takes; `None` if it gets lost.
    pub(super) fn way(&self, sim: &mut Sim, from: usize, to: usize) -> Option<u64> {
        if !self.reaches(from, to) || (self.rough && sim.chance.one_in(40)) {
            return None;
        }
        let most = match (self.rough, sim.chance.below(60)) {
            (true, 0) => 1_500,
            (true, 1..6) => 60,
            _ => 4,
        };
        Some(sim.chance.between(1, most))
    }
}

impl World {
    /// Sends a message to another node.
    pub(super) fn post(&mut self, host: usize, to: u64, message: Message) {
        let from = number(host);
        let twice = self.peers.rough && self.sim.chance.one_in(30);
        for _ in 0..1 + usize::from(twice) {
            if let Some(takes) = self.peers.way(&mut self.sim, host, of(to)) {
                let message = message.clone();
                self.sim.after(takes, Event::Peer { host: of(to), from, message });
            }
        }
    }

    /// A node is told something by another.
    pub(super) fn peer_says(&mut self, host: usize, from: u64, message: Message) {
        let now = self.sim.now;
        let own = &mut self.hosts[host];
        let Some(node) = &mut own.node else { return };
        let state = match &message {
            Message::State { place, header, images, .. } => Some((*place, *header, images.clone())),
            _ => None,
        };
        let term = message.term();
        let disk = (&mut self.sim.chance, &mut own.log);
        node.consensus.handle(now, from, message, disk);
        let current = node.consensus.ballot.term == term && node.consensus.leader == Some(from);
        if let Some(state) = state.filter(|_| current) {
            self.state_arrives(host, state);
        }
        self.pump(host);
    }
}
