//! What each frame of a node means for the session. Getting to a session is in `link`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::{AckResult, Limits, NodeFrame, RefusedReason, Replica};
use pollux_twin::{Rejection, Value};

use super::commands::Verdict;
use super::link::{Link, ms};
use super::queue::Waiter;
use super::{Event, Session};
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
    pub(super) fn frame(&mut self, now: Duration, attempt: u64, frame: NodeFrame) {
        if self.link.attempt() != Some(attempt) {
            return;
        }
        self.link.heard(now);
        match (&self.link, frame) {
            (
                Link::Greeting { .. },
                NodeFrame::Welcome {
                    session,
                    last_seq,
                    desired_version,
                    desired,
                    reported_version,
                    limits,
                    replicas,
                },
            ) => {
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
            (Link::Greeting { .. }, NodeFrame::Redirect { address, .. }) => {
                self.hangup();
                if self.route.redirected(address) {
                    self.dial(now);
                } else {
                    self.retry(now, "redirected too often in a row".into(), 0);
                }
            }
            (_, NodeFrame::Refused { reason, message, retry_after_ms }) => {
                self.refused(now, reason, &message, retry_after_ms);
            }
            (_, NodeFrame::Bye { reason, reconnect }) => {
                let reason: Arc<str> = format!("the node said bye: {reason}").into();
                if reconnect {
                    self.hangup();
                    self.retry(now, reason, 0);
                } else {
                    self.end(reason);
                }
            }
            (Link::Open { .. }, frame) => self.in_session(now, frame),
            (_, NodeFrame::Pong { .. }) => {}
            (_, other) => self.protocol(now, &format!("the node sent {} early", name(&other))),
        }
    }

    fn in_session(&mut self, now: Duration, frame: NodeFrame) {
        match frame {
            NodeFrame::Ack { seq, result } => self.acked(seq, result),
            NodeFrame::Nack { seq, expected, retry_after_ms } => {
                self.nacked(now, seq, expected, retry_after_ms);
            }
            NodeFrame::Desired { version, desired } => self.desired(version, desired),
            NodeFrame::Command { id, name, payload, deadline } => match self.commands.offered(id) {
                Verdict::Run => self.event(Event::Command { id, name, payload, deadline }),
                verdict => self.carry_out(id, verdict),
            },
            NodeFrame::CommandStatus { id } => {
                let verdict = self.commands.recall(id);
                self.carry_out(id, verdict);
            }
            NodeFrame::PrepareMove { address } => self.prepare(address),
            NodeFrame::Moved { address, .. } => {
                self.route.moved(address);
                self.hangup();
                self.wait(now, "the shard has moved".into(), 0);
                self.dial(now);
            }
            NodeFrame::Pong { .. } => {}
            other => self.protocol(now, &format!("the node sent {} in a session", name(&other))),
        }
    }

    fn welcomed(&mut self, now: Duration, attempt: u64, welcome: Welcome) {
        let Link::Greeting { address, .. } = &self.link else { return };
        let address = Arc::clone(address);
        let last = welcome.last_seq;
        if last.saturating_add(1) < self.queue.first() || last >= self.queue.next() {
            // The owner's counter is not ours: one of us lost it. What waits here was never taken
            // under the owner's counter, so it may have new numbers (safety rule 13).
            self.incarnation = self.jitter.next();
            self.queue.renumber(self.incarnation);
            tracing::warn!(last, "the owner counts differently: taking a new incarnation");
            self.hangup();
            self.route.moved(address.to_string());
            self.wait(now, "a new incarnation begins".into(), 0);
            self.dial(now);
            return;
        }
        let offered = usize::try_from(welcome.limits.in_flight_max).unwrap_or(usize::MAX);
        let in_flight_max = offered.clamp(1, IN_FLIGHT_MAX);
        self.link = Link::Open {
            attempt,
            epoch: welcome.session,
            in_flight_max,
            since: now,
            heard: now,
            pinged: false,
        };
        self.route.welcomed(address, welcome.replicas.into_iter().map(|replica| replica.address));
        // Numbers up to `last` are durable, but what came of them is not known here: they are sent
        // again too, and the owner repeats its answers without applying them again (rule 12).
        self.queue.rewind_all();
        let session = welcome.session;
        self.event(Event::Online { session, reported_version: welcome.reported_version });
        self.desired(welcome.desired_version, welcome.desired);
    }

    /// The newest desired; repetitions and older ones are not passed on.
    fn desired(&mut self, version: u64, desired: Value) {
        if self.desired_version.is_none_or(|seen| seen < version) {
            self.desired_version = Some(version);
            self.event(Event::Desired { version, desired });
        }
    }

    fn acked(&mut self, seq: u64, result: AckResult) {
        let result = match result {
            AckResult::Done { version } => Ok(version),
            AckResult::Rejected { rejection } => Err(rejection),
        };
        match self.queue.answered(seq) {
            Some(Waiter::Application(token)) => self.event(Event::Answered { token, result }),
            Some(Waiter::Command(id)) => {
                // A command that ended otherwise meanwhile (its deadline passed) refuses its answer.
                self.commands.answered(id);
            }
            Some(Waiter::Nobody) => self.log_rejection(seq, result),
            None => tracing::trace!(seq, "an answer came twice"),
        }
    }

    fn log_rejection(&self, seq: u64, result: Result<u64, Rejection>) {
        if let Err(rejection) = result {
            let device = &*self.options.device;
            tracing::warn!(device, seq, ?rejection, "the owner rejected a message");
        }
    }

    fn nacked(&mut self, now: Duration, seq: u64, expected: Option<u64>, retry_after_ms: u32) {
        if self.queue.rewind(expected.unwrap_or(seq)) {
            let after_ms = u64::from(retry_after_ms).min(RETRY_AFTER_MS_MAX);
            let spread_ms = self.jitter.below(after_ms / 4 + 1);
            if after_ms > 0 {
                let until = now + ms(after_ms + spread_ms);
                self.hold_until = Some(self.hold_until.map_or(until, |held| held.max(until)));
            }
        } else if expected.is_some() {
            // Only a welcome says what the owner has: ask for one.
            self.protocol(now, "the node expects a number that is not kept");
        }
    }

    fn refused(
        &mut self,
        now: Duration,
        reason: RefusedReason,
        message: &str,
        retry_after_ms: Option<u32>,
    ) {
        let text: Arc<str> = format!("the node refused the session: {message}").into();
        self.hangup();
        match (reason, retry_after_ms) {
            (_, Some(after_ms)) => {
                self.retry(now, text, u64::from(after_ms).min(RETRY_AFTER_MS_MAX));
            }
            (RefusedReason::Busy, None) => self.retry(now, text, 0),
            (RefusedReason::NotYou | RefusedReason::NotAllowed | RefusedReason::Invalid, None) => {
                self.end(text);
            }
        }
    }

    fn protocol(&mut self, now: Duration, what: &str) {
        tracing::warn!(device = &*self.options.device, what, "leaving the node");
        self.hangup();
        self.retry(now, what.into(), 0);
    }
}

const fn name(frame: &NodeFrame) -> &'static str {
    match frame {
        NodeFrame::Welcome { .. } => "welcome",
        NodeFrame::Redirect { .. } => "redirect",
        NodeFrame::Refused { .. } => "refused",
        NodeFrame::Ack { .. } => "ack",
        NodeFrame::Nack { .. } => "nack",
        NodeFrame::Desired { .. } => "desired",
        NodeFrame::Command { .. } => "command",
        NodeFrame::CommandStatus { .. } => "command_status",
        NodeFrame::PrepareMove { .. } => "prepare_move",
        NodeFrame::Moved { .. } => "moved",
        NodeFrame::Bye { .. } => "bye",
        NodeFrame::Pong { .. } => "pong",
    }
}
