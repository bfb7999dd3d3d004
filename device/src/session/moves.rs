//! A shard that moves: the connection made ahead of it, and going over to it at once.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::Purpose;
use super::backoff::ms;
use super::route::Epoch;
use super::seek::Seek;
use super::{Cause, Output, Session};
use crate::limits::{HOLD_MS, PREPARE_SPREAD_MS};

/// A connection to be made ahead of a move.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) address: Arc<str>,
    pub(crate) at: Duration,
}

impl<T> Session<T> {
    /// Will make a connection ahead of a move, a little later: all devices of the shard are told.
    pub(super) fn prepare(&mut self, now: Duration, address: String) {
        let address: Arc<str> = address.into();
        if self.attempts.has(&address) || self.route.unreachable.is(now, &address) {
            return;
        }
        self.hangup_spare();
        let at = now + ms(self.jitter.below(PREPARE_SPREAD_MS + 1));
        self.ahead = Some(Ahead { address, at });
    }

    pub(super) fn ahead_deadline(&self) -> Option<Duration> {
        self.ahead.as_ref().map(|ahead| ahead.at.max(self.pace.ready_at()))
    }

    pub(super) fn ahead_due(&mut self, now: Duration) {
        if self.ahead_deadline().is_some_and(|at| at <= now)
            && let Some(Ahead { address, .. }) = self.ahead.take()
        {
            self.begin(now, &address, Purpose::Move);
        }
    }

    /// The shard has moved: goes on there, over the connection made ahead if there is one.
    pub(super) fn moved(&mut self, now: Duration, address: String, epoch: Epoch) {
        let address: Arc<str> = address.into();
        if !self.route.moved(&address, epoch) {
            tracing::debug!(address = &*address, ?epoch, "an old move is not followed");
            return;
        }
        self.ways.moves += 1;
        let detour = self.detour(now, &address);
        let address = detour.inspect(|here| self.route.go(here)).unwrap_or(address);
        self.hangup_open();
        self.leave(now, Cause::Moved, "the shard has moved".into());
        if self.attempts.has(&address) {
            self.dial(now, &address);
            self.seek = Some(Seek::begin(now + ms(HOLD_MS)));
        } else {
            self.seek = Some(Seek::begin(now));
            self.seek(now);
        }
        self.hangup_spare();
    }

    /// Where the owner meant to move to is the first to be asked when it is gone.
    pub(super) fn prefer_prepared(&mut self) {
        let spare = self.attempts.prepared();
        if let Some(address) = spare.or_else(|| self.ahead.as_ref().map(|ahead| &ahead.address)) {
            let address = Arc::clone(address);
            self.route.go(&address);
        }
    }

    /// Closes the connection made ahead of a move that did not come, or went elsewhere.
    fn hangup_spare(&mut self) {
        self.ahead = None;
        for attempt in self.attempts.take_if(|attempt| attempt.purpose == Purpose::Move) {
            self.outputs.push_back(Output::Hangup { attempt: attempt.id });
        }
    }
}
