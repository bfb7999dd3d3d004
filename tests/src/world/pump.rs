//! What follows from a step of a node's consensus: messages go out, the disk is synced, what is
//! committed is applied, and who leads owns. The order is that of a driver's turn.

use super::World;
use super::consensus::Turn;
use super::host::of;
use super::sim::Event;

impl World {
    /// Carries out what a node's consensus came to.
    pub(super) fn pump(&mut self, host: usize) {
        self.witness(host);
        let own = &mut self.hosts[host];
        let Some(node) = &mut own.node else { return };
        own.ballot = node.consensus.ballot;
        let boot = node.boot;
        let (out, turns) =
            (core::mem::take(&mut node.consensus.out), core::mem::take(&mut node.consensus.turns));
        if let Some((sync, at)) = own.log.begin_sync(self.sim.now, &mut self.sim.chance) {
            self.sim.at(at, Event::Synced { host, boot, sync });
        }
        let upto = node.consensus.commit.min(own.log.last().index);
        if upto > node.applying {
            node.applying = upto;
            let takes = self.sim.chance.between(0, 3);
            self.sim.after(takes, Event::Apply { host, boot, upto });
        }
        for (to, message) in out {
            self.post(host, to, message);
        }
        for turn in turns {
            self.turn(host, boot, turn);
        }
    }

    fn turn(&mut self, host: usize, boot: u64, turn: Turn) {
        match turn {
            Turn::Leads => self.lead(host),
            Turn::Deposed => self.step_down(host),
            Turn::Behind { peer } => self.begin_state(host, of(peer)),
            Turn::Unconfirmed { id } => self.barrier_fails(host, boot, id),
            Turn::Confirmed { id, index } => {
                let Some(node) = self.running(host, boot) else { return };
                node.proposer.confirmed.push((id, index));
                self.sim.after(0, Event::RoundsEnd { host, boot });
            }
        }
    }
}
