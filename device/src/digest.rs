//! SHA-256 of what comes in pieces, and Ed25519 signatures, both as TLS brings them.

use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::Context;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::alg_id::ED25519;
use rustls::pki_types::pem::PemObject;

use crate::error::Fault;

/// What an Ed25519 key has before it in a `PUBLIC KEY` block (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A SHA-256 under way.
pub struct Sha256(Box<dyn Context>);

impl Sha256 {
    /// Of nothing so far.
    pub fn new() -> Self {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = suite.tls13().expect("it is a suite of TLS 1.3");
        Self(suite.common.hash_provider.start())
    }

    /// Takes what comes next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an Ed25519 signature of a message was made with the secret half of a key.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let known = aws_lc_rs::default_provider().signature_verification_algorithms;
    let ed25519 = known.all.iter().find(|known| known.signature_alg_id() == ED25519);
    ed25519.is_some_and(|known| known.verify_signature(public, message, signature).is_ok())
}

/// The Ed25519 public key of a PEM text with a `PUBLIC KEY` block, as `openssl pkey -pubout` writes it.
pub fn public_key_from_pem(pem: &[u8]) -> Result<[u8; 32], Fault> {
    let wrong = |what: &str| Fault::Identity(format!("the public key: {what}"));
    let der =
        SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|error| wrong(&error.to_string()))?;
    let key = der.strip_prefix(&SPKI).and_then(|key| <[u8; 32]>::try_from(key).ok());
    key.ok_or_else(|| {
        wrong("it is no Ed25519 key; make one with openssl genpkey -algorithm ed25519")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_kinds_are_refused() {
        let ed25519 = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let key = public_key_from_pem(ed25519.as_bytes()).unwrap();
        assert_eq!((key[0], key[31]), (0x19, 0xe1));
        let x25519 = ed25519.replace("MCowBQYDK2VwAyEA", "MCowBQYDK2VuAyEA");
        for bad in
            [x25519.as_str(), "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
        {
            assert!(public_key_from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
