//! What a node answers to a hello: a welcome, a redirect, a refusal. Frames of an open session are
//! in `frames`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::{Limits, NodeFrame, RefusedReason, Replica};
use pollux_twin::Value;

use super::attempts::Attempt;
use super::frames::name;
use super::link::{Link, Open};
use super::route::{Epoch, Told};
use super::seek::{Seek, Setback};
use super::{Cause, Event, Output, Session};
use crate::limits::{IN_FLIGHT_MAX, RETRY_AFTER_MS_MAX};

struct Welcome {
    session: u64,
    last_seq: u64,
    desired_version: u64,
    desired: Value,
    reported_version: u64,
    limits: Limits,
    replicas: Vec<Replica>,
}

impl<T> Session<T> {
    /// A node answers the hello of an attempt, which is over with it.
    pub(super) fn greeted(&mut self, now: Duration, attempt: &Attempt, frame: NodeFrame) {
        match frame {
            NodeFrame::Welcome {
                session,
                last_seq,
                desired_version,
                desired,
                reported_version,
                limits,
                replicas,
            } => {
                let welcome = Welcome {
                    session,
                    last_seq,
                    desired_version,
                    desired,
                    reported_version,
                    limits,
                    replicas,
                };
                self.welcomed(now, attempt, welcome);
            }
            NodeFrame::Redirect { address, epoch } => {
                self.hangup_attempt(attempt);
                self.redirected(now, attempt, address, epoch);
            }
            NodeFrame::Refused { reason, message, retry_after_ms } => {
                self.hangup_attempt(attempt);
                self.refused(now, attempt, reason, &message, retry_after_ms);
            }
            NodeFrame::Bye { reason, reconnect } => {
                self.hangup_attempt(attempt);
                if reconnect || self.link.open().is_some() || self.has_rival(now) {
                    // It opened a session, or did not; another of our own may have ended it.
                    self.set_back(now, attempt, Setback::Failed);
                } else {
                    self.end(now, bye_text(&reason));
                }
            }
            other => self.misunderstood(now, attempt, name(&other)),
        }
    }

    fn welcomed(&mut self, now: Duration, attempt: &Attempt, welcome: Welcome) {
        if !attempt.is_greeting() {
            self.misunderstood(now, attempt, "a welcome before the hello");
            return;
        }
        let last = welcome.last_seq;
        if last.saturating_add(1) < self.queue.first() || last >= self.queue.next() {
            self.count_anew(now, attempt, last);
            return;
        }
        if self.link.open().is_some_and(|open| welcome.session <= open.epoch) {
            // The open session is newer: this one was taken over before we heard of it.
            self.hangup_attempt(attempt);
            self.set_back(now, attempt, Setback::Failed);
            return;
        }
        self.hangup_open();
        self.leave(now, Cause::Lost, "another node has the session now".into());
        self.seek = None;
        self.hangup_attempts(now);
        let offered = usize::try_from(welcome.limits.in_flight_max).unwrap_or(usize::MAX);
        let in_flight_max = offered.clamp(1, IN_FLIGHT_MAX);
        let session = welcome.session;
        self.link = Link::Open(Open::new(attempt.id, session, in_flight_max, now));
        let replicas = welcome.replicas.into_iter().map(|replica| replica.address);
        self.route.welcomed(Arc::clone(&attempt.address), replicas);
        self.route.unreachable.settle(now);
        // Numbers up to `last` are durable, but what came of them is not known here: they are sent
        // again too, and the owner repeats its answers without applying them again (rule 12).
        self.queue.rewind_all();
        self.returned();
        self.event(Event::Online { session, reported_version: welcome.reported_version });
        self.desired(welcome.desired_version, welcome.desired);
    }

    /// The owner's counter is not ours: one of us lost it. What waits here was never taken under the
    /// owner's counter, so it may have new numbers (safety rule 13).
    fn count_anew(&mut self, now: Duration, attempt: &Attempt, last: u64) {
        self.incarnation = self.jitter.next();
        self.queue.renumber(self.incarnation);
        tracing::warn!(last, "the owner counts differently: taking a new incarnation");
        self.hangup_attempt(attempt);
        self.hangup_open();
        // Others that were greeted heard of the old one.
        self.hangup_attempts(now);
        self.leave(now, Cause::Lost, "a new incarnation begins".into());
        self.route.go(&attempt.address);
        self.seek = Some(Seek::begin(now));
        self.seek(now);
    }

    fn redirected(&mut self, now: Duration, attempt: &Attempt, address: String, epoch: Epoch) {
        if self.seek.is_none() {
            // The owner has spoken meanwhile.
            return;
        }
        let address: Arc<str> = address.into();
        if self.route.unreachable.is(now, &address) {
            self.sent_in_vain(now, attempt);
            return;
        }
        match self.route.redirected(&attempt.address, &address, epoch) {
            Told::Follow => self.follow(now, &attempt.address, &address),
            Told::Old => self.set_back(now, attempt, Setback::Old),
            Told::Loop => self.set_back(now, attempt, Setback::Failed),
        }
    }

    fn refused(
        &mut self,
        now: Duration,
        attempt: &Attempt,
        reason: RefusedReason,
        message: &str,
        retry_after_ms: Option<u32>,
    ) {
        tracing::debug!(device = &*self.options.device, ?reason, message, "refused");
        match (reason, retry_after_ms) {
            (_, Some(after_ms)) => {
                let after_ms = u64::from(after_ms).min(RETRY_AFTER_MS_MAX);
                self.set_back(now, attempt, Setback::Busy { after_ms });
            }
            (RefusedReason::Busy, None) => {
                self.set_back(now, attempt, Setback::Busy { after_ms: 0 });
            }
            (RefusedReason::Invalid, None) if attempt.asked => self.not_understood(now, attempt),
            // As long as an owner has us, others may say what they like.
            _ if self.link.open().is_some() => self.set_back(now, attempt, Setback::Failed),
            (RefusedReason::NotYou | RefusedReason::NotAllowed | RefusedReason::Invalid, None) => {
                self.end(now, format!("the node refused the session: {message}").into());
            }
        }
    }

    fn misunderstood(&mut self, now: Duration, attempt: &Attempt, what: &str) {
        tracing::warn!(device = &*self.options.device, what, "no answer to a hello");
        self.hangup_attempt(attempt);
        self.unanswered(now, attempt);
        let after_ms = self.options.backoff.max_ms;
        self.set_back(now, attempt, Setback::Busy { after_ms });
    }

    /// Whether a hello of our own may have opened a session that we do not know of.
    pub(super) fn has_rival(&self, now: Duration) -> bool {
        self.rival_until > now || self.attempts.any_greeting()
    }

    fn hangup_attempt(&mut self, attempt: &Attempt) {
        self.outputs.push_back(Output::Hangup { attempt: attempt.id });
    }
}

pub(super) fn bye_text(reason: &str) -> Arc<str> {
    format!("the node said bye: {reason}").into()
}
