//! Tokens that somebody else signed: JSON Web Tokens (RFC 7519) of one issuer, as OpenID Connect has them, checked by
//! a key set (RFC 7517) in a file or at a URL. Owns which tokens are believed; who a subject is, the cluster agrees on,
//! and what keys are, `keys` says.
//!
//! Only signatures with a public key are taken, each key for its own algorithms: `none` and a shared secret are not
//! among them. What is wrong is told once the signature is good; before that, only that it is not.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use super::place::Place;
use super::refresh::Refresh;
use super::web;
use crate::clock::Clock;
use crate::config::{IssuerConfig, KeySource};
use crate::fault::Fault;
use crate::limits::{ISSUER_LOOK, ISSUER_NOT_NOW_MS, ISSUER_SKEW_MS, ISSUER_TOKEN_BYTES_MAX};
use crate::metrics::Metrics;
use crate::node::internal;
use crate::pki::Certificates;

/// See the module.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    audience: String,
    source: KeySource,
    ca: Option<PathBuf>,
    held: Mutex<Held>,
    /// Wakes who fetches.
    nudge: Notify,
    clock: Clock,
}

struct Held {
    keys: Keys,
    /// When a file was changed, as it was read.
    changed: Option<SystemTime>,
    /// When a file was last looked at, by elapsed time.
    looked: Duration,
    /// When what is at a URL is fetched.
    refresh: Refresh,
}

/// What is read of a token. The issuer and the audience are checked by the library.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

/// What is read of what an issuer tells of itself.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// Whom a token names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) subject: String,
    /// In milliseconds since 1970.
    pub(super) until_ms: u64,
}

/// Why a token is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotGood {
    /// It is worth nothing.
    Worthless(&'static str),
    /// That is not known yet: keys are being fetched.
    NotNow {
        /// When to come back.
        retry_after_ms: u32,
    },
}

impl From<&'static str> for NotGood {
    fn from(why: &'static str) -> Self {
        Self::Worthless(why)
    }
}

impl Issuer {
    /// One whose keys are read, where they are in a file; those at a URL come with [`Self::keep`].
    pub(super) fn open(
        config: &IssuerConfig,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, Fault> {
        let (keys, changed) = match &config.keys {
            KeySource::File(file) => read(file).map_err(|problem| {
                let problem = format!("access.jwt_keys {}: {problem}", file.display());
                internal("the check of signed tokens", &problem)
            })?,
            KeySource::Url(_) | KeySource::Discovered => (Keys::default(), None),
        };
        let now = clock.elapsed();
        let refresh = Refresh::new(config.refresh, now);
        if keys.len() > 0 {
            metrics.issuer_keys_timestamp_seconds.set(seconds(clock));
        }
        Ok(Self {
            name: config.issuer.as_str().into(),
            audience: config.audience.clone(),
            source: config.keys.clone(),
            ca: config.ca.clone(),
            held: Mutex::new(Held { keys, changed, looked: now, refresh }),
            nudge: Notify::new(),
            clock,
        })
    }

    /// Whom a token names, or why it is not taken.
    pub(super) fn check(&self, token: &str) -> Result<Named, NotGood> {
        const UNSIGNED: &str = "the token is not signed by a key that this cluster trusts";
        if token.len() > ISSUER_TOKEN_BYTES_MAX {
            return Err("the token is too long".into());
        }
        let header = decode_header(token).map_err(|_| UNSIGNED)?;
        let key = {
            let mut held = self.held();
            match &self.source {
                KeySource::File(file) => self.look_again(&mut held, file),
                KeySource::Url(_) | KeySource::Discovered => self.wish(&mut held, &header)?,
            }
            held.keys.of(&header).ok_or(UNSIGNED)?
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&*self.name]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By this node's own clock, below.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation).map(|data| data.claims);
        use jsonwebtoken::errors::ErrorKind as E;
        let claims = claims.map_err(|error| match error.kind() {
            E::InvalidIssuer => "the token is of another issuer",
            E::InvalidAudience => "the token is for another audience",
            E::MissingRequiredClaim(_) | E::InvalidClaimFormat(_) | E::Json(_) => {
                "the token lacks one of exp, iss, aud and sub"
            }
            _ => UNSIGNED,
        })?;
        self.in_time(claims)
    }

    fn in_time(&self, claims: Claims) -> Result<Named, NotGood> {
        let now = self.clock.wall().ms;
        if claims.nbf.is_some_and(|nbf| ms(nbf) > now.saturating_add(ISSUER_SKEW_MS)) {
            return Err("the token is not good yet".into());
        }
        let until_ms = ms(claims.exp).saturating_add(ISSUER_SKEW_MS);
        if until_ms <= now {
            return Err("the token has expired".into());
        }
        Ok(Named { subject: claims.sub, until_ms })
    }

    /// Has keys fetched if a token names one that is not here, or if there are none, not too often.
    fn wish(&self, held: &mut Held, header: &jsonwebtoken::Header) -> Result<(), NotGood> {
        let none = held.keys.len() == 0;
        if !none && !held.keys.lacks(header) {
            return Ok(());
        }
        let comes = held.refresh.wish(self.clock.elapsed());
        self.nudge.notify_one();
        match comes || none {
            true => Err(NotGood::NotNow { retry_after_ms: ISSUER_NOT_NOW_MS }),
            false => Ok(()),
        }
    }

    /// Reads the file again if it was changed, not too often. One that cannot be used leaves the keys as they are.
    fn look_again(&self, held: &mut Held, file: &Path) {
        let now = self.clock.elapsed();
        if now.saturating_sub(held.looked) < ISSUER_LOOK {
            return;
        }
        held.looked = now;
        if changed(file) == held.changed {
            return;
        }
        match read(file) {
            Ok((read, changed)) => {
                tracing::info!(file = %file.display(), keys = read.len(), "keys of signed tokens read anew");
                held.keys = read;
                held.changed = changed;
            }
            Err(problem) => {
                tracing::warn!(file = %file.display(), problem, "keys of signed tokens stay as they were");
            }
        }
    }

    /// Fetches the keys, where they are at a URL, until the node stops.
    pub(super) async fn keep(
        &self,
        metrics: &Metrics,
        certificates: &Certificates,
        stop: CancellationToken,
    ) {
        if matches!(self.source, KeySource::File(_)) {
            return;
        }
        let mut came = None;
        loop {
            let (now, due) = (self.clock.elapsed(), self.held().refresh.due());
            if due > now {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(due - now) => {}
                    () = self.nudge.notified() => {}
                }
                continue;
            }
            self.held().refresh.begin(now);
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = fetch(&self.name, &self.source, self.ca.as_deref()) => fetched,
            };
            let problem = match fetched {
                Ok((keys, max_age)) => {
                    self.take(keys, max_age);
                    came = Some(self.clock.elapsed());
                    metrics.issuer_keys_timestamp_seconds.set(seconds(self.clock));
                    metrics.issuer_fetches_total.of("ok").inc();
                    None
                }
                Err(problem) => {
                    self.held().refresh.failed(self.clock.elapsed());
                    metrics.issuer_fetches_total.of("failed").inc();
                    Some(self.told(&problem, came))
                }
            };
            certificates.note("issuer", problem);
        }
    }

    fn take(&self, keys: Keys, max_age: Option<Duration>) {
        tracing::debug!(issuer = %self.name, keys = keys.len(), "keys of signed tokens fetched");
        let mut held = self.held();
        held.keys = keys;
        held.refresh.came(self.clock.elapsed(), max_age);
    }

    /// A failed attempt, as a sentence for people.
    fn told(&self, problem: &str, came: Option<Duration>) -> String {
        let name = &self.name;
        match came {
            Some(_) => format!(
                "keys of {name} could not be fetched, and signed tokens are checked by those that came last: {problem}"
            ),
            None => format!(
                "keys of {name} could not be fetched, and no signed token is taken: {problem}"
            ),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches the keys of an issuer, and for how long they are good, if the answer says so.
async fn fetch(
    name: &str,
    source: &KeySource,
    ca: Option<&Path>,
) -> Result<(Keys, Option<Duration>), String> {
    let at = |place: &Place, problem: String| format!("{place}: {problem}");
    let place = match source {
        KeySource::Url(url) => Place::parse(url)?,
        KeySource::Discovered => {
            let place = Place::of_discovery(name)?;
            let document = web::get(&place, ca).await.map_err(|problem| at(&place, problem))?;
            discovered(name, &document.body).map_err(|problem| at(&place, problem))?
        }
        KeySource::File(_) => return Err("they are in a file".into()),
    };
    let fetched = web::get(&place, ca).await.map_err(|problem| at(&place, problem))?;
    let keys = Keys::parse(&fetched.body).map_err(|problem| at(&place, problem))?;
    Ok((keys, fetched.max_age))
}

/// Where an issuer says that its keys are (OpenID Connect Discovery 1.0, section 4.3).
fn discovered(name: &str, document: &[u8]) -> Result<Place, String> {
    let told: Discovered = serde_json::from_slice(document)
        .map_err(|error| format!("it takes a document with issuer and jwks_uri: {error}"))?;
    if told.issuer != name {
        return Err(format!(
            "it is of another issuer ({:.200}) than access.jwt_issuer",
            told.issuer
        ));
    }
    Place::parse(&told.jwks_uri).map_err(|problem| format!("jwks_uri: {problem}"))
}

/// Looks whether the keys of an issuer can be had: how many there are.
///
/// # Errors
/// What is wrong, for people.
pub async fn try_issuer(config: &IssuerConfig) -> Result<usize, String> {
    match &config.keys {
        KeySource::File(file) => {
            let read = read(file).map_err(|problem| format!("{}: {problem}", file.display()));
            read.map(|(keys, _)| keys.len())
        }
        source => {
            let fetched = fetch(&config.issuer, source, config.ca.as_deref()).await;
            fetched.map(|(keys, _)| keys.len())
        }
    }
}

fn seconds(clock: Clock) -> i64 {
    i64::try_from(clock.wall().ms / 1000).unwrap_or(i64::MAX)
}

/// Seconds since 1970 as milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}

fn read(file: &Path) -> Result<(Keys, Option<SystemTime>), String> {
    let changed = changed(file);
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    Ok((Keys::parse(&text)?, changed))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use rcgen::{KeyPair, PublicKeyData};
    use serde_json::{Value, json};

    use super::*;

    fn jwk(pair: &KeyPair, id: &str) -> Value {
        let point = pair.der_bytes();
        let half = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": half(&point[1..33]), "y": half(&point[33..])})
    }

    fn issuer(dir: &Path, set: &Value) -> Result<Issuer, Fault> {
        let keys = dir.join("keys.json");
        std::fs::write(&keys, set.to_string()).unwrap();
        let config = IssuerConfig {
            issuer: "https://id".into(),
            audience: "pollux".into(),
            keys: KeySource::File(keys),
            ca: None,
            refresh: Duration::from_secs(60),
        };
        Issuer::open(&config, Clock::new(), &Metrics::new())
    }

    fn signed(pair: &KeyPair, id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(id.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(&pair.serialize_der())).unwrap()
    }

    #[test]
    fn only_what_the_issuer_signed_for_us_in_time_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let issuer = issuer(dir.path(), &json!({"keys": [jwk(&ours, "a")]})).unwrap();
        let now = Clock::new().wall().ms / 1000;
        let good = json!({"iss": "https://id", "aud": ["other", "pollux"], "sub": "svc", "exp": now + 600});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        let named = issuer.check(&signed(&ours, "a", &good)).unwrap();
        assert_eq!(named.subject, "svc");
        assert!(named.until_ms >= (now + 600) * 1000);
        let refused = |token: &str, why: &str| {
            let Err(NotGood::Worthless(said)) = issuer.check(token) else { panic!("{token}") };
            assert!(said.contains(why), "{said} instead of {why}");
        };
        refused(&signed(&theirs, "a", &good), "not signed");
        refused(&signed(&ours, "b", &good), "not signed");
        refused(&signed(&ours, "a", &with("aud", json!("other"))), "another audience");
        refused(&signed(&ours, "a", &with("iss", json!("https://evil"))), "another issuer");
        refused(&signed(&ours, "a", &with("exp", json!(now - 600))), "expired");
        refused(&signed(&ours, "a", &with("nbf", json!(now + 600))), "not good yet");
        refused(&signed(&ours, "a", &with("exp", Value::Null)), "lacks one of");
        refused(&signed(&ours, "a", &with("sub", Value::Null)), "lacks one of");
        // No signature, with and without what would be one; and the public key as a shared secret.
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let none = part(&json!({"alg": "none", "kid": "a"}));
        refused(&format!("{none}.{}.", part(&good)), "not signed");
        refused(&format!("{none}.{}.AAAA", part(&good)), "not signed");
        let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(ours.der_bytes()).unwrap();
        refused(&encode(&header, &good, &secret).unwrap(), "not signed");
        let token = signed(&ours, "a", &good);
        for noise in ["", "a.b.c", &token[1..], &token[..token.len() - 4]] {
            refused(noise, "not signed");
        }
    }

    #[test]
    fn a_key_set_without_public_keys_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |set: Value, why: &str| {
            let said = issuer(dir.path(), &set).err().expect("it must be refused").to_string();
            assert!(said.contains(why), "{said}");
        };
        refused(json!({}), "Key Set");
        refused(json!({"keys": []}), "no key");
        refused(json!({"keys": [{"kty": "oct", "k": "AAAA"}]}), "shared secret");
    }

    #[test]
    fn an_issuer_speaks_for_itself_only() {
        let told = |issuer: &str, keys: &str| {
            let document = json!({"issuer": issuer, "jwks_uri": keys, "more": 1}).to_string();
            discovered("https://id", document.as_bytes()).map(|place| place.to_string())
        };
        assert_eq!(told("https://id", "https://keys/a"), Ok("https://keys/a".into()));
        assert!(told("https://id/", "https://keys/a").unwrap_err().contains("another issuer"));
        assert!(
            told("https://id", "http://keys/a").unwrap_err().contains("jwks_uri: it takes https")
        );
        assert!(discovered("https://id", b"{}").unwrap_err().contains("issuer and jwks_uri"));
    }
}
