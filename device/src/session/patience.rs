//! How long a node may be silent before the device looks for another: learnt from the round trip and
//! from silences that ended by themselves. What follows from it is the link's.

use std::time::Duration;

use crate::limits::{SILENCE_HALVES_MS, SILENCE_ROUND_TRIPS, SILENCE_TIMES, STALL_MS};

/// What was learnt. It outlives sessions, so that a slow cluster is not searched all the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    round_trip_ms: u32,
    /// Longest silence that ended by itself, as of `at`.
    longest_ms: u32,
    at: Duration,
}

impl Patience {
    /// A connection has measured its round trip.
    pub(crate) fn measured(&mut self, round_trip: Duration) {
        self.round_trip_ms = whole_ms(round_trip);
    }

    pub(crate) fn round_trip_ms(self) -> u64 {
        u64::from(self.round_trip_ms)
    }

    /// The node answered after being silent for so long.
    pub(crate) fn ended(&mut self, now: Duration, silence: Duration) {
        let silence_ms = whole_ms(silence);
        if silence_ms > self.remembered_ms(now) {
            (self.longest_ms, self.at) = (silence_ms, now);
        }
    }

    /// How long a silence may be, at least `least_ms`.
    pub(crate) fn limit_ms(self, now: Duration, least_ms: u64) -> u64 {
        let by_round_trip = SILENCE_ROUND_TRIPS * self.round_trip_ms();
        let by_answers = SILENCE_TIMES * u64::from(self.remembered_ms(now));
        by_round_trip.max(by_answers).min(STALL_MS).max(least_ms)
    }

    fn remembered_ms(self, now: Duration) -> u32 {
        let halved = now.saturating_sub(self.at).as_millis() / u128::from(SILENCE_HALVES_MS);
        let times = u32::try_from(halved).unwrap_or(u32::MAX).min(31);
        self.longest_ms >> times
    }
}

fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_grows_with_the_round_trip_and_with_slow_answers() {
        let mut patience = Patience::default();
        assert_eq!(patience.limit_ms(ms(0), 200), 200);
        patience.measured(ms(150));
        assert_eq!(patience.limit_ms(ms(0), 200), 600);
        patience.ended(ms(1_000), ms(450));
        patience.ended(ms(1_100), ms(20));
        assert_eq!(patience.limit_ms(ms(1_100), 200), 900);
        assert_eq!(patience.limit_ms(ms(31_000), 200), 600, "forgotten by half");
        patience.ended(ms(40_000), ms(60_000));
        assert_eq!(patience.limit_ms(ms(40_000), 200), STALL_MS);
        assert_eq!(patience.limit_ms(ms(40_000), 2 * STALL_MS), 2 * STALL_MS);
    }
}
