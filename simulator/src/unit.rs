//! One simulated device: it reports, and keeps the book by which it is verified.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pollux_device::{Acked, Cause, Command, Desired, Device, Fault, Message, QueueError, Rehomed};
use pollux_twin::Value;

use crate::clock::us;
use crate::fleet::Fleet;
use crate::limits::HISTORY_LEN_MAX;
use crate::shape::{integer, mix};
use crate::tally::Kind;
use crate::timeline::{MomentKind, Timeline};

/// Something that happened to a device, for its history.
enum Step {
    Welcomed { version: u64 },
    Sent { n: u64 },
    Acked { n: u64, version: u64 },
    Failed { n: u64, why: String },
    Desired { version: u64 },
    Command { id: u64 },
    Dropped,
    Rehomed { to: Arc<str>, took: Duration },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcomed { version } => write!(f, "welcomed at reported version {version}"),
            Self::Sent { n } => write!(f, "sent report {n}"),
            Self::Acked { n, version } => write!(f, "report {n} acknowledged, version {version}"),
            Self::Failed { n, why } => write!(f, "report {n} failed: {why}"),
            Self::Desired { version } => write!(f, "told of desired version {version}"),
            Self::Command { id } => write!(f, "ran command {id}"),
            Self::Dropped => write!(f, "dropped its connection"),
            Self::Rehomed { to, took } => write!(f, "acknowledged by {to}, after {took:?}"),
        }
    }
}

/// What a device knows for certain.
#[derive(Default)]
pub(crate) struct Book {
    /// Number of the newest report sent.
    pub(crate) sent: u64,
    /// Number of the newest report acknowledged.
    pub(crate) acked: u64,
    /// Version of reported before the first report.
    pub(crate) base: u64,
    /// Reports acknowledged as taken, and reports rejected.
    pub(crate) taken: u64,
    pub(crate) rejected: u64,
    /// Version of reported as the last acknowledgement said.
    pub(crate) version: u64,
    /// Reports in flight.
    pub(crate) in_flight: u64,
    /// Longest that the device waited for an acknowledgement.
    pub(crate) waited_us: u64,
    /// Newest desired version that the device was told.
    pub(crate) desired: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) went_back: u64,
    /// The mark of the timeline for which the device has had its first acknowledgement.
    mark: u64,
    commands: BTreeSet<u64>,
    history: VecDeque<(Duration, Step)>,
}

pub(crate) struct Unit {
    pub(crate) index: u32,
    pub(crate) device: Device,
    fleet: Arc<Fleet>,
    book: Mutex<Book>,
}

impl Unit {
    pub(crate) fn new(index: u32, device: Device, fleet: Arc<Fleet>) -> Arc<Self> {
        let unit = Arc::new(Self { index, device, fleet, book: Mutex::default() });
        let weak = Arc::downgrade(&unit);
        unit.device.on_desired(move |desired| {
            let unit = weak.upgrade();
            async move { unit.map_or(Ok(()), |unit| unit.desired(&desired)) }
        });
        let weak = Arc::downgrade(&unit);
        unit.device.on_command(move |command| {
            let unit = weak.upgrade();
            async move { unit.map_or(Ok(Value::Null), |unit| unit.command(command)) }
        });
        let weak = Arc::downgrade(&unit);
        unit.device.on_rehomed(move |rehomed| {
            if let Some(unit) = weak.upgrade() {
                unit.rehomed(&rehomed);
            }
        });
        unit
    }

    /// The first session is open: numbers go on from the version that reported has.
    pub(crate) fn welcomed(&self, version: u64) {
        let mut book = self.book();
        (book.base, book.version, book.sent, book.acked) = (version, version, version, version);
        self.note(&mut book, Step::Welcomed { version });
    }

    /// Sends the next report; with one in flight each, the next after its acknowledgement.
    pub(crate) fn report(self: &Arc<Self>, at: Duration) {
        let options = &self.fleet.options;
        let mut book = self.book();
        let n = book.sent + 1;
        let salt = mix(options.seed ^ u64::from(self.index));
        let patch = options.shape.patch(n, options.report_bytes, salt);
        let unit = Arc::clone(self);
        let sent =
            self.device.send_then(Message::Report { patch, observed_at: None }, move |answer| {
                unit.answered(n, at, answer);
            });
        match sent {
            Ok(()) => {
                book.sent = n;
                book.in_flight += 1;
                self.note(&mut book, Step::Sent { n });
            }
            Err(QueueError::Full { .. }) => self.fleet.tally.error("queue_full"),
            Err(error) => {
                self.fleet.tally.error("not_sent");
                self.note(&mut book, Step::Failed { n, why: error.to_string() });
            }
        }
    }

    fn answered(self: &Arc<Self>, n: u64, at: Duration, answer: Result<Acked, Fault>) {
        let now = self.fleet.clock.now();
        let mut book = self.book();
        book.in_flight -= 1;
        match answer {
            Ok(Acked { version }) => {
                book.waited_us = book.waited_us.max(us(at, now));
                self.fleet.tally.done(Kind::Report, us(at, now));
                book.acknowledged(n, version);
                self.note(&mut book, Step::Acked { n, version });
                if let Some(timeline) = &self.fleet.timeline {
                    self.back(&mut book, timeline, timeline.mark_of(at));
                }
            }
            Err(error) => {
                let reason = match &error {
                    Fault::Rejected(rejection) => pollux_proto::status::row(rejection).reason,
                    _ => "report_failed",
                };
                self.fleet.tally.error(reason);
                book.rejected += 1;
                self.note(&mut book, Step::Failed { n, why: error.to_string() });
            }
        }
        drop(book);
        if self.fleet.closed_loop && self.fleet.is_running() {
            self.report(now);
        }
    }

    /// A new owner has acknowledged something.
    fn rehomed(&self, rehomed: &Rehomed) {
        let Rehomed { took, noticed, cause, .. } = *rehomed;
        let mut book = self.book();
        self.note(&mut book, Step::Rehomed { to: Arc::clone(&rehomed.to), took });
        let kind = match cause {
            Cause::Lost => Kind::Failover,
            Cause::Moved => Kind::Handoff,
        };
        self.fleet.tally.done(kind, us(Duration::ZERO, took));
        if let Some(timeline) = &self.fleet.timeline {
            timeline.tell(MomentKind::Rehomed { device: self.index, cause, noticed, took });
            let mark = Some(timeline.newest_mark()).filter(|mark| *mark > 0);
            self.back(&mut book, timeline, mark);
        }
    }

    /// The device has had an acknowledgement that counts for `mark`.
    fn back(&self, book: &mut Book, timeline: &Timeline, mark: Option<u64>) {
        if let Some(mark) = mark.filter(|mark| *mark > book.mark) {
            book.mark = mark;
            timeline.first_ack(self.index);
        }
    }

    /// Sends durable telemetry.
    pub(crate) fn telemetry(self: &Arc<Self>, n: u64, at: Duration) {
        let values = vec![("sim_t".to_owned(), integer(n))];
        let fleet = Arc::clone(&self.fleet);
        let sent = self.device.send_then(
            Message::Telemetry { values, observed_at: None },
            move |answer| match answer {
                Ok(_) => fleet.tally.done(Kind::Telemetry, us(at, fleet.clock.now())),
                Err(_) => fleet.tally.error("telemetry_failed"),
            },
        );
        if sent.is_err() {
            self.fleet.tally.error("queue_full");
        }
    }

    /// Sends a datagram; true if it went.
    pub(crate) fn volatile(&self, n: u64) -> bool {
        self.device.telemetry_volatile(vec![("sim_v".to_owned(), integer(n))]).is_ok()
    }

    /// Drops the connection for a while.
    pub(crate) fn leave(&self) {
        let mut book = self.book();
        self.note(&mut book, Step::Dropped);
        drop(book);
        self.device.leave(self.fleet.options.away);
    }

    fn desired(&self, desired: &Desired) -> Result<(), String> {
        let mut book = self.book();
        if desired.version < book.desired {
            book.went_back += 1;
        }
        book.desired = desired.version;
        self.note(&mut book, Step::Desired { version: desired.version });
        Ok(())
    }

    /// Every command is answered with its own arguments.
    fn command(&self, command: Command) -> Result<Value, String> {
        let mut book = self.book();
        if !book.commands.insert(command.id) {
            book.doubled += 1;
        }
        self.note(&mut book, Step::Command { id: command.id });
        Ok(command.payload)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened last to this device, a step a line.
    pub(crate) fn history(&self) -> String {
        let book = self.book();
        let mut text = format!(
            "device {}: sent {}, acknowledged {}, reported version {}, desired version {}",
            self.fleet.options.name(self.index),
            book.sent,
            book.acked,
            book.version,
            book.desired
        );
        for (at, step) in &book.history {
            text.push_str(&format!("\n    {:>10.6} s  {step}", at.as_secs_f64()));
        }
        text
    }

    fn note(&self, book: &mut Book, step: Step) {
        if !self.fleet.options.verify {
            return;
        }
        if book.history.len() >= HISTORY_LEN_MAX {
            book.history.pop_front();
        }
        book.history.push_back((self.fleet.clock.now(), step));
    }
}

impl Book {
    /// The version that reported has if each report is taken once: at least one step for each that
    /// was acknowledged, at most one for each that was sent. Nobody else writes the section.
    pub(crate) fn versions(&self) -> (u64, u64) {
        let sent = self.taken + self.rejected + self.in_flight;
        (self.base + self.taken, self.base + sent - self.rejected)
    }

    /// An acknowledgement tells the version as it is, so one that is repeated may tell of later
    /// reports too; with one in flight the bounds meet.
    fn acknowledged(&mut self, n: u64, version: u64) {
        let most = self.versions().1 + 1;
        self.taken += 1;
        let least = self.versions().0;
        self.lost = self.lost.max(least.saturating_sub(version));
        self.doubled = self.doubled.max(version.saturating_sub(most));
        if version < self.version {
            self.went_back += 1;
        }
        if n <= self.acked {
            self.doubled += 1;
        }
        self.version = version;
        self.acked = self.acked.max(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends and answers one report after the other.
    #[test]
    fn steps_of_the_version_are_checked() {
        let check = |acks: &[(u64, u64)], expected: (u64, u64, u64)| {
            let mut book = Book { base: 10, version: 10, acked: 10, ..Book::default() };
            for (n, version) in acks {
                // The one that is answered is in flight no more.
                book.acknowledged(*n, *version);
            }
            assert_eq!((book.lost, book.doubled, book.went_back), expected, "{acks:?}");
        };
        check(&[(11, 11), (12, 12), (13, 13)], (0, 0, 0));
        check(&[(11, 11), (12, 13), (13, 14)], (0, 1, 0));
        check(&[(11, 11), (12, 11)], (1, 0, 0));
        check(&[(11, 12), (12, 11)], (1, 1, 1));
        check(&[(11, 11), (11, 12)], (0, 1, 0));
    }

    #[test]
    fn a_repeated_acknowledgement_may_tell_of_later_reports() {
        let mut book = Book { in_flight: 2, ..Book::default() };
        for n in 1..=3 {
            book.acknowledged(n, 3);
            book.in_flight = book.in_flight.saturating_sub(1);
        }
        assert_eq!((book.lost, book.doubled, book.went_back), (0, 0, 0));
        assert_eq!(book.versions(), (3, 3));
    }
}
