//! The network between the nodes of the world. Owns delay, loss, duplicates and cuts; the bytes it carries
//! are the real ones of `message`.
//!
//! A call is carried out at the other end whether its caller still waits or not, as on a real network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::life::Life;
use super::truth::Truth;
use crate::ids::{GroupId, NodeId};
use crate::network::{CallFault, Inbound, Lane, Network};
use crate::raft::SnapshotPace;
use crate::raft::message::{Call, Piece};
use crate::raft::types::{MetaC, VoteC};

/// The network; clones are the same one.
#[derive(Clone)]
pub(super) struct Net {
    chance: Chance,
    truth: Truth,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    inbound: BTreeMap<(NodeId, GroupId), (Life, Arc<dyn Inbound>)>,
    /// Until when nothing gets from one node to another.
    cut: BTreeMap<(u64, u64), Instant>,
    /// One message in so many is lost, until then.
    lossy: Option<(u64, Instant)>,
    /// One message of a snapshot in so many is lost, beside that.
    lossy_pieces: Option<u64>,
    /// The piece of a snapshot that went last from one replica to another.
    pieces: BTreeMap<(u64, u64, GroupId), Sent>,
}

/// A piece of a snapshot that was sent.
struct Sent {
    vote: VoteC,
    meta: MetaC,
    number: u32,
    again: bool,
}

/// One message in so many is lost in calm weather.
const LOST_ONE_IN: u64 = 100;
/// One call in so many arrives twice.
const DOUBLED_ONE_IN: u64 = 50;

/// So slow that a snapshot of a few hundred bytes has to wait.
const PACE_BYTES_PER_S: u64 = 10_000;

/// What becomes of one message.
enum Fate {
    Arrives(Duration),
    Lost,
}

impl Net {
    pub(super) fn new(chance: Chance, truth: Truth) -> Self {
        Self { chance, truth, state: Arc::default() }
    }

    /// The network as a node sees it during one life.
    pub(super) fn port(&self, life: Life) -> Port {
        Port { net: self.clone(), life, pace: SnapshotPace::new(PACE_BYTES_PER_S) }
    }

    /// Tells the truth of a piece that is sent again, and of a transfer that goes on behind one.
    fn tell_piece(&self, from: u64, to: u64, group: GroupId, call: &Bytes) {
        let Ok(Call::Snapshot(piece)) = Call::decode(call.clone()) else { return };
        let Piece { vote, meta, number, .. } = piece;
        let mut state = self.state.lock().unwrap();
        let last = state.pieces.remove(&(from, to, group));
        let last = last.filter(|last| last.vote == vote && last.meta == meta);
        let again = last.as_ref().is_some_and(|last| last.number == number);
        let resumed = last.is_some_and(|last| last.again && last.number + 1 == number);
        state.pieces.insert((from, to, group), Sent { vote, meta, number, again });
        drop(state);
        self.truth.count(|counts| {
            counts.pieces_again += u64::from(again);
            counts.resumed += u64::from(resumed);
        });
    }

    /// Nothing gets from one node to the other for so long.
    pub(super) fn cut(&self, from: u64, to: u64, time: Duration) {
        self.state.lock().unwrap().cut.insert((from, to), Instant::now() + time);
    }

    /// Messages get from one node to the other again.
    pub(super) fn join(&self, from: u64, to: u64) {
        self.state.lock().unwrap().cut.remove(&(from, to));
    }

    /// One message in so many is lost for so long.
    pub(super) fn lose(&self, one_in: u64, time: Duration) {
        self.state.lock().unwrap().lossy = Some((one_in, Instant::now() + time));
    }

    /// One message of a snapshot in so many is lost from now on.
    pub(super) fn lose_pieces(&self, one_in: u64) {
        self.state.lock().unwrap().lossy_pieces = Some(one_in);
    }

    /// From now on the weather is calm.
    pub(super) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.cut.clear();
        state.lossy = None;
        state.lossy_pieces = None;
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        let state = self.state.lock().unwrap();
        state.cut.get(&(from, to)).is_some_and(|until| *until > Instant::now())
    }

    fn fate(&self, from: u64, to: u64, lane: Lane) -> Fate {
        let State { lossy, lossy_pieces, .. } = *self.state.lock().unwrap();
        let one_in = lossy.filter(|(_, until)| *until > Instant::now());
        let one_in = one_in.map_or(LOST_ONE_IN, |(one_in, _)| one_in);
        let micros = if self.chance.one_in(100) {
            self.chance.between(10_000, 300_000)
        } else {
            self.chance.between(200, 4_000)
        };
        if self.chance.one_in(one_in) || self.is_cut(from, to) {
            return Fate::Lost;
        }
        if lossy_pieces.is_some_and(|one_in| lane == Lane::Snapshot && self.chance.one_in(one_in)) {
            return Fate::Lost;
        }
        Fate::Arrives(Duration::from_micros(micros))
    }

    fn reach(&self, to: NodeId, group: GroupId) -> Option<(Life, Arc<dyn Inbound>)> {
        let found = self.state.lock().unwrap().inbound.get(&(to, group)).cloned();
        found.filter(|(life, _)| !life.is_over())
    }

    /// Carries a call there and its answer back.
    async fn carry(
        self,
        caller: Life,
        to: NodeId,
        group: GroupId,
        lane: Lane,
        call: Bytes,
    ) -> Answer {
        let Fate::Arrives(delay) = self.fate(caller.node, to.0, lane) else { return None };
        sleep(delay).await;
        if self.is_cut(caller.node, to.0) {
            return None;
        }
        let Some((callee, inbound)) = self.reach(to, group) else {
            return Some(Err(CallFault::Unreachable));
        };
        let numbers = [caller.node, to.0, u64::from(group.0), call.len() as u64];
        self.truth.note("call", &numbers);
        let answer = inbound.answer(call).await;
        if callee.is_over() {
            return None;
        }
        let Fate::Arrives(delay) = self.fate(to.0, caller.node, lane) else { return None };
        sleep(delay).await;
        (!caller.is_over()).then_some(answer)
    }
}

/// None if nothing comes back.
type Answer = Option<Result<Bytes, CallFault>>;

/// The network as a node sees it during one life.
pub(super) struct Port {
    net: Net,
    life: Life,
    pace: SnapshotPace,
}

impl Network for Port {
    fn call(
        &self,
        from: NodeId,
        to: NodeId,
        group: GroupId,
        lane: Lane,
        call: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        assert_eq!(from.0, self.life.node, "a node calls in its own name");
        let (net, life) = (self.net.clone(), self.life.clone());
        if life.is_over() {
            return Box::pin(async { Err(CallFault::Unreachable) });
        }
        if lane == Lane::Snapshot {
            net.tell_piece(from.0, to.0, group, &call);
        }
        if net.chance.one_in(DOUBLED_ONE_IN) {
            let again = net.clone().carry(life.clone(), to, group, lane, call.clone());
            let delay = net.chance.millis(0, 500);
            net.truth.count(|counts| counts.doubled_calls += 1);
            tokio::spawn(async move {
                sleep(delay).await;
                again.await;
            });
        }
        let (sender, answer) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(answer) = net.carry(life, to, group, lane, call).await {
                let _ = sender.send(answer);
            }
        });
        Box::pin(async move {
            let wait = async {
                match answer.await {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::time::timeout(ttl, wait).await.unwrap_or(Err(CallFault::Timeout))
        })
    }

    fn attach(&self, node: NodeId, group: GroupId, inbound: Option<Arc<dyn Inbound>>) {
        if self.life.is_over() {
            return;
        }
        let mut state = self.net.state.lock().unwrap();
        match inbound {
            Some(inbound) => state.inbound.insert((node, group), (self.life.clone(), inbound)),
            None => state.inbound.remove(&(node, group)),
        };
    }

    fn snapshot_pace(&self) -> Option<SnapshotPace> {
        Some(self.pace.clone())
    }
}
