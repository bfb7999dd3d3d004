//! The nodes: one owns the shard, the others believe in somebody, some believe in themselves. What
//! the owner writes is there for all later owners, and an answer only goes out while it is one.

use std::collections::BTreeMap;

use pollux_proto::device::convert::TAKEN_OVER;
use pollux_proto::device::{AckResult, DeviceFrame, Limits, NodeFrame, RefusedReason, Replica};
use pollux_twin::Value;

use super::{FAULTS_MS, Happens, Loss, NODES, World, address};

/// Whom a node believes to be the owner, and since which epoch; nobody during an election.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View {
    owner: Option<usize>,
    epoch: u64,
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Killed: it knows nothing afterwards.
    Dead,
    /// Stopped: it goes on afterwards as if nothing had been.
    Stopped,
    /// Cut off from the other nodes.
    Isolated,
    /// Cut off from the device.
    Unreachable,
}

#[derive(Debug, Default)]
struct Node {
    faults: Vec<Fault>,
    view: View,
    /// Hellos held until an owner is known.
    held: Vec<(u64, u64)>,
}

/// The nodes, and what is written on a majority of them.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
    truth: View,
    session: u64,
    /// The connection and the incarnation of the newest session.
    carrier: Option<(u64, u64)>,
    last: BTreeMap<u64, u64>,
    applied: Vec<i64>,
    pub(super) takeovers: u32,
}

impl Node {
    fn is(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    fn runs(&self) -> bool {
        !self.is(Fault::Dead) && !self.is(Fault::Stopped)
    }
}

impl Cluster {
    pub(super) fn new(nodes: usize) -> Self {
        let truth = View { owner: Some(0), epoch: 1 };
        let node = || Node { view: truth, ..Node::default() };
        Self {
            nodes: (0..nodes).map(|_| node()).collect(),
            truth,
            session: 0,
            carrier: None,
            last: BTreeMap::new(),
            applied: Vec::new(),
            takeovers: 0,
        }
    }

    pub(super) fn applied(&self) -> &[i64] {
        &self.applied
    }

    fn owns(&self, node: usize) -> bool {
        let Node { view, faults, .. } = &self.nodes[node];
        let believes = view.owner == Some(node) && view.epoch == self.truth.epoch;
        believes && self.truth.owner == Some(node) && !faults.iter().any(Fault::matters)
    }
}

impl World {
    pub(super) fn dialled(&mut self, conn: u64, to: &str) {
        let node: usize = to.strip_prefix("n:").and_then(|node| node.parse().ok()).unwrap();
        self.net.dial(conn, node);
        let delay = self.delay() + self.delay();
        if self.one_in(25) {
            self.after(delay, Happens::DeviceLoses { conn, loss: Loss::Overload });
        } else {
            self.after(delay, Happens::Stands { conn });
        }
    }

    pub(super) fn hung_up(&mut self, conn: u64) {
        if self.net.leave_device(conn) {
            let delay = self.delay();
            self.after(delay, Happens::NodeLoses { conn });
        }
    }

    pub(super) fn stands(&mut self, conn: u64) {
        let node = &self.cluster.nodes[self.net.node_of(conn)];
        if node.is(Fault::Dead) || !self.net.device_has(conn) {
            return;
        }
        if !node.runs() || node.is(Fault::Unreachable) {
            self.after(50, Happens::Stands { conn });
            return;
        }
        self.net.accept(conn);
        let round_trip = super::Duration::from_millis(5);
        let connected = super::Input::Connected { attempt: conn, round_trip };
        self.session.handle(self.clock(), connected);
    }

    pub(super) fn arrives_at_device(&mut self, conn: u64) {
        let node = &self.cluster.nodes[self.net.node_of(conn)];
        if node.is(Fault::Unreachable) && self.net.device_has(conn) {
            self.after(50, Happens::Down { conn });
            return;
        }
        if let Some(frame) = self.net.next_down(conn)
            && self.net.device_has(conn)
        {
            let last = frame.is_last();
            let input = super::Input::Frame { attempt: conn, frame };
            self.session.handle(self.clock(), input);
            if last && self.one_in(2) {
                // The node closes after it, which the device may hear or not.
                self.after(1, Happens::DeviceLoses { conn, loss: Loss::Broken });
            }
        }
    }

    pub(super) fn arrives_at_node(&mut self, conn: u64) {
        let number = self.net.node_of(conn);
        let node = &self.cluster.nodes[number];
        if !self.net.node_has(conn) {
            return;
        }
        if !node.runs() || node.is(Fault::Unreachable) {
            self.after(50, Happens::Up { conn });
            return;
        }
        match self.net.next_up(conn) {
            Some(DeviceFrame::Hello { incarnation, .. }) => self.hello(number, conn, incarnation),
            // Some know nothing of relaying; the others do not relay.
            Some(DeviceFrame::Relay { .. }) if self.one_in(3) => {
                let refused = NodeFrame::Refused {
                    reason: RefusedReason::Invalid,
                    message: "bytes are not a frame of this protocol".to_owned(),
                    retry_after_ms: None,
                };
                self.say(conn, refused);
                self.net.leave_node(conn);
            }
            Some(DeviceFrame::Ping { nonce }) => self.say(conn, NodeFrame::Pong { nonce }),
            Some(DeviceFrame::Report { seq, patch: Value::Int(report), .. }) => {
                self.report(number, conn, seq, report);
            }
            _ => {}
        }
    }

    fn hello(&mut self, number: usize, conn: u64, incarnation: u64) {
        let view = self.cluster.nodes[number].view;
        match view.owner {
            Some(owner) if owner == number => self.welcome(number, conn, incarnation),
            Some(owner) => {
                let redirect =
                    NodeFrame::Redirect { address: address(owner), epoch: (view.epoch, 1) };
                self.say(conn, redirect);
            }
            None if self.one_in(3) => {
                let after = self.between(30, 400);
                let refused = NodeFrame::Refused {
                    reason: RefusedReason::Busy,
                    message: "an election is under way".to_owned(),
                    retry_after_ms: u32::try_from(after).ok(),
                };
                self.say(conn, refused);
            }
            None => self.cluster.nodes[number].held.push((conn, incarnation)),
        }
    }

    fn welcome(&mut self, number: usize, conn: u64, incarnation: u64) {
        let owns = self.cluster.owns(number);
        let cluster = &mut self.cluster;
        if !owns {
            // It believes so, but nothing that it writes is ever committed.
            return;
        }
        cluster.session += 1;
        let before = cluster.carrier.replace((conn, incarnation));
        let last_seq = cluster.last.get(&incarnation).copied().unwrap_or(0);
        let replicas = (0..NODES).filter(|other| *other != number);
        let welcome = NodeFrame::Welcome {
            session: cluster.session,
            last_seq,
            desired_version: 0,
            desired: Value::object(),
            reported_version: 0,
            limits: Limits {
                frame_bytes_max: 1 << 17,
                in_flight_max: 8,
                section_bytes_max: 1 << 16,
            },
            replicas: replicas.map(|other| Replica { address: address(other) }).collect(),
        };
        if let Some((old, _)) = before.filter(|(old, _)| self.net.node_has(*old)) {
            self.cluster.takeovers += 1;
            self.say(old, NodeFrame::Bye { reason: TAKEN_OVER.to_owned(), reconnect: false });
        }
        self.write(conn, welcome);
    }

    fn report(&mut self, number: usize, conn: u64, seq: u64, report: i64) {
        let owns = self.cluster.owns(number);
        let cluster = &mut self.cluster;
        let Some((_, incarnation)) = cluster.carrier.filter(|(own, _)| owns && *own == conn) else {
            return;
        };
        let last = cluster.last.entry(incarnation).or_default();
        if seq > *last + 1 {
            let expected = Some(*last + 1);
            return self.write(conn, NodeFrame::Nack { seq, expected, retry_after_ms: 0 });
        }
        if seq == *last + 1 {
            if self.chance.below(20) == 0 {
                return self
                    .write(conn, NodeFrame::Nack { seq, expected: None, retry_after_ms: 20 });
            }
            *last = seq;
            cluster.applied.push(report);
        }
        self.write(conn, NodeFrame::Ack { seq, result: AckResult::Done { version: seq } });
    }

    /// An answer that waits for the log. Answers leave in order, as the log is one.
    fn write(&mut self, conn: u64, frame: NodeFrame) {
        let (epoch, frame) = (self.cluster.truth.epoch, Box::new(frame));
        self.after(5, Happens::Written { conn, epoch, frame });
    }

    pub(super) fn written(&mut self, conn: u64, epoch: u64, frame: NodeFrame) {
        let node = self.net.node_of(conn);
        let still = self.cluster.truth.epoch == epoch && self.cluster.owns(node);
        if still && self.net.node_has(conn) {
            self.say(conn, frame);
        }
    }

    fn say(&mut self, conn: u64, frame: NodeFrame) {
        let last = frame.is_last();
        self.net.down(conn, frame);
        if last {
            self.net.leave_node(conn);
        }
        let delay = self.delay();
        self.after(delay, Happens::Down { conn });
    }

    /// One thing breaks, and will be whole again.
    pub(super) fn chaos(&mut self) {
        if self.now >= FAULTS_MS {
            return;
        }
        let pause = self.between(200, 4_000);
        self.after(pause, Happens::Chaos);
        let number = usize::try_from(self.chance.below(NODES as u64)).unwrap();
        let owner = self.cluster.truth.owner;
        // More often than not it hits the owner.
        let number = owner.filter(|_| self.chance.below(2) == 0).unwrap_or(number);
        let fault = match self.chance.below(6) {
            0 => Fault::Dead,
            1 => Fault::Stopped,
            2 => Fault::Isolated,
            3 => return self.cut(number),
            4 => return self.prepares(),
            _ => Fault::Unreachable,
        };
        let ill = self.cluster.nodes.iter().filter(|node| node.faults.iter().any(Fault::matters));
        if fault.matters() && ill.count() > 0 {
            // A majority is always there.
            return;
        }
        self.cluster.nodes[number].faults.push(fault);
        let lasts = self.between(100, 4_000);
        self.after(lasts, Happens::Heals { node: number, fault });
        if fault == Fault::Dead {
            self.cluster.nodes[number].held.clear();
            self.drop_sessions(number, 10_000);
        }
        if fault.matters() && owner == Some(number) {
            let wait = self.between(200, 600);
            self.after(wait, Happens::Elects);
        }
    }

    /// All connections of a node break; the device notices within that time.
    fn drop_sessions(&mut self, number: usize, within_ms: u64) {
        for conn in self.net.of_node(number) {
            self.net.leave_node(conn);
            let delay = self.between(1, within_ms);
            self.after(delay, Happens::DeviceLoses { conn, loss: Loss::Broken });
        }
    }

    /// A connection breaks without a cause.
    fn cut(&mut self, number: usize) {
        self.drop_sessions(number, 300);
    }

    pub(super) fn heals(&mut self, number: usize, fault: Fault) {
        let truth = self.cluster.truth;
        let node = &mut self.cluster.nodes[number];
        let at = node.faults.iter().position(|own| *own == fault).unwrap();
        node.faults.swap_remove(at);
        if fault == Fault::Dead {
            node.view = View { owner: None, epoch: node.view.epoch };
        }
        if fault.matters() && node.view.epoch <= truth.epoch {
            let delay = self.between(20, 300);
            self.after(delay, Happens::Hears { node: number, view: truth });
        }
    }

    pub(super) fn elects(&mut self) {
        let truth = self.cluster.truth;
        let Some(owner) = truth.owner else { return };
        if !self.cluster.nodes[owner].faults.iter().any(Fault::matters) {
            return;
        }
        let able: Vec<usize> = (0..NODES)
            .filter(|node| !self.cluster.nodes[*node].faults.iter().any(Fault::matters))
            .collect();
        let next = able[usize::try_from(self.chance.below(able.len() as u64)).unwrap()];
        for node in &able {
            // They know that the old one is gone before they know the new one.
            self.cluster.nodes[*node].view = View { owner: None, ..truth };
        }
        if self.cluster.nodes[owner].is(Fault::Isolated) && self.one_in(2) {
            // It has noticed that nobody follows it.
            self.drop_sessions(owner, 100);
        }
        self.owned_by(next);
    }

    fn owned_by(&mut self, next: usize) {
        let view = View { owner: Some(next), epoch: self.cluster.truth.epoch + 1 };
        self.cluster.truth = view;
        for node in 0..NODES {
            let delay = if node == next { self.between(5, 100) } else { self.between(5, 700) };
            self.after(delay, Happens::Hears { node, view });
        }
    }

    pub(super) fn hears(&mut self, number: usize, view: View) {
        let node = &mut self.cluster.nodes[number];
        if node.faults.iter().any(Fault::matters) || node.view.epoch > view.epoch {
            return;
        }
        let lost = node.view.owner == Some(number) && view.owner != Some(number);
        node.view = view;
        let held = std::mem::take(&mut node.held);
        if lost {
            // It owns the shard no more: its sessions are over.
            self.drop_sessions(number, 50);
        }
        for (conn, incarnation) in held {
            // A connection that was closed meanwhile may be acted on all the same.
            self.hello(number, conn, incarnation);
        }
    }

    /// The owner hands the shard to another one, or begins to.
    fn prepares(&mut self) {
        let Some(from) = self.cluster.truth.owner else { return };
        let to = (from + 1 + usize::try_from(self.chance.below(NODES as u64 - 1)).unwrap()) % NODES;
        if let Some((conn, _)) = self.cluster.carrier.filter(|_| self.cluster.owns(from)) {
            self.say_if_there(conn, NodeFrame::PrepareMove { address: address(to) });
            let pause = self.between(0, 500);
            if !self.one_in(5) {
                self.after(pause, Happens::Moves { from, to });
            }
        }
    }

    pub(super) fn moves(&mut self, from: usize, to: usize) {
        let able = |node: &usize| !self.cluster.nodes[*node].faults.iter().any(Fault::matters);
        if !self.cluster.owns(from) || !able(&to) || !able(&from) {
            return;
        }
        let old = self.cluster.truth.epoch - 1;
        self.owned_by(to);
        let Some((conn, _)) = self.cluster.carrier else { return };
        let epoch = self.cluster.truth.epoch;
        if self.one_in(4) {
            // Somebody's old news.
            let wrong = address((to + 1) % NODES);
            self.say_if_there(conn, NodeFrame::Moved { address: wrong, epoch: (old, 1) });
        }
        if !self.one_in(6) {
            self.say_if_there(conn, NodeFrame::Moved { address: address(to), epoch: (epoch, 1) });
        }
    }

    fn say_if_there(&mut self, conn: u64, frame: NodeFrame) {
        if self.net.node_has(conn) {
            self.say(conn, frame);
        }
    }
}

impl Fault {
    /// Whether the node can be no owner meanwhile.
    fn matters(&self) -> bool {
        *self != Self::Unreachable
    }
}
