//! Which address to dial next: where the owner was said to be, then who may own the shard next,
//! then what was configured. When to dial is the session's.

use std::sync::Arc;

use crate::limits::{REDIRECTS_MAX, REPLICAS_MAX};

/// The addresses a device knows, and its way through them.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    configured: Arc<[Arc<str>]>,
    owner: Option<Arc<str>>,
    replicas: Vec<Arc<str>>,
    told: Option<Arc<str>>,
    turn: usize,
    redirects: u8,
}

impl Route {
    pub(crate) fn new(configured: Arc<[Arc<str>]>) -> Self {
        Self { configured, owner: None, replicas: Vec::new(), told: None, turn: 0, redirects: 0 }
    }

    /// The address to dial now: one that a node told us once, otherwise the next in turn.
    pub(crate) fn next(&mut self) -> Arc<str> {
        if let Some(address) = self.told.take() {
            return address;
        }
        let known = self.known();
        let address = Arc::clone(known[self.turn % known.len()]);
        self.turn = (self.turn + 1) % known.len();
        address
    }

    /// How many addresses there are to try.
    pub(crate) fn len(&self) -> usize {
        self.known().len()
    }

    /// The owner welcomed us at `address` and named its replicas.
    pub(crate) fn welcomed(&mut self, address: Arc<str>, replicas: impl Iterator<Item = String>) {
        self.owner = Some(address);
        self.replicas = replicas.take(REPLICAS_MAX).map(Arc::from).collect();
        self.turn = 0;
        self.redirects = 0;
    }

    /// A node sends us elsewhere; false if it is one redirect too many.
    pub(crate) fn redirected(&mut self, address: String) -> bool {
        if self.redirects >= REDIRECTS_MAX {
            self.redirects = 0;
            return false;
        }
        self.redirects += 1;
        self.told = Some(address.into());
        true
    }

    /// The owner says where to go on.
    pub(crate) fn moved(&mut self, address: String) {
        self.told = Some(address.into());
    }

    fn known(&self) -> Vec<&Arc<str>> {
        let mut known: Vec<&Arc<str>> = Vec::with_capacity(4);
        for address in self.replicas.iter().chain(&self.owner).chain(self.configured.iter()) {
            if !known.contains(&address) {
                known.push(address);
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(Arc::from([Arc::from("a:1"), Arc::from("b:1")]))
    }

    fn picks(route: &mut Route, count: usize) -> Vec<String> {
        (0..count).map(|_| route.next().to_string()).collect()
    }

    #[test]
    fn replicas_first_then_the_owner_then_what_was_configured() {
        let mut route = route();
        assert_eq!(picks(&mut route, 3), ["a:1", "b:1", "a:1"]);
        route.welcomed("b:1".into(), ["c:1".to_owned(), "d:1".to_owned()].into_iter());
        assert_eq!(picks(&mut route, 5), ["c:1", "d:1", "b:1", "a:1", "c:1"]);
    }

    #[test]
    fn three_redirects_are_followed_and_no_more() {
        let mut route = route();
        for _ in 0..REDIRECTS_MAX {
            assert!(route.redirected("x:1".to_owned()));
            assert_eq!(&*route.next(), "x:1");
        }
        assert!(!route.redirected("x:1".to_owned()));
        assert_eq!(&*route.next(), "a:1");
    }
}
