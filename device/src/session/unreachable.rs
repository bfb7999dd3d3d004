//! Owners that did not answer where nodes said that they are: for a while a node is asked to relay to them
//! instead, then they are dialled again. Bounded in number, and in time by doubling.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::limits::{ADDRESS_BYTES_MAX, UNREACHABLE_MAX};

use super::backoff::{Jitter, ms};
use crate::limits::{UNREACHABLE_MS, UNREACHABLE_MS_MAX};

/// What is known of them. Empty for all devices that reach every node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unreachable {
    all: Vec<One>,
}

#[derive(Clone, Debug)]
struct One {
    address: Arc<str>,
    /// Until then it is not dialled if somebody relays to it.
    until: Duration,
    /// How often in a row it did not answer.
    times: u32,
}

/// Whether something is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is.
    New,
    /// It was known.
    Known,
}

impl Unreachable {
    /// An owner did not answer.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        address: &Arc<str>,
        jitter: &mut Jitter,
    ) -> News {
        if address.len() > ADDRESS_BYTES_MAX {
            // It could not be named to a node.
            return News::Known;
        }
        let known = self.take(address);
        let times = known.as_ref().map_or(0, |one| one.times.saturating_add(1));
        let wait_ms = UNREACHABLE_MS.saturating_mul(1 << times.min(20)).min(UNREACHABLE_MS_MAX);
        let until = now + ms(wait_ms / 2 + jitter.below(wait_ms + 1));
        if self.all.len() == UNREACHABLE_MAX {
            // The oldest is the first.
            self.all.remove(0);
        }
        self.all.push(One { address: Arc::clone(address), until, times });
        match known {
            Some(one) if one.until > now => News::Known,
            _ => News::New,
        }
    }

    /// A node was reached there.
    pub(crate) fn reached(&mut self, address: &str) {
        self.take(address);
        self.shrink();
    }

    /// A session is open: those whose time is over are none of its business.
    pub(crate) fn settle(&mut self, now: Duration) {
        self.all.retain(|one| one.until > now);
        self.shrink();
    }

    /// Whether an address is not to be dialled if somebody relays to it.
    pub(crate) fn is(&self, now: Duration, address: &str) -> bool {
        self.all.iter().any(|one| one.until > now && *one.address == *address)
    }

    /// All that are not to be dialled now.
    pub(crate) fn all(&self, now: Duration) -> impl Iterator<Item = &Arc<str>> {
        self.all.iter().filter(move |one| one.until > now).map(|one| &one.address)
    }

    /// The next whose time is over, and when that is, other than those that `is_busy`.
    pub(crate) fn next(&self, is_busy: impl Fn(&str) -> bool) -> Option<(Duration, &Arc<str>)> {
        let idle = self.all.iter().filter(|one| !is_busy(&one.address));
        idle.map(|one| (one.until, &one.address)).min_by_key(|(until, _)| *until)
    }

    fn take(&mut self, address: &str) -> Option<One> {
        let at = self.all.iter().position(|one| *one.address == *address)?;
        Some(self.all.remove(at))
    }

    /// Most devices never need it: there are very many of them.
    fn shrink(&mut self) {
        if self.all.is_empty() {
            self.all = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> Arc<str> {
        format!("x:{number}").into()
    }

    #[test]
    fn it_is_forgotten_later_each_time_up_to_a_bound_and_when_it_is_reached() {
        let (mut known, mut jitter) = (Unreachable::default(), Jitter::new(1));
        let (mut now, one) = (Duration::ZERO, address(1));
        for times in 0..30_u32 {
            assert_eq!(known.failed(now, &one, &mut jitter), News::New);
            let (until, _) = known.next(|_| false).unwrap();
            let longest = UNREACHABLE_MS.saturating_mul(1 << times).min(UNREACHABLE_MS_MAX);
            let wait = until - now;
            assert!((ms(longest / 2)..=ms(longest * 3 / 2)).contains(&wait), "{times}: {wait:?}");
            assert!(known.is(until - ms(1), &one) && !known.is(until, &one));
            now = until;
        }
        known.reached(&one);
        assert_eq!(known.failed(now, &one, &mut jitter), News::New);
        assert_eq!(known.failed(now, &one, &mut jitter), News::Known);
        let (until, _) = known.next(|_| false).unwrap();
        assert!(until <= now + ms(3 * UNREACHABLE_MS), "it begins anew");
        known.settle(until);
        assert!(known.next(|_| false).is_none());
    }

    #[test]
    fn only_so_many_are_remembered_and_none_that_cannot_be_named() {
        let (mut known, mut jitter) = (Unreachable::default(), Jitter::new(1));
        for number in 0..=UNREACHABLE_MAX {
            known.failed(Duration::ZERO, &address(number), &mut jitter);
        }
        let all: Vec<_> = known.all(Duration::ZERO).cloned().collect();
        assert_eq!(all, (1..=UNREACHABLE_MAX).map(address).collect::<Vec<_>>());
        let long = "x".repeat(ADDRESS_BYTES_MAX + 1).into();
        assert_eq!(known.failed(Duration::ZERO, &long, &mut jitter), News::Known);
        assert!(!known.is(Duration::ZERO, &long));
    }
}
