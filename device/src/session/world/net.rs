//! Connections between the device and nodes: frames stay in order within one, and either end may be
//! gone without the other knowing.

use std::collections::{BTreeMap, VecDeque};

use pollux_proto::device::{DeviceFrame, NodeFrame};

#[derive(Debug, Default)]
struct Conn {
    node: usize,
    device_has: bool,
    node_has: bool,
    up: VecDeque<DeviceFrame>,
    down: VecDeque<NodeFrame>,
}

/// All connections by the device's attempt.
#[derive(Debug, Default)]
pub(super) struct Net {
    conns: BTreeMap<u64, Conn>,
}

impl Net {
    pub(super) fn dial(&mut self, conn: u64, node: usize) {
        self.conns.insert(conn, Conn { node, device_has: true, ..Conn::default() });
    }

    pub(super) fn node_of(&self, conn: u64) -> usize {
        self.conns[&conn].node
    }

    /// Connections that the device has not closed.
    pub(super) fn of_device(&self) -> Vec<u64> {
        self.conns.iter().filter(|(_, conn)| conn.device_has).map(|(id, _)| *id).collect()
    }

    /// Connections that a node believes in.
    pub(super) fn of_node(&self, node: usize) -> Vec<u64> {
        let of = |conn: &Conn| conn.node == node && conn.node_has;
        self.conns.iter().filter(|(_, conn)| of(conn)).map(|(id, _)| *id).collect()
    }

    pub(super) fn device_has(&self, conn: u64) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.device_has)
    }

    pub(super) fn node_has(&self, conn: u64) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.node_has)
    }

    pub(super) fn accept(&mut self, conn: u64) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.node_has = true;
        }
    }

    /// The device has it no more; false if it had not before.
    pub(super) fn leave_device(&mut self, conn: u64) -> bool {
        let conn = self.conns.get_mut(&conn);
        conn.is_some_and(|conn| std::mem::take(&mut conn.device_has))
    }

    pub(super) fn leave_node(&mut self, conn: u64) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.node_has = false;
            conn.up.clear();
        }
    }

    pub(super) fn up(&mut self, conn: u64, frame: DeviceFrame) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.up.push_back(frame);
        }
    }

    pub(super) fn down(&mut self, conn: u64, frame: NodeFrame) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.down.push_back(frame);
        }
    }

    pub(super) fn next_up(&mut self, conn: u64) -> Option<DeviceFrame> {
        self.conns.get_mut(&conn)?.up.pop_front()
    }

    pub(super) fn next_down(&mut self, conn: u64) -> Option<NodeFrame> {
        self.conns.get_mut(&conn)?.down.pop_front()
    }
}
