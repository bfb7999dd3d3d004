//! The way to a session: dialling, greeting, losing, waiting, and the connection made ahead of a
//! move. What the frames of a session mean is in `frames`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::DeviceFrame;

use super::{Event, Loss, Output, Session};
use crate::limits::{DIAL_MS, GREETING_MS, STABLE_MS};

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum Link {
    /// Nothing is under way until then.
    Waiting { until: Duration },
    /// A connection is being made.
    Dialling { attempt: u64, address: Arc<str>, until: Duration },
    /// The hello is out.
    Greeting { attempt: u64, address: Arc<str>, until: Duration },
    /// Welcomed.
    Open {
        attempt: u64,
        epoch: u64,
        in_flight_max: usize,
        since: Duration,
        /// When the node was last heard, or last had nothing to answer.
        heard: Duration,
        /// Whether it was pinged since.
        pinged: bool,
    },
    /// For good.
    Over { reason: Arc<str> },
}

impl Link {
    pub(crate) const fn attempt(&self) -> Option<u64> {
        match self {
            Self::Dialling { attempt, .. }
            | Self::Greeting { attempt, .. }
            | Self::Open { attempt, .. } => Some(*attempt),
            Self::Waiting { .. } | Self::Over { .. } => None,
        }
    }

    pub(crate) const fn epoch(&self) -> Option<u64> {
        match self {
            Self::Open { epoch, .. } => Some(*epoch),
            _ => None,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The node is not silent at this time.
    pub(crate) const fn heard(&mut self, now: Duration) {
        if let Self::Open { heard, pinged, .. } = self {
            (*heard, *pinged) = (now, false);
        }
    }

    /// Whether frames can be written.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Greeting { .. })
    }

    pub(crate) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Waiting { until }
            | Self::Dialling { until, .. }
            | Self::Greeting { until, .. } => Some(*until),
            Self::Open { .. } | Self::Over { .. } => None,
        }
    }
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl<T> Session<T> {
    /// Dials the next address of the route now.
    pub(super) fn dial(&mut self, now: Duration) {
        let address = self.route.next();
        if let Some((attempt, _, stands)) = self.spare.take_if(|(_, spare, _)| **spare == *address)
        {
            let until = now + ms(DIAL_MS);
            self.link = Link::Dialling { attempt, address, until };
            if stands {
                self.connected(now, attempt);
            }
            return;
        }
        let attempt = self.new_attempt();
        let until = now + ms(DIAL_MS);
        self.link = Link::Dialling { attempt, address: Arc::clone(&address), until };
        self.outputs.push_back(Output::Dial { attempt, address });
    }

    /// Makes a connection ahead of a move.
    pub(super) fn prepare(&mut self, address: String) {
        self.hangup_spare();
        let address: Arc<str> = address.into();
        let attempt = self.new_attempt();
        self.spare = Some((attempt, Arc::clone(&address), false));
        self.outputs.push_back(Output::Dial { attempt, address });
    }

    pub(super) fn connected(&mut self, now: Duration, attempt: u64) {
        if let Some((spare, _, stands)) = &mut self.spare
            && *spare == attempt
        {
            *stands = true;
            return;
        }
        match &self.link {
            Link::Dialling { attempt: dialled, address, .. } if *dialled == attempt => {
                let until = now + ms(GREETING_MS);
                self.link = Link::Greeting { attempt, address: Arc::clone(address), until };
                self.control.clear();
                self.control.push_back(DeviceFrame::Hello {
                    tenant: self.options.tenant.to_string(),
                    device: self.options.device.to_string(),
                    incarnation: self.incarnation,
                    token: self.options.token.as_deref().map(str::to_owned),
                });
            }
            _ => self.outputs.push_back(Output::Hangup { attempt }),
        }
    }

    pub(super) fn lost(&mut self, now: Duration, attempt: u64, loss: Loss, reason: Arc<str>) {
        if self.spare.take_if(|(spare, ..)| *spare == attempt).is_some() {
            return;
        }
        if self.link.attempt() == Some(attempt) {
            let at_least_ms = match loss {
                Loss::Broken => 0,
                Loss::Protocol => self.options.backoff.max_ms,
            };
            self.retry(now, reason, at_least_ms);
        }
    }

    /// A wait or an attempt is over.
    pub(super) fn due(&mut self, now: Duration) {
        match self.link {
            Link::Waiting { .. } => self.dial(now),
            Link::Dialling { .. } => {
                self.hangup();
                self.retry(now, "the node did not answer in time".into(), 0);
            }
            Link::Greeting { .. } => {
                self.hangup();
                self.retry(now, "the node did not welcome the device in time".into(), 0);
            }
            Link::Open { .. } | Link::Over { .. } => {}
        }
    }

    /// When the node has been silent for too long, or long enough to be pinged.
    pub(super) fn silent_until(&self) -> Option<Duration> {
        match self.link {
            Link::Open { heard, pinged: false, .. } => {
                Some(heard + ms(self.options.silence_ms / 2))
            }
            Link::Open { heard, pinged: true, .. } => Some(heard + ms(self.options.silence_ms)),
            _ => None,
        }
    }

    /// Messages wait, and the node says nothing: it may be gone without a word.
    pub(super) fn silent(&mut self, now: Duration) {
        match &mut self.link {
            Link::Open { pinged: pinged @ false, .. } => {
                *pinged = true;
                self.control.push_back(DeviceFrame::Ping { nonce: 0 });
            }
            _ => {
                self.hangup();
                self.retry(now, "the node is silent".into(), 0);
            }
        }
    }

    /// The attempt is over: waits at least `at_least_ms` and by the back-off before the next.
    pub(super) fn retry(&mut self, now: Duration, reason: Arc<str>, at_least_ms: u64) {
        match self.link {
            Link::Open { since, .. } if now.saturating_sub(since) >= ms(STABLE_MS) => {
                self.failures = 0;
            }
            Link::Open { .. } if self.failures == 0 => {}
            _ => self.failures = self.failures.saturating_add(1),
        }
        let backoff =
            self.options.backoff.wait_ms(self.failures, self.route.len(), &mut self.jitter);
        if self.link.is_open() {
            self.failures = self.failures.saturating_add(1);
        }
        let spread = self.jitter.below(at_least_ms / 4 + 1);
        self.wait(now, reason, backoff.max(at_least_ms + spread));
    }

    /// Leaves what is under way and dials after `wait_ms`.
    pub(super) fn wait(&mut self, now: Duration, reason: Arc<str>, wait_ms: u64) {
        let was_open = self.link.is_open();
        self.link = Link::Waiting { until: now + ms(wait_ms) };
        self.control.clear();
        self.hold_until = None;
        self.queue.rewind_all();
        if was_open {
            self.event(Event::Offline { reason });
        }
    }

    pub(super) fn away(&mut self, now: Duration, away_ms: u64) {
        if !matches!(self.link, Link::Over { .. }) {
            self.hangup();
            self.wait(now, "dropped by the application".into(), away_ms);
        }
    }

    /// Closes the current attempt's connection.
    pub(super) fn hangup(&mut self) {
        if let Some(attempt) = self.link.attempt() {
            self.outputs.push_back(Output::Hangup { attempt });
        }
    }

    /// The session will not come back.
    pub(super) fn end(&mut self, reason: Arc<str>) {
        if matches!(self.link, Link::Over { .. }) {
            return;
        }
        self.hangup();
        self.hangup_spare();
        self.link = Link::Over { reason: Arc::clone(&reason) };
        self.control.clear();
        self.queue.clear();
        self.event(Event::Ended { reason });
    }

    fn hangup_spare(&mut self) {
        if let Some((attempt, ..)) = self.spare.take() {
            self.outputs.push_back(Output::Hangup { attempt });
        }
    }

    const fn new_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }
}
