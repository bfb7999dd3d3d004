//! The open session: what keeps it, what casts doubt on it, and what is left when it is over. How a
//! new one is found is in `seek`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::DeviceFrame;

use super::backoff::ms;
use super::seek::Seek;
use super::{Cause, Event, Output, Rehomed, Session};
use crate::limits::{LATE_TIMERS_MAX, STABLE_MS, STALL_MS};

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum Link {
    /// There is none: one is looked for.
    Closed,
    /// Welcomed.
    Open(Open),
    /// For good.
    Over { reason: Arc<str> },
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) attempt: u64,
    pub(crate) epoch: u64,
    pub(crate) in_flight_max: usize,
    since: Duration,
    /// When the node was last heard, or last had nothing to answer.
    heard: Duration,
    /// When it last took something, or had nothing to take.
    took: Duration,
    /// When it was pinged, if it was not heard since.
    pinged: Option<Duration>,
    late_timers: u8,
    /// Numbers up to this one were sent again because an answer was left out.
    pub(crate) asked_again_until: u64,
    /// Why another node is looked for meanwhile.
    doubt: Option<(Doubt, Duration)>,
}

/// Why the owner may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It says nothing.
    Silent,
    /// It lives, and takes nothing.
    Stalled,
}

/// What an open session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ping,
    Silent,
    Stalled,
}

/// Since when messages wait for another owner, and which they waited for.
#[derive(Debug)]
pub(crate) struct Left {
    since: Duration,
    noticed: Duration,
    cause: Cause,
    from: Arc<str>,
    /// Whether nothing waited: then it counts from the first message for the next owner.
    rested: bool,
}

impl Open {
    pub(crate) const fn new(attempt: u64, epoch: u64, in_flight_max: usize, now: Duration) -> Self {
        let (since, heard, took) = (now, now, now);
        let (pinged, late_timers, asked_again_until, doubt) = (None, 0, 0, None);
        Self {
            attempt,
            epoch,
            in_flight_max,
            since,
            heard,
            took,
            pinged,
            late_timers,
            asked_again_until,
            doubt,
        }
    }

    /// From now on the node has something to answer.
    const fn begins(&mut self, now: Duration) {
        if self.pinged.is_none() {
            self.heard = now;
        }
        self.took = now;
    }
}

impl Link {
    pub(crate) const fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Closed | Self::Over { .. } => None,
        }
    }

    pub(crate) const fn open_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Closed | Self::Over { .. } => None,
        }
    }
}

impl<T> Session<T> {
    /// The node was heard on the open session; `took` says whether it answered a message.
    pub(super) fn heard(&mut self, now: Duration, took: Took) {
        let waiting = self.queue.is_in_flight();
        let Some(open) = self.link.open_mut() else { return };
        if waiting || open.pinged.is_some() {
            self.patience.ended(now, now.saturating_sub(open.heard));
        }
        (open.heard, open.pinged, open.late_timers) = (now, None, 0);
        if took == Took::Message {
            open.took = now;
        }
        let cleared = match open.doubt {
            Some((Doubt::Silent, _)) => true,
            Some((Doubt::Stalled, _)) => took == Took::Message,
            None => false,
        };
        if cleared {
            open.doubt = None;
            self.stop_seeking(now);
        }
    }

    /// When the open session needs attention, and why.
    fn due(&self) -> Option<(Duration, Due)> {
        let open = self.link.open()?;
        if open.doubt.is_some() {
            return None;
        }
        let waiting = self.queue.is_in_flight();
        let limit = ms(self.silence_ms(open.heard));
        let silence = match open.pinged {
            Some(at) => Some((at + limit / 2, Due::Silent)),
            None if waiting => Some((open.heard + limit / 2, Due::Ping)),
            None if self.options.ping_ms > 0 => {
                // Spread by what differs from device to device and costs nothing to keep.
                let spread = self.incarnation % (self.options.ping_ms / 8 + 1);
                Some((open.heard + ms(self.options.ping_ms - spread), Due::Ping))
            }
            None => None,
        };
        let stall_ms = STALL_MS.max(self.options.silence_ms);
        let stalled = waiting.then(|| (open.took + ms(stall_ms), Due::Stalled));
        silence.into_iter().chain(stalled).min_by_key(|(at, _)| *at)
    }

    pub(super) fn link_deadline(&self) -> Option<Duration> {
        self.due().map(|(at, _)| at)
    }

    /// How long the owner may be silent. Without anyone else to turn to, only patience helps.
    fn silence_ms(&self, now: Duration) -> u64 {
        let least_ms = self.options.silence_ms;
        if self.route.has_others() {
            self.patience.limit_ms(now, least_ms)
        } else {
            STALL_MS.max(least_ms)
        }
    }

    /// Pings the node, or begins to look for another one while it has its last chance.
    pub(super) fn link_due(&mut self, now: Duration) {
        let Some((at, due)) = self.due().filter(|(at, _)| *at <= now) else { return };
        let half = ms(self.silence_ms(now)) / 2;
        let Some(open) = self.link.open_mut() else { return };
        let is_late = now.saturating_sub(at) > half && open.late_timers < LATE_TIMERS_MAX;
        match due {
            Due::Silent if is_late => {
                // This machine was busy or asleep: what the node said may wait to be read.
                open.late_timers += 1;
                open.pinged = Some(now);
                self.control.push_back(DeviceFrame::Ping { nonce: 0 });
            }
            Due::Ping => {
                if !self.queue.is_in_flight() {
                    open.heard = now;
                }
                open.pinged = Some(now);
                self.control.push_back(DeviceFrame::Ping { nonce: 0 });
            }
            Due::Silent => self.doubt(now, Doubt::Silent),
            Due::Stalled => self.doubt(now, Doubt::Stalled),
        }
    }

    /// Looks for another owner. The session stays open: if the node speaks again, it goes on.
    fn doubt(&mut self, now: Duration, doubt: Doubt) {
        tracing::debug!(device = &*self.options.device, ?doubt, "looking for another owner");
        if let Some(open) = self.link.open_mut() {
            open.doubt = Some((doubt, now));
        }
        self.ways.silences += 1;
        self.route.search();
        self.seek = Some(Seek::begin(now));
        self.prefer_prepared();
        self.seek(now);
    }

    /// The open session is over: looks for the next one, `at_least_ms` from now.
    pub(super) fn close(&mut self, now: Duration, reason: Arc<str>, at_least_ms: u64) {
        let Some(open) = self.link.open() else { return };
        if now.saturating_sub(open.since) >= ms(STABLE_MS) {
            self.failures = 0;
        }
        let wait_ms = self.options.backoff.wait_ms(self.failures, &mut self.jitter);
        let spread = self.jitter.below(at_least_ms / 4 + 1);
        self.failures = self.failures.saturating_add(1);
        self.leave(now, Cause::Lost, reason);
        if self.seek.is_none() {
            self.route.search();
            self.seek = Some(Seek::begin(now + ms(wait_ms.max(at_least_ms + spread))));
            self.prefer_prepared();
        }
    }

    /// The open session is no more; what becomes of it is the caller's to decide.
    pub(super) fn leave(&mut self, now: Duration, cause: Cause, reason: Arc<str>) {
        let Some(open) = self.link.open() else { return };
        let silent = open.doubt.is_some() || open.pinged.is_some() || self.queue.is_in_flight();
        let since = if silent && cause == Cause::Lost { open.heard } else { now };
        if let (None, Some(owner)) = (&self.left, self.route.owner()) {
            let noticed = open.doubt.map_or(now, |(_, at)| at).saturating_sub(since);
            let (from, rested) = (Arc::clone(owner), self.queue.len() == 0);
            self.left = Some(Left { since, noticed, cause, from, rested });
        }
        self.link = Link::Closed;
        self.control.clear();
        self.hold_until = None;
        self.queue.rewind_all();
        self.event(Event::Offline { reason });
    }

    /// A session is open: what was queued meanwhile has waited for it.
    pub(super) fn returned(&mut self) {
        let waits = self.queue.len() > 0;
        self.left.iter_mut().for_each(|left| left.rested &= !waits);
    }

    /// The node has something to answer from now on.
    pub(super) fn begins(&mut self, now: Duration) {
        if let Some(open) = self.link.open_mut() {
            open.begins(now);
        }
        if let Some(left) = self.left.as_mut().filter(|left| left.rested) {
            (left.since, left.noticed, left.rested) = (now, Duration::ZERO, false);
        }
    }

    /// A message was answered: if by another node than before, that is worth telling.
    pub(super) fn arrived(&mut self, now: Duration) {
        let Some(Left { since, noticed, cause, from, .. }) = self.left.take() else { return };
        if let Some(to) = self.route.owner().filter(|to| **to != from) {
            let (took, to) = (now.saturating_sub(since), Arc::clone(to));
            self.event(Event::Rehomed(Rehomed { took, noticed, cause, from, to }));
        }
    }

    pub(super) fn away(&mut self, now: Duration, away_ms: u64) {
        if matches!(self.link, Link::Over { .. }) {
            return;
        }
        self.hangup_open();
        self.hangup_attempts(now);
        let cause = Cause::Moved;
        self.leave(now, cause, "dropped by the application".into());
        // Time that the application wanted to be away is no loss.
        self.left = None;
        self.route.return_to_owner();
        self.seek = Some(Seek::begin(now + ms(away_ms)));
    }

    /// Closes the open session's connection.
    pub(super) fn hangup_open(&mut self) {
        if let Some(open) = self.link.open() {
            let attempt = open.attempt;
            self.outputs.push_back(Output::Hangup { attempt });
        }
    }

    /// The session will not come back.
    pub(super) fn end(&mut self, now: Duration, reason: Arc<str>) {
        if matches!(self.link, Link::Over { .. }) {
            return;
        }
        self.hangup_open();
        self.hangup_attempts(now);
        self.link = Link::Over { reason: Arc::clone(&reason) };
        self.seek = None;
        self.control.clear();
        self.queue.clear();
        self.event(Event::Ended { reason });
    }
}

/// What the node said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// It answered a message.
    Message,
    /// Anything else.
    Nothing,
}
