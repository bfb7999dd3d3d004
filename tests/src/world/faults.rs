//! What breaks, and when: crashes, lost leadership, stalled disks, cut connections, jumping clocks.

use super::World;
use super::sim::Event;

/// The wall clock when the world began: some day in 2026.
const BEGAN_MS: u64 = 1_790_000_000_000;

/// Before this no device is switched off for good.
const RETIRES_MS: u64 = 6_000;

/// What is out of order at the moment.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How far the node's wall clock is off.
    wall_off_ms: i64,
    /// A device was switched off for good.
    retired: bool,
}

impl Faults {
    /// What can be put right is put right.
    pub(super) const fn mend(&mut self) {
        self.wall_off_ms = 0;
    }
}

impl World {
    /// The node's wall clock.
    pub(super) const fn wall_ms(&self) -> u64 {
        (BEGAN_MS + self.sim.now).saturating_add_signed(self.faults.wall_off_ms)
    }

    /// Something breaks, and more will.
    pub(super) fn breaks(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.sim.chance.between(20, 700);
        self.sim.after(pause, Event::Breaks);
        match self.sim.chance.below(20) {
            0..2 => self.crash_if_up(),
            2..4 => self.lose_lead(),
            4..6 => {
                let ms = self.sim.chance.between(50, 900);
                self.log.stall(&self.sim, ms);
            }
            6..8 => self.jump_clock(),
            8 if self.sim.now > RETIRES_MS && !self.faults.retired => self.retire(),
            8 => self.log.sync_ms_max = self.sim.chance.between(1, 40),
            9 => self.cut_all(),
            10..17 => self.cut_one(),
            _ => {
                let device = self.sim.chance.index(self.devices.len());
                self.device_restarts(device);
            }
        }
    }

    fn crash_if_up(&mut self) {
        if self.node.is_some() {
            self.crash();
        }
    }

    fn lose_lead(&mut self) {
        let Some(boot) = self.node.as_ref().map(|node| node.boot) else { return };
        self.step_down();
        let elected = self.sim.chance.between(1, 600);
        self.sim.after(elected, Event::Leads { boot });
    }

    /// A device is switched off for good, perhaps while the node is, so that nobody sees it go.
    fn retire(&mut self) {
        self.faults.retired = true;
        let device = self.sim.chance.index(self.devices.len());
        self.device_retires(device);
        if self.sim.chance.one_in(2) {
            self.crash_if_up();
        }
    }

    /// The wall clock jumps, but not before the first opening: that one has nothing else to know
    /// the time by.
    fn jump_clock(&mut self) {
        if self.node.as_ref().is_none_or(|node| node.table.fence().epoch.term < self.first_term) {
            return;
        }
        let far = self.sim.chance.between(0, 3_600_000);
        let far = i64::try_from(far).expect("an hour fits");
        self.faults.wall_off_ms = match self.sim.chance.below(3) {
            0 => far,
            1 => -far,
            _ => far % 2_000,
        };
    }

    fn cut_one(&mut self) {
        let standing = self.net.standing();
        if !standing.is_empty() {
            let conn = standing[self.sim.chance.index(standing.len())];
            self.net.breaks(&mut self.sim, conn, 2_500);
        }
    }

    fn cut_all(&mut self) {
        for conn in self.net.standing() {
            self.net.breaks(&mut self.sim, conn, 1_500);
        }
    }
}
