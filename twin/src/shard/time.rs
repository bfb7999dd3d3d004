//! The shard's time: what twins decide with and what stands in the log (safety rule 20).
//!
//! It follows the owner's wall clock, but never goes back and never jumps: a wall clock that leaps
//! ahead is caught up with at double speed, one that leaps back is waited for at half speed. So a
//! jump neither expires everything nor freezes time.

use crate::time::Time;

/// The most that the shard's time gains on the monotonic clock in one step.
const GAIN_MS_MAX: u64 = 1000;

/// Both clocks, read together by the driver once a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock; it may jump.
    pub wall: Time,
    /// Milliseconds of a clock that only goes ahead, from any beginning. Deadlines are in it.
    pub monotonic_ms: u64,
}

/// Smooths the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardClock {
    time: Time,
    read_ms: u64,
}

impl ShardClock {
    /// A clock that goes on from the shard's time as the log knows it.
    pub(super) fn starting(now: Now, logged: Time) -> Self {
        Self { time: now.wall.max(logged), read_ms: now.monotonic_ms }
    }

    /// Goes on at another opening, from the log if that is further on. The wall clock may have leapt
    /// since the last reading, so this is a step like any other.
    pub(super) fn resume(&mut self, now: Now, logged: Time) {
        self.read(now);
        self.raise(logged);
    }

    /// The time at the last reading.
    pub(super) const fn time(&self) -> Time {
        self.time
    }

    /// The log is further on than this clock: go on from there.
    pub(super) fn raise(&mut self, logged: Time) {
        self.time = self.time.max(logged);
    }

    /// The time now.
    pub(super) fn read(&mut self, now: Now) -> Time {
        let elapsed = now.monotonic_ms.saturating_sub(self.read_ms);
        let slowest = self.time.plus_ms(elapsed / 2);
        if now.wall < slowest {
            // Half speed: keep the odd millisecond for the next reading, or frequent readings
            // would freeze time.
            self.read_ms += elapsed / 2 * 2;
            self.time = slowest;
        } else {
            let fastest = self.time.plus_ms(elapsed + elapsed.min(GAIN_MS_MAX));
            self.read_ms += elapsed;
            self.time = now.wall.min(fastest);
        }
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, monotonic_ms: u64) -> Now {
        Now { wall: Time::from_ms(wall), monotonic_ms }
    }

    #[test]
    fn follows_a_steady_clock() {
        let mut clock = ShardClock::starting(at(5000, 0), Time::default());
        assert_eq!(clock.read(at(5010, 10)).ms, 5010);
        assert_eq!(clock.read(at(95_010, 90_010)).ms, 95_010);
    }

    #[test]
    fn starts_where_the_log_is() {
        let mut clock = ShardClock::starting(at(5000, 0), Time::from_ms(7000));
        assert_eq!(clock.read(at(5010, 10)).ms, 7005, "half speed until the wall clock is there");
    }

    #[test]
    fn a_leap_ahead_expires_nothing_at_once() {
        let mut clock = ShardClock::starting(at(0, 0), Time::default());
        assert_eq!(clock.read(at(3_600_000, 10)).ms, 20);
        assert_eq!(clock.read(at(3_600_010, 20)).ms, 40);
        assert_eq!(clock.read(at(3_700_000, 100_020)).ms, 101_040, "at most a second gained");
    }

    #[test]
    fn an_opening_is_no_leap() {
        let mut clock = ShardClock::starting(at(5000, 0), Time::from_ms(7000));
        clock.resume(at(3_600_000, 10), Time::from_ms(7000));
        assert_eq!(clock.time().ms, 7020, "the wall clock leapt while the shard was closed");
        clock.resume(at(3_600_000, 20), Time::from_ms(9000));
        assert_eq!(clock.time().ms, 9000, "another owner was further on");
    }

    #[test]
    fn a_leap_back_does_not_freeze_time() {
        let mut clock = ShardClock::starting(at(1_000_000, 0), Time::default());
        let mut last = clock.time();
        for ms in 1..=1000 {
            let time = clock.read(at(500_000 + ms, ms));
            assert!(time >= last);
            last = time;
        }
        assert_eq!(last.ms, 1_000_500);
    }
}
