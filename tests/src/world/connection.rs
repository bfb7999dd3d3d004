//! A node's end of a connection: bytes to frames, frames to the twin. Knows no rule about twins.

use pollux_proto::device::convert::Received;
use pollux_proto::device::{Decoder, DeviceFrame, NodeFrame};
use pollux_proto::device::{RefusedReason, encode};
use pollux_twin::Rejection;
use pollux_twin::TwinKey;
use pollux_twin::input::{CallId, Input};

use super::World;
use super::host::{address, number, of};
use super::node::{INPUT_BYTES, Node};
use super::sim::Event;

/// One connection, from its first byte on.
#[derive(Debug, Default)]
pub(super) struct Connection {
    decoder: Decoder<DeviceFrame>,
    /// Who it is, once it said hello.
    key: Option<TwinKey>,
}

impl World {
    /// A dial reaches the node.
    pub(super) fn dialled(&mut self, conn: u64) {
        if !self.net.stands(conn) {
            return;
        }
        let host = self.net.conn(conn).host;
        match &mut self.hosts[host].node {
            Some(node) => {
                node.connections.insert(conn, Connection::default());
                self.net.down(&mut self.sim, conn, Event::Established { conn });
            }
            None => self.net.down(&mut self.sim, conn, Event::DeviceLoses { conn }),
        }
    }

    /// Bytes from a device.
    pub(super) fn node_reads(&mut self, conn: u64, bytes: Vec<u8>) {
        if !self.net.stands(conn) {
            return;
        }
        let host = self.net.conn(conn).host;
        let Some(node) = &mut self.hosts[host].node else { return };
        let parked = node.parked.iter().any(|(own, _)| *own == conn);
        let Some(connection) = node.connections.get_mut(&conn) else { return };
        // A full gate leaves the bytes unread; so does one that was full for earlier bytes.
        if connection.key.is_some() && (parked || !node.shard.admit(INPUT_BYTES)) {
            node.parked.push_back((conn, bytes));
            return;
        }
        connection.decoder.push(&bytes);
        loop {
            let Some(node) = &mut self.hosts[host].node else { return };
            let Some(connection) = node.connections.get_mut(&conn) else { return };
            let frame = connection.decoder.poll().expect("devices send good frames");
            let Some(frame) = frame else { return };
            let key = connection.key.clone();
            match (Received::from(frame), key) {
                (Received::Hello(hello), None) => {
                    self.greeted(host, conn, &hello.device, hello.incarnation)
                }
                (Received::Message(message), Some(key)) => {
                    self.device_says(host, conn, &key, message)
                }
                _ => {}
            }
        }
    }

    fn greeted(&mut self, host: usize, conn: u64, device: &str, incarnation: u64) {
        let key = TwinKey::parse(device).expect("devices have good ids");
        let Some(node) = &mut self.hosts[host].node else { return };
        if !node.shard.is_open() || !node.shard.admit(INPUT_BYTES) {
            let frame = turned_away(node, host);
            let mut bytes = Default::default();
            encode(&frame, &mut bytes).expect("a refusal fits a frame");
            node.connections.remove(&conn);
            let bytes = bytes.to_vec();
            self.net.down(&mut self.sim, conn, Event::Down { conn, bytes });
            self.net.down(&mut self.sim, conn, Event::DeviceLoses { conn });
            return;
        }
        if let Some(connection) = node.connections.get_mut(&conn) {
            connection.key = Some(key.clone());
        }
        self.hello(host, conn, &key, incarnation);
    }

    /// The node learns that a connection is gone.
    pub(super) fn node_loses(&mut self, conn: u64) {
        self.net.cut(conn);
        let host = self.net.conn(conn).host;
        let Some(node) = &mut self.hosts[host].node else { return };
        node.parked.retain(|(own, _)| *own != conn);
        let Some(key) = node.connections.remove(&conn).and_then(|own| own.key) else { return };
        let Some(active) = node.twins.get_mut(&key) else { return };
        let Some(at) = active.conns.iter().position(|(own, _)| *own == conn) else { return };
        if let (_, Some(session)) = active.conns.swap_remove(at) {
            self.decide(host, &key, Input::Disconnected { session });
        }
    }

    /// A service's call reaches a node, or is handed on to one.
    pub(super) fn call_arrives(&mut self, host: usize, call: u64) {
        let Some((op, key)) = self.called(call) else { return };
        let Some(node) = &mut self.hosts[host].node else { return };
        if !node.shard.is_open() {
            let owner = node.consensus.leader.map(of).filter(|owner| *owner != host);
            return match owner.filter(|_| self.may_hand_on(call, host)) {
                Some(owner) => self.hand_on(call, host, owner),
                None => self.answer(host, call, Err(Rejection::NotOwner)),
            };
        }
        if !node.shard.admit(INPUT_BYTES) {
            return self.answer(host, call, Err(Rejection::Overloaded { retry_after_ms: 100 }));
        }
        self.activate(host, &op.key);
        let (caller, request) = (op.by(), op.request);
        self.decide(host, &op.key, Input::Call { call: CallId(call), caller, key, request });
    }

    /// Hands a call on to whom this node takes for the owner: one hop, no more.
    fn hand_on(&mut self, call: u64, from: usize, to: usize) {
        if let Some(takes) = self.peers.way(&mut self.sim, from, to) {
            self.sim.after(takes, Event::CallArrives { host: to, call });
        }
    }
}

/// Where else a device should go, or that it should come again.
fn turned_away(node: &Node, host: usize) -> NodeFrame {
    match node.consensus.leader.map(of).filter(|owner| *owner != host) {
        Some(owner) => NodeFrame::Redirect {
            address: address(owner),
            epoch: (node.consensus.ballot.term, number(owner)),
        },
        None => NodeFrame::Refused {
            reason: RefusedReason::Busy,
            message: "the shard is not open".into(),
            retry_after_ms: Some(100),
        },
    }
}
