//! What other nodes ask for their callers, checked here once more. A node vouches for who a caller is, as it has
//! checked the proof; what the principal may is decided by the policies that this node knows.

use std::sync::Arc;

use pollux_cluster::access::Action;
use pollux_proto::forward::{Guarded, decode};
use pollux_twin::input::Request;
use pollux_twin::{Rejection, TwinKey};

use super::book::PolicyBook;
use super::narrow::Narrowed;
use crate::router::Scope;

/// On whose behalf another node asks.
pub(crate) enum Guard {
    /// Nobody's that has to be checked: its door is open, or it asks for itself.
    Open,
    /// A principal's.
    Principal {
        /// Its name.
        name: Arc<str>,
        /// What this node knows of policies.
        policies: PolicyBook,
    },
}

impl Guard {
    /// Takes a message for a principal apart: the guard, the kind and what is asked.
    pub(crate) fn open(policies: PolicyBook, payload: &[u8]) -> Option<(Self, u16, Vec<u8>)> {
        let Guarded { principal, kind, payload } = decode(payload).ok()?;
        Some((Self::Principal { name: principal.into(), policies }, kind, payload))
    }

    /// The principal, if there is one.
    pub(crate) fn principal(&self) -> Option<&Arc<str>> {
        match self {
            Self::Open => None,
            Self::Principal { name, .. } => Some(name),
        }
    }

    /// Whether a twin may be called, as far as that does not depend on it.
    pub(crate) fn call(&self, key: &TwinKey, request: &Request) -> Result<(), Rejection> {
        let Self::Principal { name, policies } = self else { return Ok(()) };
        policies.check_call(name, key, request)
    }

    /// Whether something may be done to twins of a tenant whose names begin so: `tenant/beginning`.
    pub(crate) fn beginning(&self, action: Action, beginning: &str) -> Result<(), Rejection> {
        let Self::Principal { name, policies } = self else { return Ok(()) };
        either(beginning, |scope| policies.check_scope(name, action, scope))
    }

    /// The same where only those are asked for for which a filter holds: what to ask.
    pub(crate) fn filtered(
        &self,
        action: Action,
        beginning: &str,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        let Self::Principal { name, policies } = self else { return Ok(Narrowed::all(filter)) };
        either(beginning, |scope| policies.narrow_again(name, action, scope, filter))
    }

    /// The same of what may be asked for by several rights: by that which the other node has narrowed it by, if that can be
    /// told by the filter, and else by the first that allows it.
    pub(crate) fn filtered_for(
        &self,
        actions: &[Action],
        beginning: &str,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        let all = actions.iter().map(|action| self.filtered(*action, beginning, filter));
        let mut refused = Err(Rejection::NotOwner);
        let mut allowed: Vec<Narrowed> = Vec::new();
        for one in all {
            match one {
                Ok(narrowed) => allowed.push(narrowed),
                Err(rejection) => refused = Err(rejection),
            }
        }
        let bound = |one: &&Narrowed| !one.bounds.is_empty() && one.filter == filter;
        let free = |one: &&Narrowed| one.bounds.is_empty();
        let best = allowed.iter().find(bound).or_else(|| allowed.iter().find(free));
        best.or_else(|| allowed.first()).cloned().map_or(refused, Ok)
    }
}

/// What is so of all twins whose names begin so, or of the one that has this name.
fn either<T>(
    beginning: &str,
    may: impl Fn(&Scope) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let (tenant, prefix) = beginning.split_once('/').unwrap_or(("", beginning));
    let scope = match tenant {
        "" => Scope::All,
        _ => Scope::Prefix { tenant: tenant.to_owned(), prefix: prefix.to_owned() },
    };
    // One twin is asked for by its whole name, which is the beginning of others.
    may(&scope).or_else(|refused| {
        let one = TwinKey::parse(beginning).ok().map(Scope::One);
        one.map_or(Err(refused), |one| may(&one))
    })
}

#[cfg(test)]
mod tests {
    use pollux_cluster::access::{Policy, Principal};
    use pollux_cluster::meta::{Meta, MetaPicture};
    use pollux_proto::forward::encode;
    use tokio::sync::watch;

    use super::*;

    fn guard(principal: &str, on: &str) -> Guard {
        let mut meta = Meta::default();
        meta.access.principals.insert("svc".into(), Principal::default());
        let policy = Policy {
            principals: vec!["svc".into()],
            actions: vec!["twin:*".into()],
            on: vec![on.parse().unwrap()],
            ..Policy::default()
        };
        meta.access.policies.insert("p".into(), policy);
        let picture = MetaPicture { meta: meta.into(), ..MetaPicture::default() };
        let guarded =
            Guarded { principal: principal.to_owned(), kind: 3, payload: b"asked".to_vec() };
        let (_, picture) = watch::channel(picture);
        let opened = Guard::open(PolicyBook::new(picture), &encode(&guarded).unwrap());
        let (guard, kind, payload) = opened.expect("it was written just now");
        assert_eq!((kind, payload), (3, b"asked".to_vec()));
        guard
    }

    #[test]
    fn what_a_principal_may_not_is_refused_here_too() {
        let key = |text| TwinKey::parse(text).unwrap();
        let fleet = guard("svc", "acme/pump-*");
        assert_eq!(fleet.call(&key("acme/pump-1"), &Request::Get), Ok(()));
        assert!(fleet.call(&key("acme/valve"), &Request::Get).is_err());
        assert!(guard("other", "*").call(&key("acme/pump-1"), &Request::Get).is_err());
        assert_eq!(Guard::Open.call(&key("acme/valve"), &Request::Get), Ok(()));
        for (on, beginning, allowed) in [
            ("acme/pump-*", "acme/pump-1", true),
            ("acme/pump-*", "acme/", false),
            ("acme/pump-*", "", false),
            ("acme/*", "acme/", true),
            // One twin, by its whole name.
            ("acme/pump-1", "acme/pump-1", true),
            ("acme/pump-1", "acme/pump-", false),
            ("*", "acme/", true),
        ] {
            let may = guard("svc", on).beginning(Action::TwinWatch, beginning);
            assert_eq!(may.is_ok(), allowed, "{on} {beginning}");
        }
        assert!(guard("root", "acme/x").beginning(Action::TwinWatch, "").is_ok());
    }

    #[test]
    fn what_was_narrowed_by_one_right_is_not_narrowed_by_another() {
        let mut meta = Meta { version: 1, ..Meta::default() };
        meta.access.principals.insert("svc".into(), Principal::default());
        for (action, filter) in [("twin:watch", "tags.watched"), ("twin:read", "tags.shown")] {
            let policy = Policy {
                principals: vec!["svc".into()],
                actions: vec![action.into()],
                on: vec!["acme/*".parse().unwrap()],
                ..Policy::default()
            };
            meta.access.policies.insert(action.into(), policy);
            meta.access.filters.insert(action.into(), filter.to_owned());
        }
        let picture = MetaPicture { meta: meta.into(), ..MetaPicture::default() };
        let policies = PolicyBook::new(watch::channel(picture).1);
        let guard = Guard::Principal { name: "svc".into(), policies };
        let all = [Action::TwinWatch, Action::TwinRead];
        for (filter, bounds) in [
            ("(holds(tags.shown))", "(holds(tags.shown\n))"),
            ("(holds(tags.watched)) && reported.hot", "(holds(tags.watched\n))"),
        ] {
            let narrowed = guard.filtered_for(&all, "acme/pump", filter).unwrap();
            assert_eq!((narrowed.filter.as_str(), narrowed.bounds.as_str()), (filter, bounds));
        }
        // What was not narrowed at all is, by a right that it has.
        let narrowed = guard.filtered_for(&all, "acme/pump", "reported.hot").unwrap();
        assert_eq!(narrowed.bounds, "(holds(tags.watched\n))");
        assert!(guard.filtered_for(&all, "beta/pump", "reported.hot").is_err());
    }

    #[test]
    fn noise_is_no_message() {
        let (_, picture) = watch::channel(MetaPicture::default());
        assert!(Guard::open(PolicyBook::new(picture), b"noise").is_none());
    }
}
