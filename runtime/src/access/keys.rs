//! Public keys of an issuer, from a JSON Web Key Set (RFC 7517). Owns which keys are taken, and for which algorithms.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};

use crate::limits::ISSUER_KEYS_MAX;

/// A set of keys, in the order of the document.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Keys {
    /// Reads a set, or says what is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_slice(text).map_err(|error| {
            format!("it takes a JSON Web Key Set, {{\"keys\": [...]}}: {error}")
        })?;
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
        Ok(Self(keys))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key by which a token with this header is to be checked.
    pub(super) fn of(&self, header: &Header) -> Option<DecodingKey> {
        let usable =
            |key: &&Key| self.is_named(key, header) && key.algorithms.contains(&header.alg);
        self.0.iter().find(usable).map(|key| key.key.clone())
    }

    /// Whether a header names a key that is not here.
    pub(super) fn lacks(&self, header: &Header) -> bool {
        header.kid.is_some() && !self.0.iter().any(|key| self.is_named(key, header))
    }

    fn is_named(&self, key: &Key, header: &Header) -> bool {
        match (&header.kid, &key.id) {
            (Some(asked), Some(id)) => asked == id,
            // A set of one key needs no names.
            (None, _) | (_, None) => self.0.len() == 1,
        }
    }
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
