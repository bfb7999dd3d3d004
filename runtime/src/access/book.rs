//! The policies that the cluster agrees on, as this node knows them, with their filters compiled, and looked through for a
//! principal, once for each version of what is agreed on. Owns what a filter says of a twin and of a question; what
//! follows from that is cluster/'s `access`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_cluster::access::{Access, Action, Decision, Fit, On};
use pollux_cluster::meta::{Meta, MetaPicture};
use pollux_query::{Filter, Subject};
use pollux_twin::input::Request;
use pollux_twin::{Rejection, Time, Twin, TwinKey};
use tokio::sync::watch;

use super::asked::{self, By, Right};
use super::narrow::{self, Narrowed};
use crate::router::Scope;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PolicyBook {
    picture: watch::Receiver<MetaPicture>,
    filters: Arc<Mutex<Arc<Filters>>>,
}

/// What a decision goes by.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// By nothing but names.
    Nothing,
    /// A twin, by an image of it.
    Twin(&'a TwinKey, &'a [u8]),
    /// The filter of a question.
    Filter(&'a str),
}

/// The filters of policies as of a version of what is agreed on.
#[derive(Debug, Default)]
struct Filters {
    version: u64,
    /// By their text; nothing for one that this program cannot use.
    compiled: BTreeMap<String, Option<Arc<Filter>>>,
    /// What is about those principals that were asked for.
    of: Mutex<HashMap<String, Arc<Access>>>,
}

impl PolicyBook {
    pub(crate) fn new(picture: watch::Receiver<MetaPicture>) -> Self {
        Self { picture, filters: Arc::default() }
    }

    /// Tells when what is agreed on has changed.
    pub(crate) fn picture(&self) -> watch::Receiver<MetaPicture> {
        self.picture.clone()
    }

    /// Whether the twin itself has to decide what a principal may. Where that does not depend on it, it is decided here: it
    /// may have until now, by which the call was let through so far.
    pub(crate) fn is_for_twin(
        &self,
        principal: &str,
        key: &TwinKey,
        request: &Request,
    ) -> Result<bool, Rejection> {
        let rules = self.rules(principal);
        let right = asked::call(By::without_twin(rules.access()), principal, key, request)?;
        Ok(right == Right::Depends)
    }

    /// Whether a principal may call a twin, as far as that does not depend on it.
    pub(crate) fn check_call(
        &self,
        principal: &str,
        key: &TwinKey,
        request: &Request,
    ) -> Result<(), Rejection> {
        self.is_for_twin(principal, key, request).map(drop)
    }

    /// Whether a principal may call a twin that is at hand.
    pub(crate) fn check_twin(
        &self,
        principal: &str,
        key: &TwinKey,
        request: &Request,
        twin: &Twin,
    ) -> Result<(), Rejection> {
        let rules = self.rules(principal);
        twin.facts(request).iter().try_for_each(|image| {
            let fits = |filter: &str| rules.fit(filter, key, image);
            asked::call(By::new(rules.access(), &fits), principal, key, request).map(drop)
        })
    }

    /// Whether a principal may do something; what depends on a twin is refused.
    pub(crate) fn check(
        &self,
        principal: &str,
        action: Action,
        on: On<'_>,
    ) -> Result<(), Rejection> {
        let rules = self.rules(principal);
        asked::decided(By::without_twin(rules.access()), principal, action, on)
    }

    /// Whether a principal may do something to all twins of a scope.
    pub(crate) fn check_scope(
        &self,
        principal: &str,
        action: Action,
        scope: &Scope,
    ) -> Result<(), Rejection> {
        self.check_matching(principal, action, scope, "")
    }

    /// Whether a principal may do something to all twins of a scope for which a filter holds.
    pub(crate) fn check_matching(
        &self,
        principal: &str,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<(), Rejection> {
        let rules = self.rules(principal);
        let fits = rules.fits(filter);
        asked::scope(By::new(rules.access(), &fits), principal, action, scope)
    }

    /// What a principal may see of a scope with a filter, if it may.
    pub(crate) fn narrow(
        &self,
        principal: &str,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        narrow::narrowed(&self.rules(principal), principal, action, scope, filter)
    }

    /// The same for a question of another node, which has narrowed it.
    pub(crate) fn narrow_again(
        &self,
        principal: &str,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        narrow::narrowed_again(&self.rules(principal), principal, action, scope, filter)
    }

    /// What is decided, and by which policies: by what is known of a twin, as an image, or by a question's filter.
    pub(crate) fn decide(
        &self,
        principal: &str,
        action: Action,
        on: On<'_>,
        known: Known<'_>,
    ) -> Decision {
        let rules = self.rules(principal);
        let access = rules.access();
        match known {
            Known::Nothing => access.decide(principal, action, on),
            Known::Twin(key, image) => {
                access.decide_by(principal, action, on, &|filter| rules.fit(filter, key, image))
            }
            Known::Filter(filter) => access.decide_by(principal, action, on, &rules.fits(filter)),
        }
    }

    /// The policies as they are now for a principal.
    pub(super) fn rules(&self, principal: &str) -> Rules {
        // Held for no longer than it takes to share it.
        let meta = Arc::clone(&self.picture.borrow().meta);
        let filters = self.filters(&meta);
        Rules { access: filters.of(principal, &meta), filters }
    }

    /// The filters of a state. They are compiled while others go on with those that they have.
    fn filters(&self, meta: &Meta) -> Arc<Filters> {
        let known = Arc::clone(&self.known());
        if known.version == meta.version {
            return known;
        }
        let renewed = Arc::new(known.renewed(meta));
        let mut known = self.known();
        // Whoever was slower does not put an older state in place of a newer one.
        if known.version < meta.version {
            *known = Arc::clone(&renewed);
        }
        renewed
    }

    fn known(&self) -> MutexGuard<'_, Arc<Filters>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filters {
    /// Those of a state that is agreed on. What was compiled before is not compiled again.
    fn renewed(&self, meta: &Meta) -> Self {
        let compiled = meta.access.filters.iter().map(|(name, text)| {
            let known = self.compiled.get(text).cloned();
            (text.clone(), known.unwrap_or_else(|| compile(name, text)))
        });
        Self { version: meta.version, compiled: compiled.collect(), of: Mutex::default() }
    }

    /// What of a state of this version is about a principal.
    fn of(&self, principal: &str, meta: &Meta) -> Arc<Access> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = of.get(principal) {
            return Arc::clone(known);
        }
        let access = Arc::new(meta.access.of(principal));
        // Names of nobody are as many as callers think of.
        if !access.principals.is_empty() {
            of.insert(principal.to_owned(), Arc::clone(&access));
        }
        access
    }
}

fn compile(policy: &str, text: &str) -> Option<Arc<Filter>> {
    match Filter::parse_for_rights(text) {
        Ok(filter) => Some(Arc::new(filter)),
        Err(error) => {
            // A program that knows other filters than this one let it in.
            tracing::error!(policy, %error, "the filter of a policy cannot be used here: it allows nothing");
            None
        }
    }
}

/// The policies at a moment, for one principal.
pub(super) struct Rules {
    access: Arc<Access>,
    filters: Arc<Filters>,
}

impl Rules {
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// What a filter says of a twin, by an image of it.
    pub(super) fn fit(&self, filter: &str, key: &TwinKey, image: &[u8]) -> Fit {
        let Some(Some(filter)) = self.filters.compiled.get(filter) else { return Fit::Untold };
        // No filter of a policy asks for the time.
        let subject = Subject::of(key, image, Time::default(), Time::default());
        match subject.map(|subject| filter.matches(&subject)) {
            Ok(Ok(true)) => Fit::Holds,
            Ok(Ok(false)) => Fit::HoldsNot,
            Ok(Err(_)) | Err(_) => Fit::Untold,
        }
    }

    /// What filters say of all twins that a question is about, by the filter that it has.
    pub(super) fn fits<'r>(&'r self, asked: &'r str) -> impl Fn(&str) -> Fit + 'r {
        let parsed = OnceCell::new();
        move |filter| {
            let asked: &Option<Filter> = parsed.get_or_init(|| Filter::parse(asked).ok());
            match (asked, self.filters.compiled.get(filter)) {
                (Some(asked), Some(Some(filter))) if asked.implies(filter) => Fit::Holds,
                (Some(asked), Some(Some(filter))) if asked.excludes(filter) => Fit::HoldsNot,
                _ => Fit::Untold,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_cluster::access::{Effect, Policy, Principal};
    use pollux_twin::JsonLimits;
    use pollux_twin::Value;
    use pollux_twin::change::{Change, Effect as Changed, Mark, Section};

    use super::*;

    const BERLIN: &str = "tags.site == \"berlin\"";

    /// A state with policies of `svc`, each with its filter.
    fn meta(version: u64, policies: &[(Effect, &str)]) -> MetaPicture {
        let mut meta = Meta { version, ..Meta::default() };
        for name in ["svc", "other"] {
            meta.access.principals.insert(name.into(), Principal::default());
        }
        for (n, (effect, filter)) in policies.iter().enumerate() {
            let policy = Policy {
                effect: *effect,
                principals: vec!["svc".into()],
                actions: vec!["twin:*".into()],
                on: vec!["acme/*".parse().unwrap()],
                ..Policy::default()
            };
            meta.access.policies.insert(format!("p{n}"), policy);
            meta.access.filters.insert(format!("p{n}"), (*filter).to_owned());
        }
        MetaPicture { meta: meta.into(), ..MetaPicture::default() }
    }

    fn twin(tags: &str) -> Twin {
        let mut twin = Twin::absent();
        let patch = Value::from_json(tags, &JsonLimits::default()).unwrap();
        let (section, by) = (Section::Tags, String::new());
        let effect = Changed::Patched { section, patch, whole: false, observed_at: None, by };
        twin.apply(&Change { at: Time::default(), mark: Mark::None, effect }).unwrap();
        twin
    }

    fn may(book: &PolicyBook, twin: &Twin) -> bool {
        let key = TwinKey::parse("acme/pump").unwrap();
        book.check_twin("svc", &key, &Request::Get, twin).is_ok()
    }

    #[test]
    fn a_twin_decides_by_its_tags_and_what_cannot_be_asked_allows_nothing() {
        use Effect::{Allow, Deny};
        let (berlin, paris) = (twin(r#"{"site":"berlin"}"#), twin(r#"{"site":"paris"}"#));
        let slow = format!("tags.list.all(a, tags.list.all(b, a + b >= 0)) || {BERLIN}");
        let wide = format!("{{\"list\":{:?}}}", (0..300).collect::<Vec<_>>());
        let check = |policies: &[(Effect, &str)], twin: &Twin, expected: bool| {
            let book = PolicyBook::new(watch::channel(meta(1, policies)).1);
            assert_eq!(may(&book, twin), expected, "{policies:?}");
        };
        check(&[(Allow, BERLIN)], &berlin, true);
        check(&[(Allow, BERLIN)], &paris, false);
        check(&[(Allow, BERLIN)], &Twin::absent(), false);
        check(&[(Allow, "true"), (Deny, BERLIN)], &berlin, false);
        check(&[(Allow, "true"), (Deny, BERLIN)], &paris, true);
        for bad in ["nonsense(", "reported.hot", slow.as_str()] {
            check(&[(Allow, bad)], &twin(&wide), false);
            check(&[(Allow, "true"), (Deny, bad)], &twin(&wide), false);
        }
    }

    #[test]
    fn filters_follow_what_is_agreed_on_and_are_compiled_once() {
        let (sender, picture) = watch::channel(meta(1, &[]));
        let book = PolicyBook::new(picture);
        let key = TwinKey::parse("acme/pump").unwrap();
        let for_twin = |who: &str| book.is_for_twin(who, &key, &Request::Get).ok();
        assert_eq!(for_twin("svc"), None, "nothing allows it");
        sender.send_replace(meta(2, &[(Effect::Allow, BERLIN)]));
        assert_eq!((for_twin("svc"), for_twin("other")), (Some(true), None));
        let compiled = || book.rules("svc").filters.compiled[BERLIN].clone().unwrap();
        let first = compiled();
        assert!(may(&book, &twin(r#"{"site":"berlin"}"#)));
        sender.send_replace(meta(3, &[(Effect::Allow, BERLIN), (Effect::Deny, "tags.locked")]));
        assert!(Arc::ptr_eq(&first, &compiled()), "the same text is not compiled again");
        assert!(!may(&book, &twin(r#"{"site":"berlin","locked":true}"#)));
        sender.send_replace(meta(4, &[]));
        assert_eq!(for_twin("svc"), None, "what was let through by the filter is not let through");
        let mut all = meta(5, &[(Effect::Allow, BERLIN), (Effect::Allow, "tags.open")]);
        Arc::make_mut(&mut all.meta).access.filters.remove("p1");
        sender.send_replace(all);
        assert_eq!(for_twin("svc"), Some(false), "no twin has to be asked");
        sender.send_replace(meta(6, &[(Effect::Allow, "tags.open"), (Effect::Deny, BERLIN)]));
        assert_eq!(for_twin("svc"), Some(true));
    }
}
