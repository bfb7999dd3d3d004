//! Which address to dial next: where the owner was said to be, then who may own the shard next,
//! then what was configured, each once a round. When to dial is the session's.

use std::sync::Arc;
use std::time::Duration;

use super::unreachable::Unreachable;
use crate::limits::{ASKED_MAX, REDIRECTS_MAX, REPLICAS_MAX, STALE_ROUNDS};

/// A shard epoch: term and leader.
pub(crate) type Epoch = (u64, u64);

/// The addresses a device knows, and its way through them.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    configured: Arc<[Arc<str>]>,
    /// Which of the configured ones this device begins with, so that a fleet spreads.
    start: usize,
    /// Where a node said that the owner is.
    told: Option<Arc<str>>,
    owner: Option<Arc<str>>,
    replicas: Vec<Arc<str>>,
    /// The newest epoch that somebody spoke of; older news is not followed.
    newest: Option<Epoch>,
    /// The owner that was lost or is silent: it comes last, and who names it may not know yet.
    doubted: Option<Arc<str>>,
    redirects: u8,
    rounds: u32,
    marks: Vec<Mark>,
    /// Owners that cannot be dialled where nodes say that they are.
    pub(crate) unreachable: Unreachable,
}

/// What became of an address.
#[derive(Clone, Debug)]
struct Mark {
    address: Arc<str>,
    /// Dialled without success in this round.
    tried: bool,
    /// It has no room before this time.
    until: Duration,
    /// It knew no better, and is asked again then.
    again: Duration,
    /// How often it asked us to wait, or knew no better.
    waits: u32,
    /// It does not relay, or knows nothing of that.
    plain: bool,
}

impl Mark {
    fn ready(&self) -> Duration {
        self.until.max(self.again)
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    Dial(Arc<str>),
    /// All others failed, one may be tried then.
    Wait(Duration),
    /// All were tried.
    Exhausted,
}

/// What a redirect is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Dial the address that was named.
    Follow,
    /// Old news, or an owner that was just lost: ask again later.
    Old,
    /// One redirect too many.
    Loop,
}

impl Route {
    pub(crate) fn new(configured: Arc<[Arc<str>]>, start: u64) -> Self {
        let start = usize::try_from(start % configured.len() as u64).unwrap_or(0);
        Self {
            configured,
            start,
            told: None,
            owner: None,
            replicas: Vec::new(),
            newest: None,
            doubted: None,
            redirects: 0,
            rounds: 0,
            marks: Vec::new(),
            unreachable: Unreachable::default(),
        }
    }

    /// The address to dial now, other than those that `is_busy`.
    pub(crate) fn pick(&self, now: Duration, is_busy: impl Fn(&str) -> bool) -> Pick {
        // By how well they stand: the first of the best.
        let mut best: Option<(u32, &Arc<str>)> = None;
        for address in self.order(now) {
            let mark = self.marks.iter().find(|mark| mark.address == *address);
            if is_busy(address) || mark.is_some_and(|mark| mark.tried || mark.ready() > now) {
                continue;
            }
            let standing = match mark.map_or(0, |mark| mark.waits) {
                // Only if nobody relays.
                _ if self.unreachable.is(now, address) => 4,
                _ if self.told.as_ref() == Some(address) => 0,
                // Who was asked a few times may know now; after that, others have their turn.
                1..ASKED_MAX => 1,
                0 => 2,
                _ => 3,
            };
            if best.is_none_or(|(other, _)| standing < other) {
                best = Some((standing, address));
            }
        }
        match best {
            Some((_, address)) => Pick::Dial(Arc::clone(address)),
            None => self.next_wait(now, is_busy).map_or(Pick::Exhausted, Pick::Wait),
        }
    }

    /// When the next of those that asked us to wait may be dialled.
    pub(crate) fn next_wait(
        &self,
        now: Duration,
        is_busy: impl Fn(&str) -> bool,
    ) -> Option<Duration> {
        let waits = |mark: &&Mark| !mark.tried && mark.ready() > now && !is_busy(&mark.address);
        self.marks.iter().filter(waits).map(Mark::ready).min()
    }

    /// Whether there is anyone but the owner to turn to.
    pub(crate) fn has_others(&self) -> bool {
        let owner = self.owner.as_ref();
        self.replicas.iter().chain(self.configured.iter()).any(|address| Some(address) != owner)
    }

    /// Whether an owner whose session stands need not be dialled anew: it is silent, and while others
    /// are asked for the first time it may still speak.
    pub(crate) fn is_spared(&self, address: &str) -> bool {
        let is = |one: &Option<Arc<str>>| one.as_deref() == Some(address);
        self.rounds == 0 && is(&self.owner) && !is(&self.told) && self.has_others()
    }

    /// The address of the session that is open or was last.
    pub(crate) const fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    pub(crate) fn is_doubted(&self, address: &str) -> bool {
        self.doubted.as_deref() == Some(address)
    }

    /// A session is looked for anew: the owner is lost, or seems to be.
    pub(crate) fn search(&mut self) {
        self.doubted.clone_from(&self.owner);
        self.told = None;
        (self.redirects, self.rounds) = (0, 0);
        self.marks.clear();
    }

    /// The application left and comes back: to the owner, who gave no cause for doubt.
    pub(crate) fn return_to_owner(&mut self) {
        self.search();
        self.doubted = None;
        self.told.clone_from(&self.owner);
    }

    /// All addresses were tried in vain: they may be tried again, and who was told wrong news for so
    /// long may believe old ones.
    pub(crate) fn next_round(&mut self) {
        self.told = None;
        self.redirects = 0;
        self.rounds += 1;
        self.marks.iter_mut().for_each(|mark| (mark.tried, mark.plain) = (false, false));
        if self.rounds >= STALE_ROUNDS {
            self.newest = None;
        }
    }

    /// The attempt at an address failed.
    pub(crate) fn failed(&mut self, address: &Arc<str>) {
        self.told.take_if(|told| *told == *address);
        self.mark(address).tried = true;
    }

    /// The owner cannot be dialled: all others may be asked for more than where it is.
    pub(crate) fn ask_anew(&mut self) {
        self.redirects = 0;
        for mark in &mut self.marks {
            (mark.tried, mark.again) = (false, Duration::ZERO);
        }
    }

    /// An address is asked for no more than where the owner is, in this round.
    pub(crate) fn plain(&mut self, address: &Arc<str>) {
        self.mark(address).plain = true;
    }

    pub(crate) fn is_plain(&self, address: &str) -> bool {
        self.marks.iter().any(|mark| mark.plain && *mark.address == *address)
    }

    /// Whether a node has said that the owner is there.
    pub(crate) fn is_told(&self, address: &str) -> bool {
        self.told.as_deref() == Some(address)
    }

    /// An address asked us to wait; how often it did.
    pub(crate) fn waits(&mut self, address: &Arc<str>) -> u32 {
        let mark = self.mark(address);
        mark.waits = mark.waits.saturating_add(1);
        mark.waits
    }

    /// An address is not to be dialled before that time.
    pub(crate) fn not_before(&mut self, address: &Arc<str>, until: Duration) {
        let mark = self.mark(address);
        mark.until = mark.until.max(until);
    }

    /// An address is to be asked again then, unless somebody names it.
    pub(crate) fn ask_again(&mut self, address: &Arc<str>, at: Duration) {
        self.mark(address).again = at;
    }

    /// The owner welcomed us at `address` and named its replicas.
    pub(crate) fn welcomed(&mut self, address: Arc<str>, replicas: impl Iterator<Item = String>) {
        self.owner = Some(address);
        self.replicas = replicas.take(REPLICAS_MAX).map(Arc::from).collect();
        (self.told, self.doubted) = (None, None);
        (self.redirects, self.rounds) = (0, 0);
        self.marks = Vec::new();
    }

    /// The owner speaks again.
    pub(crate) fn trusted(&mut self) {
        (self.told, self.doubted) = (None, None);
        self.marks = Vec::new();
    }

    /// The node at `from` says that the owner is at `address`.
    pub(crate) fn redirected(&mut self, from: &str, address: &Arc<str>, epoch: Epoch) -> Told {
        if self.newest.is_some_and(|newest| epoch < newest) || **address == *from {
            return Told::Old;
        }
        if self.redirects >= REDIRECTS_MAX {
            return Told::Loop;
        }
        let is_news = self.newest.is_some_and(|newest| epoch > newest);
        self.newest = Some(epoch);
        let asked = self.marks.iter().find(|mark| *mark.address == *from);
        let asked = asked.map_or(0, |mark| mark.waits);
        // Whoever says so again and again may be right.
        if self.is_doubted(address) && !is_news && asked < ASKED_MAX {
            return Told::Old;
        }
        self.redirects += 1;
        self.go(address);
        Told::Follow
    }

    /// The owner says where to go on; false if that is old news.
    pub(crate) fn moved(&mut self, address: &Arc<str>, epoch: Epoch) -> bool {
        if self.newest.is_some_and(|newest| epoch < newest) {
            return false;
        }
        self.search();
        self.newest = Some(epoch);
        self.go(address);
        true
    }

    /// This address is the next.
    pub(crate) fn go(&mut self, address: &Arc<str>) {
        self.told = Some(Arc::clone(address));
        let mark = self.mark(address);
        (mark.tried, mark.again) = (false, Duration::ZERO);
    }

    fn mark(&mut self, address: &Arc<str>) -> &mut Mark {
        let at = match self.marks.iter().position(|mark| mark.address == *address) {
            Some(at) => at,
            None => {
                let address = Arc::clone(address);
                let (until, again) = (Duration::ZERO, Duration::ZERO);
                let (tried, waits, plain) = (false, 0, false);
                self.marks.push(Mark { address, tried, until, again, waits, plain });
                self.marks.len() - 1
            }
        };
        &mut self.marks[at]
    }

    /// All that are known, each once, the doubted one last but for owners that cannot be dialled.
    fn order(&self, now: Duration) -> Vec<&Arc<str>> {
        let (before, after) = self.configured.split_at(self.start);
        let mut order: Vec<&Arc<str>> = Vec::with_capacity(4);
        let all = self.told.iter().chain(&self.replicas).chain(&self.owner);
        for address in all.chain(after).chain(before) {
            if !order.contains(&address) {
                order.push(address);
            }
        }
        // Whoever was told to us by name is not doubted any more.
        if self.told != self.doubted
            && let Some(at) = order.iter().position(|address| self.is_doubted(address))
        {
            let doubted = order.remove(at);
            order.push(doubted);
        }
        for address in self.unreachable.all(now) {
            if !order.contains(&address) {
                order.push(address);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn route() -> Route {
        Route::new(Arc::from([Arc::from("a:1"), Arc::from("b:1")]), 0)
    }

    fn round(route: &mut Route) -> Vec<String> {
        let mut picks = Vec::new();
        while let Pick::Dial(address) = route.pick(NOW, |_| false) {
            route.failed(&address);
            picks.push(address.to_string());
        }
        picks
    }

    #[test]
    fn replicas_first_then_what_was_configured_and_a_lost_owner_last() {
        let mut route = route();
        assert_eq!(round(&mut route), ["a:1", "b:1"]);
        route.welcomed("b:1".into(), ["c:1".to_owned(), "d:1".to_owned()].into_iter());
        assert_eq!(round(&mut route), ["c:1", "d:1", "b:1", "a:1"]);
        route.search();
        assert_eq!(round(&mut route), ["c:1", "d:1", "a:1", "b:1"]);
        assert_eq!(route.pick(NOW, |_| false), Pick::Exhausted);
        route.next_round();
        assert_eq!(route.pick(NOW, |address| address == "c:1"), Pick::Dial("d:1".into()));
    }

    #[test]
    fn devices_begin_at_different_addresses() {
        let configured: Arc<[Arc<str>]> = Arc::from([Arc::from("a:1"), Arc::from("b:1")]);
        let mut other = Route::new(configured, 7);
        assert_eq!(round(&mut other), ["b:1", "a:1"]);
    }

    #[test]
    fn three_redirects_are_followed_and_no_more() {
        let mut route = route();
        for hop in 0..REDIRECTS_MAX {
            let address = Arc::from(format!("x:{hop}"));
            assert_eq!(route.redirected("a:1", &address, (3, 1)), Told::Follow);
            assert_eq!(route.pick(NOW, |_| false), Pick::Dial(address));
        }
        assert_eq!(route.redirected("x:9", &"y:1".into(), (3, 1)), Told::Loop);
        route.next_round();
        assert_eq!(route.pick(NOW, |_| false), Pick::Dial("a:1".into()));
    }

    #[test]
    fn old_news_is_not_followed_until_nothing_else_is_left() {
        let mut route = route();
        assert_eq!(route.redirected("a:1", &"x:1".into(), (3, 1)), Told::Follow);
        assert_eq!(route.redirected("b:1", &"y:1".into(), (2, 9)), Told::Old);
        assert_eq!(route.redirected("b:1", &"b:1".into(), (9, 9)), Told::Old, "itself");
        assert!(!route.moved(&"y:1".into(), (2, 9)));
        assert!(route.moved(&"z:1".into(), (3, 2)));
        assert_eq!(route.pick(NOW, |_| false), Pick::Dial("z:1".into()));
        for _ in 0..STALE_ROUNDS {
            route.next_round();
        }
        assert_eq!(route.redirected("b:1", &"y:1".into(), (1, 1)), Told::Follow);
    }

    #[test]
    fn who_names_the_lost_owner_does_not_know_yet() {
        let mut route = route();
        assert_eq!(route.redirected("b:1", &"x:1".into(), (3, 1)), Told::Follow);
        route.welcomed("x:1".into(), ["a:1".to_owned()].into_iter());
        route.search();
        assert_eq!(route.redirected("a:1", &"x:1".into(), (3, 1)), Told::Old);
        assert_eq!(route.redirected("a:1", &"x:1".into(), (4, 1)), Told::Follow, "elected again");
        assert_eq!(route.pick(NOW, |_| false), Pick::Dial("x:1".into()));
        route.search();
        for _ in 0..ASKED_MAX {
            assert_eq!(route.redirected("a:1", &"x:1".into(), (4, 1)), Told::Old);
            assert_eq!(route.pick(NOW, |_| false), Pick::Dial("a:1".into()));
            route.waits(&"a:1".into());
        }
        assert_eq!(route.pick(NOW, |_| false), Pick::Dial("b:1".into()), "others have a turn");
        assert_eq!(route.redirected("a:1", &"x:1".into(), (4, 1)), Told::Follow, "it insists");
    }

    #[test]
    fn who_asks_us_to_wait_is_left_alone_for_that_time() {
        let mut route = route();
        route.not_before(&"a:1".into(), 2 * NOW);
        assert_eq!((route.waits(&"a:1".into()), route.waits(&"a:1".into())), (1, 2));
        assert_eq!(route.pick(NOW, |_| false), Pick::Dial("b:1".into()));
        route.failed(&"b:1".into());
        assert_eq!(route.pick(NOW, |_| false), Pick::Wait(2 * NOW));
        assert_eq!(route.pick(2 * NOW, |_| false), Pick::Dial("a:1".into()));
    }
}
