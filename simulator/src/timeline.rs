//! What happens to devices while a run goes on, moment by moment: for whoever does something to the
//! cluster meanwhile and wants to show what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pollux_device::Cause;
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, us};
use crate::limits::TIMELINE_LEN_MAX;

/// Something that happened to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, since the timeline was made.
    pub at: Duration,
    /// What.
    pub kind: MomentKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentKind {
    /// The device has a new owner, which has acknowledged a report.
    Rehomed {
        /// Number of the device.
        device: u32,
        /// Whether the old one was lost or has handed it over.
        cause: Cause,
        /// From the last that was heard of the old owner to when the device began to look for
        /// another.
        noticed: Duration,
        /// From there to the acknowledgement.
        took: Duration,
    },
    /// A report of the device that was made after the mark, or waited for a new owner since, was
    /// acknowledged: the first one.
    FirstAck {
        /// Number of the device.
        device: u32,
    },
    /// Every device has had such an acknowledgement since the mark.
    AllBack,
}

/// A stream of moments of one run. Clones are the same timeline.
#[derive(Clone, Debug)]
pub struct Timeline {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    moments: mpsc::Sender<Moment>,
    missed: AtomicU64,
    /// Goes up with each mark.
    mark: AtomicU64,
    marked_us: AtomicU64,
    waiting: AtomicU32,
    devices: AtomicU32,
    over: watch::Sender<bool>,
}

impl Timeline {
    /// A timeline, and where its moments come out.
    pub fn new() -> (Self, mpsc::Receiver<Moment>) {
        let (moments, receiver) = mpsc::channel(TIMELINE_LEN_MAX);
        let shared = Shared {
            clock: Clock::start(),
            moments,
            missed: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            marked_us: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            devices: AtomicU32::new(0),
            over: watch::Sender::new(false),
        };
        (Self { shared: Arc::new(shared) }, receiver)
    }

    /// Time since it was made.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Something is done to the cluster now: from here on each device's first acknowledgement counts
    /// anew. Returns when that was.
    pub fn mark(&self) -> Duration {
        let (shared, now) = (&self.shared, self.now());
        shared.waiting.store(shared.devices.load(Ordering::Acquire), Ordering::Release);
        shared.marked_us.store(us(Duration::ZERO, now), Ordering::Release);
        shared.mark.fetch_add(1, Ordering::AcqRel);
        now
    }

    /// Devices that have had no acknowledgement since the mark.
    pub fn waiting(&self) -> u32 {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// Moments that were dropped because nobody read them in time.
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// What there was to see is over: the measurement ends, if its time has not.
    pub fn end(&self) {
        self.shared.over.send_replace(true);
    }

    /// Waits for that.
    pub(crate) async fn ended(&self) {
        let mut over = self.shared.over.subscribe();
        // The sender lives as long as the timeline.
        let _ = over.wait_for(|over| *over).await;
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(crate) fn begins(&self, devices: u32) {
        self.shared.devices.store(devices, Ordering::Release);
    }

    /// The mark that a device's report made at `made` counts for, if it was made since.
    pub(crate) fn mark_of(&self, made: Duration) -> Option<u64> {
        let marked = self.shared.marked_us.load(Ordering::Acquire);
        let mark = self.newest_mark();
        (mark > 0 && us(Duration::ZERO, made) >= marked).then_some(mark)
    }

    pub(crate) fn newest_mark(&self) -> u64 {
        self.shared.mark.load(Ordering::Acquire)
    }

    /// A device's first acknowledgement since the mark.
    pub(crate) fn first_ack(&self, device: u32) {
        self.tell(MomentKind::FirstAck { device });
        let left = |waiting: u32| waiting.checked_sub(1);
        let (order, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        if self.shared.waiting.fetch_update(order, fetch, left) == Ok(1) {
            self.tell(MomentKind::AllBack);
        }
    }

    pub(crate) fn tell(&self, kind: MomentKind) {
        let moment = Moment { at: self.now(), kind };
        if self.shared.moments.try_send(moment).is_err() {
            self.shared.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_counts_once_a_mark() {
        let (timeline, mut moments) = Timeline::new();
        timeline.begins(2);
        assert_eq!(timeline.mark_of(timeline.now()), None, "nothing was marked");
        for mark in 1..=2 {
            let at = timeline.mark();
            assert_eq!((timeline.newest_mark(), timeline.waiting()), (mark, 2));
            assert_eq!(timeline.mark_of(at), Some(mark));
            let before = at.checked_sub(Duration::from_micros(1));
            assert_eq!(before.and_then(|before| timeline.mark_of(before)), None);
            timeline.first_ack(0);
            timeline.first_ack(1);
            let kinds: Vec<_> =
                std::iter::from_fn(|| moments.try_recv().ok()).map(|moment| moment.kind).collect();
            let first = |device| MomentKind::FirstAck { device };
            assert_eq!(kinds, [first(0), first(1), MomentKind::AllBack]);
        }
        assert_eq!(timeline.missed(), 0);
        drop(moments);
        timeline.first_ack(0);
        assert_eq!(timeline.missed(), 1, "nobody listens");
    }
}
