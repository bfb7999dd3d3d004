//! How fast one device may send: a token bucket, as plain arithmetic.

/// A token bucket of frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_s: u32,
    burst: u32,
    /// Frames left, in thousandths.
    left_milli: u64,
    at_ms: u64,
}

impl Rate {
    /// A full bucket; `per_s` of zero means no limit.
    pub(crate) const fn new(per_s: u32, burst: u32, now_ms: u64) -> Self {
        Self { per_s, burst, left_milli: burst as u64 * 1000, at_ms: now_ms }
    }

    /// Has no more in it than another one had, for whose place it takes. One without a limit had as much as it likes.
    pub(crate) const fn less_as(&mut self, before: &Self) {
        if before.per_s > 0 && before.left_milli < self.left_milli {
            self.left_milli = before.left_milli;
        }
    }

    /// Takes one frame out of the bucket, or says after how many milliseconds there will be one.
    pub(crate) fn take(&mut self, now_ms: u64) -> Result<(), u32> {
        if self.per_s == 0 {
            return Ok(());
        }
        let grown = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(self.per_s));
        self.at_ms = self.at_ms.max(now_ms);
        self.left_milli = (self.left_milli + grown).min(u64::from(self.burst) * 1000);
        if self.left_milli >= 1000 {
            self.left_milli -= 1000;
            return Ok(());
        }
        let wait = (1000 - self.left_milli).div_ceil(u64::from(self.per_s));
        Err(u32::try_from(wait).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut rate = Rate::new(10, 3, 0);
        assert_eq!((0..3).map(|_| rate.take(0)).collect::<Vec<_>>(), [Ok(()); 3]);
        assert_eq!(rate.take(0), Err(100));
        assert_eq!(rate.take(50), Err(50));
        assert_eq!(rate.take(100), Ok(()));
        assert_eq!(rate.take(99), Err(100));
        assert_eq!(Rate::new(0, 0, 0).take(0), Ok(()));
    }
}
