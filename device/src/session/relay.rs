//! Being relayed: what a node is asked before the hello, what its answer means then, and how a device comes
//! back to dialling its owner itself. Which owners cannot be dialled is in `unreachable`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::DeviceFrame;

use super::Session;
use super::attempts::{Attempt, Purpose};
use super::seek::Setback;
use super::unreachable::News;

impl<T> Session<T> {
    /// What is to be said before the hello of an attempt, if anything: where owners are that cannot be dialled.
    pub(super) fn asks(&mut self, now: Duration, id: u64) -> Option<DeviceFrame> {
        let attempt = self.attempts.find(id)?;
        if attempt.purpose == Purpose::Probe || self.route.is_plain(&attempt.address) {
            return None;
        }
        let others = self.route.unreachable.all(now).filter(|one| **one != attempt.address);
        let unreachable: Vec<_> = others.map(|one| one.to_string()).collect();
        if unreachable.is_empty() {
            return None;
        }
        attempt.asked = true;
        Some(DeviceFrame::Relay { unreachable })
    }

    /// A dial got no answer. If a node has named that address as the owner's, others are asked to relay.
    pub(super) fn not_reached(&mut self, now: Duration, attempt: &Attempt) {
        let named = attempt.purpose != Purpose::Session || self.route.is_told(&attempt.address);
        if !named || !attempt.is_dialling() {
            return;
        }
        let news = self.route.unreachable.failed(now, &attempt.address, &mut self.jitter);
        if news == News::New {
            tracing::debug!(address = &*attempt.address, "the owner cannot be dialled there");
            // Who sent us there did not know; now it can be asked for more.
            self.route.ask_anew();
        }
    }

    /// A node names an owner that cannot be dialled: it is asked to relay, or it does not.
    pub(super) fn sent_in_vain(&mut self, now: Duration, attempt: &Attempt) {
        if attempt.asked || self.route.is_plain(&attempt.address) {
            self.route.plain(&attempt.address);
            self.set_back(now, attempt, Setback::Failed);
        } else {
            self.ask_at_once(now, attempt);
        }
    }

    /// A node does not know what it was asked before the hello: it is greeted without that.
    pub(super) fn not_understood(&mut self, now: Duration, attempt: &Attempt) {
        tracing::debug!(address = &*attempt.address, "that node does not relay");
        self.route.plain(&attempt.address);
        self.ask_at_once(now, attempt);
    }

    fn ask_at_once(&mut self, now: Duration, attempt: &Attempt) {
        if attempt.purpose == Purpose::Session {
            self.route.ask_again(&attempt.address, now);
            self.seek_soon(now);
        }
    }

    /// Where to go on when the shard has moved to where the owner cannot be dialled: to the node that the
    /// device is with, which relays.
    pub(super) fn detour(&self, now: Duration, to: &str) -> Option<Arc<str>> {
        let here = self.route.owner().filter(|_| self.route.unreachable.is(now, to))?;
        Some(Arc::clone(here))
    }

    pub(super) fn probe_deadline(&self) -> Option<Duration> {
        let rests = self.link.open().is_some() && self.seek.is_none();
        let next = self.route.unreachable.next(|address| self.attempts.has(address));
        next.filter(|_| rests).map(|(at, _)| at.max(self.pace.ready_at()))
    }

    /// Dials an owner again that did not answer long ago, beside the session, which may be relayed to it.
    pub(super) fn probe_due(&mut self, now: Duration) {
        if self.probe_deadline().is_none_or(|at| at > now) {
            return;
        }
        let next = self.route.unreachable.next(|address| self.attempts.has(address));
        if let Some(address) = next.map(|(_, address)| Arc::clone(address)) {
            self.begin(now, &address, Purpose::Probe);
        }
    }
}
