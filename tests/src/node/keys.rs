//! An issuer of signed tokens, and those who would like to be one.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

/// A key of an issuer.
pub struct Keys {
    id: &'static str,
    pair: KeyPair,
}

/// What a good token says.
#[expect(clippy::disallowed_methods, reason = "an issuer has a clock")]
pub fn claims(subject: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "iss": "https://id.example", "aud": "pollux", "sub": subject, "iat": now, "exp": now + 600,
    })
}

/// A token without a signature.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "kid": "one"})), part(claims))
}

impl Keys {
    /// A new one, with an id.
    pub fn new(id: &'static str) -> Result<Self> {
        Ok(Self { id, pair: KeyPair::generate()? })
    }

    /// As a key set has it.
    pub fn public(&self) -> Value {
        let point = self.pair.der_bytes();
        let half = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": half(&point[1..33]), "y": half(&point[33..]),
        })
    }

    fn header(&self, algorithm: Algorithm) -> Header {
        Header { kid: Some(self.id.to_owned()), ..Header::new(algorithm) }
    }

    /// A token with these claims.
    pub fn signed(&self, claims: &Value) -> Result<String> {
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        Ok(encode(&self.header(Algorithm::ES256), claims, &key)?)
    }

    /// With the public key taken for a shared secret, as confused programs do.
    pub fn shared_secret(&self, claims: &Value) -> Result<String> {
        let key = EncodingKey::from_secret(self.pair.der_bytes())?;
        Ok(encode(&self.header(Algorithm::HS256), claims, &key)?)
    }
}
