//! One beat for all groups of a process: what they do by the clock, they do at the same moments. A node then
//! wakes once for the heartbeats of many groups, and what they say to a peer shares packets.

#[cfg(not(test))]
mod ticks;

#[cfg(not(test))]
pub(crate) use self::ticks::BeatRuntime;
use crate::limits::BEAT_MS;

/// Microseconds from a moment, told from the first beat, to the next one.
const fn until_beat(since: u64) -> u64 {
    (BEAT_MS * 1_000 - since % (BEAT_MS * 1_000)) % (BEAT_MS * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_waits_for_the_next_beat_and_a_beat_for_nothing() {
        let beat = BEAT_MS * 1_000;
        for (since, wait) in
            [(0, 0), (1, beat - 1), (beat - 1, 1), (beat, 0), (7 * beat + 5, beat - 5)]
        {
            assert_eq!(until_beat(since), wait, "{since}");
        }
    }

    #[test]
    fn ticks_of_groups_that_began_apart_fall_together_and_keep_their_pace() {
        // As the library counts: from its own beginning, in whole periods beyond the moment it woke.
        let (period, beat) = (20_000, BEAT_MS * 1_000);
        let ticks = |began: u64| {
            let mut at = began;
            (0..50).map(move |_| {
                let woke = at + until_beat(at);
                at = began + (woke - began) / period * period + period;
                woke
            })
        };
        let first: Vec<u64> = ticks(3).collect();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] == period));
        for began in [1, beat / 2, beat - 1] {
            assert_eq!(ticks(began).collect::<Vec<_>>(), first, "{began}");
        }
    }
}
