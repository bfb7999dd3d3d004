//! Connections between devices and nodes: in order within one, any order across them, each with
//! delays of its own; they break, and each end learns of it when it learns of it.

use std::collections::BTreeMap;

use super::sim::{Event, Sim};

/// One connection, named by a number that is never used again.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) device: usize,
    /// The machine that was dialled.
    pub(super) host: usize,
    /// The life of the device that dialled.
    pub(super) life: u64,
    /// The device's own name for it.
    pub(super) attempt: u64,
    cut: bool,
    up_at: u64,
    down_at: u64,
    /// Longest delay of one message.
    slow_ms: u64,
}

/// All connections that may still matter.
#[derive(Debug, Default)]
pub(super) struct Net {
    conns: BTreeMap<u64, Conn>,
    last: u64,
    /// Whether delays may be long.
    pub(super) rough: bool,
}

impl Net {
    /// A network with long delays here and there.
    pub(super) fn rough() -> Self {
        Self { rough: true, ..Self::default() }
    }

    /// A device dials; the node hears of it later.
    pub(super) fn dial(
        &mut self,
        sim: &mut Sim,
        (device, life, attempt): (usize, u64, u64),
        host: usize,
    ) -> u64 {
        self.last += 1;
        let slow_ms = match (self.rough, sim.chance.below(10)) {
            (true, 0) => 2_000,
            (true, 1..4) => 120,
            _ => 8,
        };
        let conn = Conn { device, host, life, attempt, cut: false, up_at: 0, down_at: 0, slow_ms };
        self.conns.insert(self.last, conn);
        let conn = self.last;
        self.up(sim, conn, Event::Dialled { conn });
        conn
    }

    pub(super) fn conn(&self, conn: u64) -> &Conn {
        &self.conns[&conn]
    }

    /// Whether messages still get through.
    pub(super) fn stands(&self, conn: u64) -> bool {
        self.conns.get(&conn).is_some_and(|conn| !conn.cut)
    }

    /// Sends something to the node, behind what was sent before.
    pub(super) fn up(&mut self, sim: &mut Sim, conn: u64, event: Event) {
        let Some(conn) = self.conns.get_mut(&conn).filter(|conn| !conn.cut) else { return };
        conn.up_at = conn.up_at.max(sim.now + sim.chance.between(1, conn.slow_ms));
        sim.at(conn.up_at, event);
    }

    /// Sends something to the device, behind what was sent before.
    pub(super) fn down(&mut self, sim: &mut Sim, conn: u64, event: Event) {
        let Some(conn) = self.conns.get_mut(&conn).filter(|conn| !conn.cut) else { return };
        conn.down_at = conn.down_at.max(sim.now + sim.chance.between(1, conn.slow_ms));
        sim.at(conn.down_at, event);
    }

    /// The way breaks now or soon; both ends learn of it within `learn_ms`, each in its time.
    pub(super) fn breaks(&mut self, sim: &mut Sim, conn: u64, learn_ms: u64) {
        let soon = sim.chance.between(0, 20);
        sim.after(soon, Event::Cut { conn });
        let node = soon + sim.chance.between(1, learn_ms);
        sim.after(node, Event::NodeLoses { conn });
        let device = soon + sim.chance.between(1, learn_ms);
        sim.after(device, Event::DeviceLoses { conn });
    }

    /// Nothing gets through any more.
    pub(super) fn cut(&mut self, conn: u64) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.cut = true;
        }
    }

    /// The connections that stand: all, or those to one machine.
    pub(super) fn standing(&self, host: Option<usize>) -> Vec<u64> {
        let meant = |conn: &Conn| !conn.cut && host.is_none_or(|host| host == conn.host);
        self.conns.iter().filter(|(_, conn)| meant(conn)).map(|(number, _)| *number).collect()
    }
}
