//! How a rate is shared among nodes: by what each is asked for, and a little to each, so that who is asked for nothing
//! now can begin.

/// One part in so many of a limit is shared alike.
const ALIKE: u64 = 10;

/// The shares of nodes by what was asked of each a second. They are the limit in all, or one for each node where that
/// is more.
pub(crate) fn divide(limit: u64, asked: &[u64]) -> Vec<u64> {
    let count = u64::try_from(asked.len()).unwrap_or(u64::MAX).max(1);
    let all = asked.iter().fold(0_u64, |all, one| all.saturating_add(*one));
    let alike = if all == 0 { limit / count } else { limit / ALIKE / count }.max(1);
    let rest = limit.saturating_sub(alike.saturating_mul(count));
    let by_use = |one: &u64| match all {
        0 => 0,
        all => u64::try_from(u128::from(rest) * u128::from(*one) / u128::from(all)).unwrap_or(rest),
    };
    asked.iter().map(|one| alike + by_use(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_most_gets_most() {
        assert_eq!(divide(100, &[]), [0; 0]);
        assert_eq!(divide(100, &[7]), [100]);
        assert_eq!(divide(100, &[0, 0]), [50, 50]);
        assert_eq!(divide(100, &[300, 0]), [95, 5]);
        assert_eq!(divide(100, &[10, 30]), [27, 72]);
        assert_eq!(divide(2, &[0, 0, 9, 0]), [1, 1, 1, 1], "one for each at least");
        assert_eq!(divide(u64::MAX, &[u64::MAX, 1])[1], u64::MAX / 20);
    }

    #[test]
    fn shares_are_not_more_than_the_limit() {
        for limit in [5_u64, 17, 1000, 1_000_003] {
            for asked in [[0, 0, 0], [1, 2, 3], [1_000_000, 0, 1], [7, 7, 7]] {
                let all: u64 = divide(limit, &asked).iter().sum();
                assert!(all <= limit.max(3), "{limit} {asked:?}: {all}");
            }
        }
    }
}
