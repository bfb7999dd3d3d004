//! What each frame of a node means for an open session. What answers a hello is in `greeting`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::convert::{SUPERSEDED, TAKEN_OVER};
use pollux_proto::device::{AckResult, NodeFrame, RefusedReason};
use pollux_twin::{Rejection, Value};

use super::backoff::ms;
use super::commands::Verdict;
use super::greeting::bye_text;
use super::link::Took;
use super::queue::Waiter;
use super::seek::Seek;
use super::{Cause, Event, Session};
use crate::limits::RETRY_AFTER_MS_MAX;

impl<T> Session<T> {
    pub(super) fn frame(&mut self, now: Duration, id: u64, frame: NodeFrame) {
        if self.link.open().is_some_and(|open| open.attempt == id) {
            let took = match frame {
                NodeFrame::Ack { .. } | NodeFrame::Nack { .. } => Took::Message,
                _ => Took::Nothing,
            };
            self.heard(now, took);
            self.in_session(now, frame);
        } else if let Some(attempt) = self.attempts.take(id) {
            self.greeted(now, &attempt, frame);
        }
    }

    fn in_session(&mut self, now: Duration, frame: NodeFrame) {
        match frame {
            NodeFrame::Ack { seq, result } => {
                self.arrived(now);
                self.acked(seq, result);
                self.close_gap(seq);
            }
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
            NodeFrame::PrepareMove { address } => self.prepare(now, address),
            NodeFrame::Moved { address, epoch } => self.moved(now, address, epoch),
            NodeFrame::Pong { .. } => {}
            NodeFrame::Bye { reason, reconnect } => self.bye(now, &reason, reconnect),
            NodeFrame::Refused { reason, message, retry_after_ms } => {
                self.dismissed(now, reason, &message, retry_after_ms);
            }
            other @ (NodeFrame::Welcome { .. } | NodeFrame::Redirect { .. }) => {
                self.protocol(now, &format!("the node sent {} in a session", name(&other)));
            }
        }
    }

    fn bye(&mut self, now: Duration, reason: &str, reconnect: bool) {
        self.hangup_open();
        if reason == SUPERSEDED || (reason == TAKEN_OVER && self.has_rival(now)) {
            // By a hello of our own, sent to another node and given up or still under way: its
            // session is nobody's, so the device takes it over again from where it is.
            tracing::debug!(device = &*self.options.device, "taken over by an own older attempt");
            self.leave(now, Cause::Lost, bye_text(reason));
            if !self.attempts.any_greeting() {
                self.route.return_to_owner();
            }
            self.failures = self.failures.saturating_add(1);
            let wait_ms = self.options.backoff.wait_ms(self.failures - 1, &mut self.jitter);
            self.seek = Some(Seek::begin(now + ms(wait_ms)));
        } else if reconnect {
            self.close(now, bye_text(reason), 0);
        } else {
            self.end(now, bye_text(reason));
        }
    }

    /// Refused after it was welcomed.
    fn dismissed(
        &mut self,
        now: Duration,
        reason: RefusedReason,
        message: &str,
        retry_after_ms: Option<u32>,
    ) {
        let text: Arc<str> = format!("the node refused the session: {message}").into();
        self.hangup_open();
        match (reason, retry_after_ms) {
            (_, Some(after_ms)) => {
                self.close(now, text, u64::from(after_ms).min(RETRY_AFTER_MS_MAX));
            }
            (RefusedReason::Busy, None) => self.close(now, text, 0),
            (RefusedReason::NotYou | RefusedReason::NotAllowed | RefusedReason::Invalid, None) => {
                self.end(now, text);
            }
        }
    }

    /// The newest desired; repetitions and older ones are not passed on.
    pub(super) fn desired(&mut self, version: u64, desired: Value) {
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

    /// Answers come in the order of their numbers. If one is left out, the owner dropped it with what it
    /// had not yet written, and went on: asks for it again, once for all that is in flight.
    fn close_gap(&mut self, seq: u64) {
        let first = self.queue.first();
        let Some(open) = self.link.open_mut() else { return };
        if first < seq && seq > open.asked_again_until && self.queue.is_in_flight() {
            open.asked_again_until = self.queue.next() - 1;
            self.queue.rewind_all();
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

    fn protocol(&mut self, now: Duration, what: &str) {
        tracing::warn!(device = &*self.options.device, what, "leaving the node");
        self.hangup_open();
        self.close(now, what.into(), 0);
    }
}

pub(super) const fn name(frame: &NodeFrame) -> &'static str {
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
