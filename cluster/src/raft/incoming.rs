//! A snapshot that comes in. Owns which piece is the next, which one is a repetition, and when a transfer is
//! over; leaves what is in the pieces to the state machine's sink.
//!
//! A sender waits for each answer and sends a piece again that got none. So a piece that is here already is
//! answered as taken, if it is the same; one that is not the next is refused, and the sender begins anew.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use openraft::type_config::TypeConfigExt;
use tokio::sync::Mutex;

use super::adapter::SnapshotData;
use super::message::Piece;
use super::types::{C, MetaC, SnapshotC, VoteC, position};
use crate::fault::Fault;
use crate::limits::{SNAPSHOT_IDLE_MS_MAX, SNAPSHOT_PIECES_MAX};
use crate::network::CallFault;
use crate::state_machine::{Sinks, SnapshotSink};

#[cfg(test)]
mod tests;

/// What comes of installing a whole snapshot, for all who ask.
pub(super) type Outcome = Shared<BoxFuture<'static, Result<Bytes, CallFault>>>;

/// At most one snapshot on its way in.
pub(super) struct Incoming {
    sinks: Sinks,
    transfer: Option<Transfer>,
    /// Transfers begun so far.
    begun: u64,
    watched: bool,
    closed: bool,
}

struct Transfer {
    vote: VoteC,
    meta: MetaC,
    /// A checksum of each piece that came; none for the end.
    sums: Vec<Option<u32>>,
    stage: Stage,
}

enum Stage {
    Coming(Box<dyn SnapshotSink>),
    Whole(Outcome),
}

/// What a piece was.
pub(super) enum Taken {
    /// One of several.
    Piece,
    /// The last one; now or before.
    Last(Outcome),
}

impl Incoming {
    pub(super) fn new(sinks: Sinks) -> Self {
        Self { sinks, transfer: None, begun: 0, watched: false, closed: false }
    }

    /// Takes a piece, which may wait for the disk. The last one begins the installing by `install`.
    ///
    /// # Errors
    /// [`CallFault::Failed`] when the piece does not fit what is here, or cannot be stored: the sender has
    /// to begin anew. [`CallFault::Unreachable`] when it cannot be taken now.
    pub(super) fn take(
        &mut self,
        piece: Piece,
        install: impl FnOnce(SnapshotC<SnapshotData>) -> Outcome,
    ) -> Result<Taken, CallFault> {
        if self.closed {
            return Err(CallFault::Unreachable);
        }
        if self.transfer.as_ref().is_some_and(Transfer::has_failed) {
            self.transfer = None;
        }
        let sum = piece.bytes.as_ref().map(|bytes| crc32c::crc32c(bytes));
        if piece.number == 0 && self.known(&piece) != Some(sum) {
            self.begin(&piece)?;
        }
        if let Some(known) = self.known(&piece) {
            return self.again(&piece, known == sum);
        }
        let transfer = self.transfer.as_mut().filter(|transfer| transfer.next_is(&piece));
        let transfer = transfer.ok_or(CallFault::Failed)?;
        match transfer.take(piece, sum, install) {
            Ok(taken) => Ok(taken),
            Err(fault) => {
                tracing::warn!(%fault, "gave up a snapshot that came in");
                self.transfer = None;
                Err(CallFault::Failed)
            }
        }
    }

    /// No more: what has come is dropped.
    pub(super) fn close(&mut self) {
        self.transfer = None;
        self.closed = true;
    }

    /// The sum of the piece that came under this number.
    fn known(&self, piece: &Piece) -> Option<Option<u32>> {
        let transfer = self.transfer.as_ref().filter(|transfer| transfer.is_of(piece))?;
        transfer.sums.get(piece.number as usize).copied()
    }

    /// A piece came that is here, or another one under its number.
    fn again(&mut self, piece: &Piece, same: bool) -> Result<Taken, CallFault> {
        let Some(transfer) = self.transfer.as_ref().filter(|_| same) else {
            // Another cut of the same state: it has to come from its beginning.
            self.drop_unless_installing()?;
            return Err(CallFault::Failed);
        };
        match &transfer.stage {
            Stage::Whole(outcome) if piece.bytes.is_none() => Ok(Taken::Last(outcome.clone())),
            Stage::Whole(_) | Stage::Coming(_) => Ok(Taken::Piece),
        }
    }

    fn begin(&mut self, piece: &Piece) -> Result<(), CallFault> {
        if self.transfer.as_ref().is_some_and(|transfer| transfer.is_newer_than(piece)) {
            return Err(CallFault::Failed);
        }
        // The one before is gone before the next one begins: they may stand in the same place.
        self.drop_unless_installing()?;
        let sink = (self.sinks)().map_err(|fault| {
            tracing::warn!(%fault, "cannot take a snapshot in");
            CallFault::Failed
        })?;
        let (vote, meta) = (piece.vote, piece.meta.clone());
        self.begun += 1;
        self.transfer = Some(Transfer { vote, meta, sums: Vec::new(), stage: Stage::Coming(sink) });
        Ok(())
    }

    fn drop_unless_installing(&mut self) -> Result<(), CallFault> {
        if self.transfer.as_ref().is_some_and(Transfer::is_installing) {
            return Err(CallFault::Unreachable);
        }
        self.transfer = None;
        Ok(())
    }

    fn progress(&self) -> (u64, usize) {
        (self.begun, self.transfer.as_ref().map_or(0, |transfer| transfer.sums.len()))
    }
}

impl Transfer {
    fn is_of(&self, piece: &Piece) -> bool {
        // Another leader may not be told what came of a snapshot under the vote of this one.
        self.vote == piece.vote && self.meta == piece.meta
    }

    /// Whether a piece is of an older cut, or of a leader before: it was long on its way.
    fn is_newer_than(&self, piece: &Piece) -> bool {
        let older = self.meta.last_log_id > piece.meta.last_log_id;
        self.vote > piece.vote || (self.vote == piece.vote && older)
    }

    fn has_failed(&self) -> bool {
        match &self.stage {
            Stage::Whole(outcome) => matches!(outcome.clone().now_or_never(), Some(Err(_))),
            Stage::Coming(_) => false,
        }
    }

    fn next_is(&self, piece: &Piece) -> bool {
        self.is_of(piece) && self.sums.len() == piece.number as usize
    }

    fn is_installing(&self) -> bool {
        match &self.stage {
            Stage::Whole(outcome) => outcome.clone().now_or_never().is_none(),
            Stage::Coming(_) => false,
        }
    }

    fn take(
        &mut self,
        piece: Piece,
        sum: Option<u32>,
        install: impl FnOnce(SnapshotC<SnapshotData>) -> Outcome,
    ) -> Result<Taken, Fault> {
        let Stage::Coming(sink) = &mut self.stage else {
            return Err(Fault::Group("a piece came after the last one".into()));
        };
        if piece.number >= SNAPSHOT_PIECES_MAX {
            return Err(Fault::Group(format!("more than {SNAPSHOT_PIECES_MAX} pieces")));
        }
        if let Some(bytes) = piece.bytes {
            sink.push(bytes)?;
            self.sums.push(sum);
            return Ok(Taken::Piece);
        }
        let place = self.meta.last_log_id.as_ref().map(position);
        sink.end(place.ok_or_else(|| Fault::Group("a snapshot of no place".into()))?)?;
        // What is installed is taken out; until then nothing else can be asked of it.
        let nothing = async { Err(CallFault::Failed) }.boxed().shared();
        let Stage::Coming(sink) = std::mem::replace(&mut self.stage, Stage::Whole(nothing)) else {
            unreachable!("it was coming above");
        };
        let outcome =
            install(SnapshotC { meta: self.meta.clone(), snapshot: SnapshotData::Come(sink) });
        self.sums.push(sum);
        self.stage = Stage::Whole(outcome.clone());
        Ok(Taken::Last(outcome))
    }
}

/// Has a transfer looked after that may never go on, unless that is done already.
pub(super) fn watch(shared: &Arc<Mutex<Incoming>>, incoming: &mut Incoming) {
    if !incoming.watched && incoming.transfer.is_some() {
        incoming.watched = true;
        drop(C::spawn(drop_when_idle(Arc::downgrade(shared))));
    }
}

async fn drop_when_idle(incoming: Weak<Mutex<Incoming>>) {
    let mut seen = None;
    loop {
        C::sleep(Duration::from_millis(SNAPSHOT_IDLE_MS_MAX)).await;
        let Some(incoming) = incoming.upgrade() else { return };
        let mut incoming = incoming.lock().await;
        let progress = incoming.progress();
        if seen.replace(progress) == Some(progress) && incoming.drop_unless_installing().is_ok() {
            incoming.watched = false;
            return;
        }
    }
}
