//! What breaks, and when: crashes, lost leadership, hand-offs, stalled disks, cut connections and links,
//! jumping clocks.

use super::World;
use super::sim::Event;

/// The wall clock when the world began: some day in 2026.
const BEGAN_MS: u64 = 1_790_000_000_000;

/// Before this no device is switched off for good.
const RETIRES_MS: u64 = 6_000;

/// What is out of order for good.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// A device was switched off.
    retired: bool,
}

impl World {
    /// A node's wall clock.
    pub(super) fn wall_ms(&self, host: usize) -> u64 {
        (BEGAN_MS + self.sim.now).saturating_add_signed(self.hosts[host].wall_off_ms)
    }

    /// Something breaks, and more will.
    pub(super) fn breaks(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.sim.chance.between(20, 700);
        self.sim.after(pause, Event::Breaks);
        let host = self.sim.chance.index(self.hosts.len());
        match self.sim.chance.below(26) {
            0..2 => self.crash_if_up(host),
            2..4 => self.lose_lead(),
            4..6 => {
                let ms = self.sim.chance.between(50, 900);
                let now = self.sim.now;
                self.hosts[host].log.stall(now, ms);
            }
            6..8 => self.jump_clock(),
            8 if self.sim.now > RETIRES_MS && !self.faults.retired => self.retire(),
            8 => self.hosts[host].log.sync_ms_max = self.sim.chance.between(1, 40),
            9 => self.cut_all(),
            10..17 => self.cut_one(),
            17..20 => {
                let device = self.sim.chance.index(self.devices.len());
                self.device_restarts(device);
            }
            20 => self.hand_off(),
            21 => self.crash_owner(),
            _ => self.part(host),
        }
    }

    fn crash_if_up(&mut self, host: usize) {
        if self.hosts[host].node.is_some() {
            self.crash(host);
        }
    }

    /// The node that leads, in the newest term.
    fn leader(&self) -> Option<usize> {
        let leads = |host: &usize| {
            let node = self.hosts[*host].node.as_ref().filter(|node| node.consensus.leads())?;
            Some((node.consensus.ballot.term, *host))
        };
        (0..self.hosts.len()).filter_map(|host| leads(&host)).max().map(|(_, host)| host)
    }

    fn crash_owner(&mut self) {
        if let Some(host) = self.leader().filter(|_| self.hosts.len() > 1) {
            self.crash(host);
        }
    }

    fn lose_lead(&mut self) {
        let Some(host) = self.leader() else { return };
        let at = self.sim.now + self.sim.chance.between(1, 600);
        if let Some(node) = &mut self.hosts[host].node {
            node.consensus.resign(at);
        }
        self.pump(host);
    }

    /// The owner hands its shard to another node.
    fn hand_off(&mut self) {
        let Some(host) = self.leader() else { return };
        let own = &mut self.hosts[host];
        if let Some(node) = &mut own.node
            && node.consensus.hand_off(self.sim.now, &own.log).is_some()
        {
            self.hand_offs += 1;
        }
        self.pump(host);
    }

    /// Links between nodes are blocked for a while: around one node, one way or both, or between two
    /// halves. Devices and callers reach all nodes as before.
    fn part(&mut self, host: usize) {
        let nodes = self.hosts.len();
        if nodes == 1 {
            return;
        }
        self.peers.heal();
        let kind = self.sim.chance.below(5);
        let alone = if kind < 2 { self.leader().unwrap_or(host) } else { host };
        let half = |other: usize| other < nodes / 2;
        for from in 0..nodes {
            for to in 0..nodes {
                let blocked = match kind {
                    0 | 2 => (from == alone) != (to == alone),
                    1 => from == alone && to != alone,
                    3 => to == alone && from != alone,
                    _ => half(from) != half(to),
                };
                if blocked {
                    self.peers.block(from, to);
                }
            }
        }
        let heals = self.sim.chance.between(100, 5_000);
        self.sim.after(heals, Event::Heals);
        self.parted += 1;
    }

    /// A device is switched off for good, perhaps while the node is, so that nobody sees it go.
    fn retire(&mut self) {
        self.faults.retired = true;
        let device = self.sim.chance.index(self.devices.len());
        self.device_retires(device);
        if self.sim.chance.one_in(2) {
            let host = self.leader().unwrap_or(0);
            self.crash_if_up(host);
        }
    }

    /// The owner's wall clock jumps, but not before its first opening: that one has nothing else to
    /// know the time by.
    fn jump_clock(&mut self) {
        let Some(host) = self.leader() else { return };
        let own = &mut self.hosts[host];
        if own.node.as_ref().is_none_or(|node| !node.opened) {
            return;
        }
        let far = self.sim.chance.between(0, 3_600_000);
        let far = i64::try_from(far).expect("an hour fits");
        own.wall_off_ms = match self.sim.chance.below(3) {
            0 => far,
            1 => -far,
            _ => far % 2_000,
        };
    }

    fn cut_one(&mut self) {
        let standing = self.net.standing(None);
        if !standing.is_empty() {
            let conn = standing[self.sim.chance.index(standing.len())];
            self.net.breaks(&mut self.sim, conn, 2_500);
        }
    }

    fn cut_all(&mut self) {
        for conn in self.net.standing(None) {
            self.net.breaks(&mut self.sim, conn, 1_500);
        }
    }
}
