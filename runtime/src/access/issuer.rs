//! Tokens that somebody else signed: JSON Web Tokens (RFC 7519) of one issuer, as OpenID Connect has them, checked by
//! a key set (RFC 7517) in a file. Owns which tokens are believed; who a subject is, the cluster agrees on.
//!
//! Only signatures with a public key are taken, each key for its own algorithms: `none` and a shared secret are not
//! among them. What is wrong is told once the signature is good; before that, only that it is not.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::clock::Clock;
use crate::config::IssuerConfig;
use crate::fault::Fault;
use crate::limits::{ISSUER_KEYS_MAX, ISSUER_LOOK, ISSUER_SKEW_MS, ISSUER_TOKEN_BYTES_MAX};
use crate::node::internal;

/// See the module.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    audience: String,
    file: PathBuf,
    keys: Mutex<Keys>,
    clock: Clock,
}

struct Keys {
    keys: Vec<Key>,
    /// When the file was changed, as it was read.
    changed: Option<SystemTime>,
    /// When it was last looked at, by elapsed time.
    looked: Duration,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// What is read of a token. The issuer and the audience are checked by the library.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

/// Whom a token names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) subject: String,
    /// In milliseconds since 1970.
    pub(super) until_ms: u64,
}

impl Issuer {
    pub(super) fn open(config: &IssuerConfig, clock: Clock) -> Result<Self, Fault> {
        let (keys, changed) = read(&config.keys).map_err(|problem| {
            let problem = format!("access.jwt_keys {}: {problem}", config.keys.display());
            internal("the check of signed tokens", &problem)
        })?;
        let keys = Keys { keys, changed, looked: clock.elapsed() };
        Ok(Self {
            name: config.issuer.as_str().into(),
            audience: config.audience.clone(),
            file: config.keys.clone(),
            keys: Mutex::new(keys),
            clock,
        })
    }

    /// Whom a token names, or why it is worth nothing.
    pub(super) fn check(&self, token: &str) -> Result<Named, &'static str> {
        const UNSIGNED: &str = "the token is not signed by a key that this cluster trusts";
        if token.len() > ISSUER_TOKEN_BYTES_MAX {
            return Err("the token is too long");
        }
        let header = decode_header(token).map_err(|_| UNSIGNED)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_again(&mut keys);
        let usable = |key: &&Key| {
            let named = match (&header.kid, &key.id) {
                (Some(asked), Some(id)) => asked == id,
                // A set of one key needs no names.
                (None, _) | (_, None) => keys.keys.len() == 1,
            };
            named && key.algorithms.contains(&header.alg)
        };
        let key = keys.keys.iter().find(usable).ok_or(UNSIGNED)?.key.clone();
        drop(keys);
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

    fn in_time(&self, claims: Claims) -> Result<Named, &'static str> {
        let now = self.clock.wall().ms;
        if claims.nbf.is_some_and(|nbf| ms(nbf) > now.saturating_add(ISSUER_SKEW_MS)) {
            return Err("the token is not good yet");
        }
        let until_ms = ms(claims.exp).saturating_add(ISSUER_SKEW_MS);
        if until_ms <= now {
            return Err("the token has expired");
        }
        Ok(Named { subject: claims.sub, until_ms })
    }

    /// Reads the file again if it was changed, not too often. One that cannot be used leaves the keys as they are.
    fn look_again(&self, keys: &mut Keys) {
        let now = self.clock.elapsed();
        if now.saturating_sub(keys.looked) < ISSUER_LOOK {
            return;
        }
        keys.looked = now;
        if changed(&self.file) == keys.changed {
            return;
        }
        match read(&self.file) {
            Ok((read, changed)) => {
                tracing::info!(file = %self.file.display(), keys = read.len(), "keys of signed tokens read anew");
                keys.keys = read;
                keys.changed = changed;
            }
            Err(problem) => {
                tracing::warn!(file = %self.file.display(), problem, "keys of signed tokens stay as they were");
            }
        }
    }
}

/// Seconds since 1970 as milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}

fn read(file: &Path) -> Result<(Vec<Key>, Option<SystemTime>), String> {
    let changed = changed(file);
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let set: JwkSet = serde_json::from_str(&text)
        .map_err(|error| format!("it takes a JSON Web Key Set, {{\"keys\": [...]}}: {error}"))?;
    if set.keys.len() > ISSUER_KEYS_MAX {
        return Err(format!("{} keys: it takes up to {ISSUER_KEYS_MAX}", set.keys.len()));
    }
    let shared = |jwk: &&Jwk| matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
    if set.keys.iter().any(|jwk| shared(&jwk)) {
        return Err("it has a shared secret (kty oct): it takes public keys only".into());
    }
    let keys: Vec<_> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err("it has no key that checks signatures: RSA, P-256, P-384 or Ed25519".into());
    }
    Ok((keys, changed))
}

/// A key that checks signatures; none for others, which issuers may have beside them.
fn key(jwk: &Jwk) -> Option<Key> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![ES256],
            EllipticCurve::P384 => vec![ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            vec![EdDSA]
        }
        _ => return None,
    };
    if let Some(own) = &jwk.common.key_algorithm {
        let own: Algorithm = own.to_string().parse().ok()?;
        algorithms.retain(|algorithm| *algorithm == own);
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { id: jwk.common.key_id.clone(), algorithms, key })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
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
        let config = IssuerConfig { issuer: "https://id".into(), audience: "pollux".into(), keys };
        Issuer::open(&config, Clock::new())
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
            let said = issuer.check(token).unwrap_err();
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
}
