//! A state machine as the consensus library drives it. Owns the applied place and the memberships that
//! a checkpoint may stand for; leaves what entries do to the machine it was handed.
//!
//! To the library a checkpoint is a snapshot: it lets the log go up to there. Its bytes are only made when
//! a replica asks for them, as a cut of the state at that moment.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use super::alone::Alone;
use super::codec::{decode_stored, encode_stored};
use super::types::{C, LogIdC, MetaC, SnapshotC, StoredC, epoch, log_id, position};
use crate::fault::Fault;
use crate::ids::Position;
use crate::limits::MEMBERSHIPS_MAX;
use crate::state_machine::{Sinks, SnapshotSink, SnapshotSource, StateMachine};

/// What a snapshot holds.
pub(crate) enum SnapshotData {
    /// Nothing: it only says how far the durable checkpoint reaches.
    Mark,
    /// The pieces of a cut, on their way out.
    Cut(Box<dyn SnapshotSource>),
    /// The pieces of another replica's cut, all of them.
    Come(Box<dyn SnapshotSink>),
}

/// How far the state is durable outside the log, and the memberships that were in force.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    upto: Option<LogIdC>,
    /// In log order. The first one was in force at `upto`, or is the empty one.
    memberships: VecDeque<StoredC>,
}

impl Checkpoints {
    /// Everything up to `upto` is durable outside the log.
    pub(crate) fn reached(&mut self, upto: Position) {
        let upto = log_id(upto);
        if self.upto.as_ref().is_none_or(|old| old.index < upto.index) {
            self.upto = Some(upto);
        }
        let in_force = |m: &StoredC| m.log_id().as_ref().is_none_or(|id| id.index <= upto.index);
        while self.memberships.get(1).is_some_and(in_force) {
            self.memberships.pop_front();
        }
    }

    fn meta(&self) -> MetaC {
        let last_membership = self.memberships.front().cloned().unwrap_or_default();
        MetaC { last_log_id: self.upto, last_membership }
    }

    fn membership(&mut self, stored: StoredC) -> Result<(), Fault> {
        if self.memberships.len() >= MEMBERSHIPS_MAX {
            return Err(Fault::Group(format!(
                "{MEMBERSHIPS_MAX} changes of members without a checkpoint"
            )));
        }
        self.memberships.push_back(stored);
        Ok(())
    }
}

/// The state machine with what the library wants to know about it.
pub(crate) struct Adapter {
    machine: Mutex<Box<dyn StateMachine>>,
    applied: Option<LogIdC>,
    membership: StoredC,
    checkpoints: Arc<Mutex<Checkpoints>>,
    alone: Alone,
    /// While the group starts only the mark of a snapshot is wanted.
    serving: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Adapter {
    /// Asks the machine where it stands.
    pub(crate) fn new(mut machine: Box<dyn StateMachine>, alone: Alone) -> Result<Self, Fault> {
        let recovered = machine.recovered()?;
        let membership = decode_stored(&recovered.membership)?;
        let applied = recovered.applied.map(log_id);
        let memberships = VecDeque::from([membership.clone()]);
        let checkpoints = Checkpoints { upto: applied, memberships };
        Ok(Self {
            machine: Mutex::new(machine),
            applied,
            membership,
            checkpoints: Arc::new(Mutex::new(checkpoints)),
            alone,
            serving: false,
        })
    }

    /// From now on a snapshot is asked for by a replica that needs it.
    pub(crate) fn serve(&mut self) {
        self.serving = true;
    }

    /// Where the machine stands.
    pub(crate) fn applied(&self) -> Option<Position> {
        self.applied.as_ref().map(position)
    }

    pub(crate) fn checkpoints(&self) -> Arc<Mutex<Checkpoints>> {
        Arc::clone(&self.checkpoints)
    }

    /// How snapshots of other replicas are taken in.
    pub(crate) fn sinks(&mut self) -> Sinks {
        self.machine().sinks()
    }

    fn machine(&mut self) -> &mut dyn StateMachine {
        self.machine.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }

    fn step(
        &mut self,
        id: LogIdC,
        payload: EntryPayload<super::types::Proposed, u64, openraft::EmptyNode>,
    ) -> Result<Bytes, Fault> {
        let place = position(&id);
        self.applied = Some(id);
        match payload {
            EntryPayload::Normal(entry) => return Ok(self.machine().apply(place, &entry.0)),
            EntryPayload::Blank => self.machine().advance(place, None),
            EntryPayload::Membership(membership) => {
                self.membership = StoredC::new(Some(id), membership);
                lock(&self.checkpoints).membership(self.membership.clone())?;
                let bytes = encode_stored(&self.membership);
                self.machine().advance(place, Some(bytes));
            }
        }
        Ok(Bytes::new())
    }

    fn cut(&mut self) -> Result<Option<SnapshotC<SnapshotData>>, Fault> {
        if self.applied.is_none() {
            return Ok(None);
        }
        let meta = MetaC { last_log_id: self.applied, last_membership: self.membership.clone() };
        let snapshot = SnapshotData::Cut(self.machine().snapshot()?);
        Ok(Some(SnapshotC { meta, snapshot }))
    }
}

impl RaftStateMachine<C> for Adapter {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdC>, StoredC)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<C>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let answer = self.step(entry.log_id, entry.payload).map_err(Fault::into_io)?;
            self.alone.applied(epoch(*entry.log_id.committed_leader_id()));
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if force && let Some(applied) = self.applied {
            lock(&self.checkpoints).reached(position(&applied));
            self.serving = true;
        }
        Some(Builder { checkpoints: self.checkpoints() })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { checkpoints: self.checkpoints() }
    }

    async fn install_snapshot(&mut self, meta: &MetaC, data: SnapshotData) -> io::Result<()> {
        let Some(last) = meta.last_log_id else {
            return Err(io::Error::other("a snapshot to install must have a place"));
        };
        let sink = match data {
            SnapshotData::Come(sink) => sink,
            SnapshotData::Cut(source) => {
                pour(source, &self.sinks(), position(&last)).map_err(Fault::into_io)?
            }
            SnapshotData::Mark => {
                return Err(io::Error::other("a snapshot to install must have pieces"));
            }
        };
        let membership = encode_stored(&meta.last_membership);
        self.machine().install(position(&last), membership, sink).map_err(Fault::into_io)?;
        self.applied = Some(last);
        self.membership = meta.last_membership.clone();
        let memberships = VecDeque::from([self.membership.clone()]);
        *lock(&self.checkpoints) = Checkpoints { upto: Some(last), memberships };
        self.serving = true;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotC<SnapshotData>>> {
        if self.serving {
            return self.cut().map_err(Fault::into_io);
        }
        let meta = lock(&self.checkpoints).meta();
        let some = meta.last_log_id.is_some();
        Ok(some.then_some(SnapshotC { meta, snapshot: SnapshotData::Mark }))
    }
}

/// A cut of this node's as if it had come from another one: the library may hand one over that it was given.
fn pour(
    mut source: Box<dyn SnapshotSource>,
    sinks: &Sinks,
    place: Position,
) -> Result<Box<dyn SnapshotSink>, Fault> {
    let mut sink = sinks()?;
    while let Some(chunk) = source.next_chunk()? {
        sink.push(chunk)?;
    }
    sink.end(place)?;
    Ok(sink)
}

/// Tells the library how far the checkpoint reaches.
pub(crate) struct Builder {
    checkpoints: Arc<Mutex<Checkpoints>>,
}

impl RaftSnapshotBuilder<C> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotC<SnapshotData>> {
        let meta = lock(&self.checkpoints).meta();
        Ok(SnapshotC { meta, snapshot: SnapshotData::Mark })
    }
}
