//! Who comes in at the doors for services, and what they may. Owns how a proof is read and checked; what the
//! policies are, the cluster agrees on, and each call sees the newest that this node knows.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pollux_cluster::access::{Action, On, ROOT};
use pollux_cluster::meta::MetaPicture;
use pollux_twin::input::Request;
use pollux_twin::{Rejection, TwinKey};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::book::PolicyBook;
use super::caller::{Caller, Proof};
use super::issuer::{Issuer, NotGood};
use super::narrow::Narrowed;
use super::root;
use super::secret::Secret;
use crate::clock::Clock;
use crate::cluster::Decider;
use crate::config::{AccessMode, Checked};
use crate::fault::Fault;
use crate::limits::{ACCESS_DEAF_MAX, ACCESS_LOOK};
use crate::metrics::Metrics;
use crate::pki::Certificates;
use crate::router::Scope;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doorman {
    inner: Arc<Inner>,
    policies: PolicyBook,
    picture: watch::Receiver<MetaPicture>,
}

struct Inner {
    node: u64,
    /// The secret of this node, if access is enforced.
    root: Option<Secret>,
    issuer: Option<Issuer>,
    clock: Clock,
    /// When the meta group was last heard, by elapsed milliseconds.
    heard_ms: AtomicU64,
}

impl Doorman {
    /// One for the doors of this node.
    pub(crate) fn new(
        config: &Checked,
        node: u64,
        policies: PolicyBook,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, Fault> {
        let enforced = config.access.mode == AccessMode::Enforced;
        let root = enforced.then(|| root::open(&config.data_dir)).transpose()?;
        let issuer = config.access.issuer.as_ref().filter(|_| enforced);
        let issuer = issuer.map(|issuer| Issuer::open(issuer, clock, metrics)).transpose()?;
        if enforced && config.services.is_plaintext_for_others() {
            tracing::warn!("tokens of services travel in the clear: services.plaintext is set");
        }
        let heard_ms = AtomicU64::new(clock.elapsed_ms());
        let picture = policies.picture();
        let inner = Inner { node, root, issuer, clock, heard_ms };
        Ok(Self { inner: Arc::new(inner), policies, picture })
    }

    /// Looks now and then whether changes of who may what are heard of, until the node stops.
    pub(crate) async fn listen(self, decider: Decider, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if decider.hears_leader().await {
                self.inner.heard_ms.store(self.inner.clock.elapsed_ms(), Ordering::Relaxed);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(ACCESS_LOOK) => {}
            }
        }
    }

    /// Fetches the keys of signed tokens, where they are at a URL, until the node stops.
    pub(crate) async fn keep_keys(
        self,
        metrics: Arc<Metrics>,
        certificates: Certificates,
        stop: CancellationToken,
    ) {
        if let Some(issuer) = &self.inner.issuer {
            issuer.keep(&metrics, &certificates, stop).await;
        }
    }

    /// Whether this node may have missed changes for too long to let principals in.
    fn is_deaf(&self) -> bool {
        let heard = Duration::from_millis(self.inner.heard_ms.load(Ordering::Relaxed));
        self.inner.clock.elapsed().saturating_sub(heard) > ACCESS_DEAF_MAX
    }

    /// Refuses what must not be given away by what may be outdated.
    pub(crate) fn hears(&self) -> Result<(), Rejection> {
        if self.is_deaf() { Err(Rejection::NotOwner) } else { Ok(()) }
    }

    /// Whether callers are checked at all.
    pub(crate) fn is_enforced(&self) -> bool {
        self.inner.root.is_some()
    }

    /// Who calls, by the value of `authorization`. Where access is open, whoever it says it is.
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        from: Option<IpAddr>,
        called: impl FnOnce() -> Result<String, Rejection>,
    ) -> Result<Caller, Rejection> {
        let Some(root) = &self.inner.root else {
            let name = called()?.into();
            return Ok(Caller { name, proof: Proof::Nothing, until_ms: None, from });
        };
        let Some(value) = authorization else {
            return Err(unproven(
                "this call takes a token: send `authorization: Bearer TOKEN`; whoever runs the cluster makes one \
                 with `pollux access principal token`",
            ));
        };
        let token = bearer(value).ok_or_else(|| {
            unproven("authorization: takes `Bearer`, a space and the token, in ASCII")
        })?;
        let (name, proof, until_ms) = match token.parse::<Secret>() {
            Ok(secret) if secret.id.is_none() => {
                let local = from.is_some_and(|from| from.to_canonical().is_loopback());
                match secret.is(&root.hash()) {
                    true if local => (ROOT.into(), Proof::Root(self.inner.node), None),
                    true => {
                        return Err(unproven(
                            "a root token is good on its node's own machine only",
                        ));
                    }
                    false => return Err(unproven(UNKNOWN)),
                }
            }
            Ok(_) | Err(_) if self.is_deaf() => return Err(unproven(DEAF)),
            Ok(secret) => self.token(&secret)?,
            Err(_) => self.signed(token)?,
        };
        Ok(Caller { name, proof, until_ms, from })
    }

    fn token(&self, secret: &Secret) -> Result<(Arc<str>, Proof, Option<u64>), Rejection> {
        let id = secret.id.unwrap_or_default();
        let picture = self.picture.borrow();
        let known = picture.meta.access.tokens.get(&id).filter(|token| secret.is(&token.hash));
        let token = known.ok_or_else(|| unproven(UNKNOWN))?;
        if token.expires_ms <= self.inner.clock.wall().ms {
            return Err(unproven("the token has expired: have another one issued"));
        }
        Ok((token.principal.as_str().into(), Proof::Token(id), Some(token.expires_ms)))
    }

    fn signed(&self, token: &str) -> Result<(Arc<str>, Proof, Option<u64>), Rejection> {
        let issuer = self.inner.issuer.as_ref().ok_or_else(|| unproven(UNKNOWN))?;
        let named = issuer.check(token).map_err(|why| match why {
            NotGood::Worthless(why) => unproven(why),
            NotGood::NotNow { retry_after_ms } => Rejection::Overloaded { retry_after_ms },
        })?;
        let picture = self.picture.borrow();
        let name = picture.meta.access.known_as(&issuer.name, &named.subject);
        let name = name.ok_or_else(|| {
            unproven("no principal has the subject that the token names: have it put there")
        })?;
        Ok((name.into(), Proof::Issuer(Arc::clone(&issuer.name)), Some(named.until_ms)))
    }

    /// Whether a caller may do something.
    pub(crate) fn check(
        &self,
        caller: &Caller,
        action: Action,
        on: On<'_>,
    ) -> Result<(), Rejection> {
        if !caller.is_proven() {
            return Ok(());
        }
        self.policies.check(&caller.name, action, on)
    }

    /// Whether a caller may call a twin.
    pub(crate) fn check_call(
        &self,
        caller: &Caller,
        key: &TwinKey,
        request: &Request,
    ) -> Result<(), Rejection> {
        if !caller.is_proven() {
            return Ok(());
        }
        self.policies.check_call(&caller.name, key, request)
    }

    /// What a principal that asked for it before may see now of a scope with a filter, if it may.
    pub(crate) fn narrow_for(
        &self,
        principal: &str,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        self.policies.narrow(principal, action, scope, filter)
    }

    /// Whether a principal that asked for it before may call a twin now.
    pub(crate) fn check_for(
        &self,
        principal: &str,
        key: &TwinKey,
        request: &Request,
    ) -> Result<(), Rejection> {
        if self.is_deaf() && self.is_enforced() {
            return Err(unproven(DEAF));
        }
        self.policies.check_call(principal, key, request)
    }

    /// Whether a caller may do something to all twins of a scope.
    pub(crate) fn check_scope(
        &self,
        caller: &Caller,
        action: Action,
        scope: &Scope,
    ) -> Result<(), Rejection> {
        if !caller.is_proven() {
            return Ok(());
        }
        self.policies.check_scope(&caller.name, action, scope)
    }

    /// Whether a caller may do something to all twins of a scope for which a filter holds.
    pub(crate) fn check_matching(
        &self,
        caller: &Caller,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<(), Rejection> {
        if !caller.is_proven() {
            return Ok(());
        }
        self.policies.check_matching(&caller.name, action, scope, filter)
    }

    /// What a caller may see of a scope with a filter, if it may.
    pub(crate) fn narrow(
        &self,
        caller: &Caller,
        action: Action,
        scope: &Scope,
        filter: &str,
    ) -> Result<Narrowed, Rejection> {
        if !caller.is_proven() {
            return Ok(Narrowed::all(filter));
        }
        self.policies.narrow(&caller.name, action, scope, filter)
    }

    /// The policies, for whoever may see what they say.
    pub(crate) const fn policies(&self) -> &PolicyBook {
        &self.policies
    }

    /// Whether what a caller proved itself by is still worth something: for those who stay.
    pub(crate) fn still(&self, caller: &Caller) -> Result<(), Rejection> {
        if self.is_deaf() && !matches!(caller.proof, Proof::Root(_)) {
            return Err(unproven(DEAF));
        }
        if caller.until_ms.is_some_and(|until_ms| until_ms <= self.inner.clock.wall().ms) {
            return Err(unproven("the token has expired: have another one issued"));
        }
        match caller.proof {
            Proof::Token(id) if !self.picture.borrow().meta.access.tokens.contains_key(&id) => {
                Err(unproven(UNKNOWN))
            }
            _ => Ok(()),
        }
    }

    /// Tells when what is agreed on has changed.
    pub(crate) fn picture(&self) -> watch::Receiver<MetaPicture> {
        self.picture.clone()
    }
}

/// What is said of a token that was never issued, of a wrong one, and of one that was revoked: nobody shall learn
/// which of them it is.
const UNKNOWN: &str = "the token is not one that this cluster knows, or it was revoked";

/// What is said where a token may have been revoked without this node having heard of it.
const DEAF: &str = "this node has not heard from a majority of the cluster for a while, and cannot tell whether the token is still \
     good: ask another node";

fn unproven(reason: &str) -> Rejection {
    Rejection::Unauthenticated { reason: reason.to_owned() }
}

/// The token in `Bearer TOKEN` (RFC 6750); the scheme's case is free.
fn bearer(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && plain).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearers() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc "), Some("abc"));
        for bad in [&b"Bearer"[..], b"Bearer ", b"Basic abc", b"abc", b"Bearer a b", b"Bearer \xff"]
        {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }
}
