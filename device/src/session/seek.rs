//! Looking for a session: which attempts are made, how many at once and when, until a node welcomes
//! the device. Whom to dial is the route's; what nodes answer to a hello is in `greeting`.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::DeviceFrame;

use super::attempts::{Attempt, Purpose, Stage};
use super::backoff::ms;
use super::route::Pick;
use super::{Loss, Output, Session};
use crate::limits::{
    ASK_AGAIN_MS, DIAL_MS, GREETING_MS, HOLD_MS, OVERLOAD_MS, RACE_MAX, RIVAL_MS, SPARE_MS,
    STAGGER_MS, STAGGER_MS_MAX, STAGGER_ROUND_TRIPS,
};

/// A search that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seek {
    /// When the next node is dialled; `None`: when an attempt has failed.
    at: Option<Duration>,
    /// Nodes dialled beside another in this round.
    raced: u32,
}

impl Seek {
    pub(crate) const fn begin(at: Duration) -> Self {
        Self { at: Some(at), raced: 0 }
    }
}

/// Why an attempt did not lead to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// Not that node, in this round.
    Failed,
    /// That node, after so many milliseconds.
    Busy { after_ms: u64 },
    /// That node knows no better yet.
    Old,
}

impl<T> Session<T> {
    pub(super) fn seek_deadline(&self) -> Option<Duration> {
        let at = self.seek.as_ref()?.at?;
        (self.attempts.racing() < RACE_MAX).then(|| at.max(self.pace.ready_at()))
    }

    /// Dials whom it is time to dial.
    pub(super) fn seek(&mut self, now: Duration) {
        while self.seek_deadline().is_some_and(|at| at <= now) {
            let next = match self.route.pick(now, |address| self.leaves_alone(address)) {
                Pick::Dial(address) => {
                    self.dial(now, &address);
                    let stagger = now + self.stagger();
                    // Who is to be asked again has its own time.
                    let again = self.route.next_wait(now, |address| self.leaves_alone(address));
                    Some(again.map_or(stagger, |again| again.min(stagger)))
                }
                Pick::Wait(until) => Some(until),
                Pick::Exhausted if self.attempts.racing() > 0 => None,
                Pick::Exhausted => Some(now + self.next_round()),
            };
            if let Some(seek) = &mut self.seek {
                seek.at = next;
            }
        }
    }

    /// Whether that address is not to be dialled: an attempt or the session is with it.
    fn leaves_alone(&self, address: &str) -> bool {
        let stands = self.link.open().is_some();
        self.attempts.races(address) || (stands && self.route.is_spared(address))
    }

    /// How long to wait before another node is dialled beside this one.
    fn stagger(&mut self) -> Duration {
        let Some(seek) = &mut self.seek else { return Duration::ZERO };
        let trips = STAGGER_ROUND_TRIPS * self.patience.round_trip_ms();
        // A handshake that took long shows a node or a way under load.
        let first = STAGGER_MS.max(trips).max(2 * u64::from(self.handshake_ms));
        let doubled = first.saturating_mul(1 << seek.raced.min(16)).min(STAGGER_MS_MAX);
        seek.raced += 1;
        let least = if self.attempts.any_held() { HOLD_MS } else { 0 };
        ms(doubled.max(least) + self.jitter.below(doubled / 4 + 1))
    }

    /// All addresses were tried in vain; how long to wait before the next round.
    fn next_round(&mut self) -> Duration {
        self.route.next_round();
        self.failures = self.failures.saturating_add(1);
        if let Some(seek) = &mut self.seek {
            seek.raced = 0;
        }
        // At least a millisecond, so that time passes between rounds.
        ms(self.options.backoff.wait_ms(self.failures, &mut self.jitter).max(1))
    }

    /// Makes a connection for a session now, or uses the one that was made ahead of a move.
    pub(super) fn dial(&mut self, now: Duration, address: &Arc<str>) {
        self.ahead.take_if(|ahead| *ahead.address == **address);
        if let Some(attempt) = self.attempts.to(address) {
            attempt.purpose = Purpose::Session;
            if attempt.stage == Stage::Standing {
                (attempt.stage, attempt.until) = (Stage::Hello, now + ms(GREETING_MS));
            }
            return;
        }
        self.begin(now, address, Purpose::Session);
    }

    pub(super) fn begin(&mut self, now: Duration, address: &Arc<str>, purpose: Purpose) {
        self.pace.take(now);
        self.ways.dials += 1;
        let attempt = self.attempts.begin(now, address, purpose, now + ms(DIAL_MS));
        self.outputs.push_back(Output::Dial { attempt, address: Arc::clone(address) });
    }

    pub(super) fn connected(&mut self, now: Duration, id: u64, round_trip: Duration) {
        let Some(attempt) = self.attempts.find(id) else {
            self.outputs.push_back(Output::Hangup { attempt: id });
            return;
        };
        let Stage::Dialling { since } = attempt.stage else { return };
        self.route.unreachable.reached(&attempt.address);
        let took = now.saturating_sub(since).as_millis();
        self.handshake_ms = u32::try_from(took).unwrap_or(u32::MAX);
        self.patience.measured(round_trip);
        match attempt.purpose {
            Purpose::Move => {
                (attempt.stage, attempt.until) = (Stage::Standing, now + ms(SPARE_MS));
            }
            Purpose::Probe => {
                (attempt.stage, attempt.until) = (Stage::Hello, now + ms(GREETING_MS));
            }
            Purpose::Session => {
                (attempt.stage, attempt.until) = (Stage::Hello, now + ms(GREETING_MS));
                // It lives: others are dialled only if it holds the hello for long.
                if let Some(at) = self.seek.as_mut().and_then(|seek| seek.at.as_mut()) {
                    *at = (*at).max(now + ms(HOLD_MS));
                }
            }
        }
    }

    /// The frame that opens a session.
    pub(super) fn hello(&self) -> DeviceFrame {
        DeviceFrame::Hello {
            tenant: self.options.tenant.to_string(),
            device: self.options.device.to_string(),
            incarnation: self.incarnation,
            token: self.options.token.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn lost(&mut self, now: Duration, id: u64, loss: Loss, reason: Arc<str>) {
        let longest_ms = self.options.backoff.max_ms;
        if self.link.open().is_some_and(|open| open.attempt == id) {
            let at_least_ms = match loss {
                Loss::Broken => 0,
                Loss::Overload => OVERLOAD_MS,
                Loss::Protocol => longest_ms,
            };
            self.close(now, reason, at_least_ms);
            self.seek(now);
        } else if let Some(attempt) = self.attempts.take(id) {
            tracing::debug!(address = &*attempt.address, %reason, "an attempt failed");
            self.unanswered(now, &attempt);
            let setback = match loss {
                Loss::Broken => {
                    self.not_reached(now, &attempt);
                    Setback::Failed
                }
                // Its refusal was lost on the way.
                Loss::Protocol if attempt.asked => return self.not_understood(now, &attempt),
                Loss::Overload => Setback::Busy { after_ms: 0 },
                Loss::Protocol => Setback::Busy { after_ms: longest_ms },
            };
            self.set_back(now, &attempt, setback);
        }
    }

    /// Gives up attempts that take too long.
    pub(super) fn attempts_due(&mut self, now: Duration) {
        for attempt in self.attempts.take_if(|attempt| attempt.until <= now) {
            self.outputs.push_back(Output::Hangup { attempt: attempt.id });
            self.unanswered(now, &attempt);
            self.not_reached(now, &attempt);
            self.set_back(now, &attempt, Setback::Failed);
        }
    }

    /// An attempt is over; its connection is gone or about to be closed.
    pub(super) fn set_back(&mut self, now: Duration, attempt: &Attempt, setback: Setback) {
        if attempt.purpose != Purpose::Session {
            return;
        }
        let mut next = now + ms(self.jitter.below(self.options.backoff.first_ms + 1));
        match setback {
            Setback::Failed => self.route.failed(&attempt.address),
            Setback::Old => self.ask_later(now, &attempt.address),
            Setback::Busy { after_ms } => {
                let waits = self.route.waits(&attempt.address);
                let doubled_ms = match (after_ms, waits) {
                    (0, _) => self.doubled(OVERLOAD_MS, waits),
                    (_, 1) => 0,
                    _ => self.doubled(self.options.backoff.base_ms, waits - 1),
                };
                let spread_ms = self.jitter.below(after_ms / 4 + 1);
                let until = now + ms(doubled_ms.max(after_ms + spread_ms));
                self.route.not_before(&attempt.address, until);
                // The others are no better off at first; after that they are asked meanwhile.
                if waits <= 2 && after_ms <= HOLD_MS {
                    next = until;
                }
            }
        }
        self.seek_soon(next);
    }

    /// The next node is dialled then, or before.
    pub(super) fn seek_soon(&mut self, next: Duration) {
        if let Some(seek) = &mut self.seek {
            let racing = self.attempts.racing() > 0;
            seek.at = Some(seek.at.filter(|_| racing).map_or(next, |at| at.min(next)));
        }
    }

    /// A node is asked again when it may know better.
    fn ask_later(&mut self, now: Duration, address: &Arc<str>) {
        let waits = self.route.waits(address);
        let wait_ms = self.doubled(ASK_AGAIN_MS, waits);
        self.route.ask_again(address, now + ms(wait_ms));
    }

    /// A node has sent us on: the next is who it named.
    pub(super) fn follow(&mut self, now: Duration, from: &Arc<str>, to: &str) {
        self.ways.redirects += 1;
        // It was asked and knows somebody better; if that one fails, it is asked again.
        self.ask_later(now, from);
        if self.attempts.races(to) {
            let next = now + self.stagger();
            self.seek.iter_mut().for_each(|seek| seek.at = Some(next));
        } else {
            self.seek = Some(Seek::begin(now));
            self.seek(now);
        }
    }

    /// `base_ms`, doubled with each repetition up to the longest back-off, with jitter.
    fn doubled(&mut self, base_ms: u64, times: u32) -> u64 {
        let doubled = base_ms.saturating_mul(1 << times.saturating_sub(1).min(20));
        let longest = doubled.min(self.options.backoff.max_ms).max(1);
        longest / 2 + self.jitter.below(longest + 1)
    }

    /// The owner speaks again: nobody else is dialled. Who has the hello answers it still.
    pub(super) fn stop_seeking(&mut self, now: Duration) {
        self.seek = None;
        self.route.trusted();
        let vain = self
            .attempts
            .take_if(|attempt| attempt.purpose == Purpose::Session && !attempt.is_greeting());
        self.hangup(now, vain);
    }

    /// Closes all attempts' connections, and forgets the next one.
    pub(super) fn hangup_attempts(&mut self, now: Duration) {
        self.ahead = None;
        let all = self.attempts.take_if(|_| true);
        self.hangup(now, all);
    }

    fn hangup(&mut self, now: Duration, attempts: Vec<Attempt>) {
        for attempt in attempts {
            self.unanswered(now, &attempt);
            self.outputs.push_back(Output::Hangup { attempt: attempt.id });
        }
    }

    /// An attempt is given up. If its hello is out, a node may act on it all the same.
    pub(super) fn unanswered(&mut self, now: Duration, attempt: &Attempt) {
        if attempt.is_greeting() {
            self.rival_until = now + ms(RIVAL_MS);
        }
    }
}
