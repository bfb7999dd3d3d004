//! SHA-256 of what comes in pieces, and Ed25519 signatures, both as TLS brings them.

use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::Context;
use rustls::pki_types::alg_id::ED25519;

use super::Digest;

/// A SHA-256 under way.
pub(super) struct Hasher(Box<dyn Context>);

impl Hasher {
    pub(super) fn new() -> Self {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = suite.tls13().expect("it is a suite of TLS 1.3");
        Self(suite.common.hash_provider.start())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        self.0.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

/// Whether a signature of a message was made with the secret half of a key.
pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let known = aws_lc_rs::default_provider().signature_verification_algorithms;
    let ed25519 = known.all.iter().find(|known| known.signature_alg_id() == ED25519);
    ed25519.is_some_and(|known| known.verify_signature(public, message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use pollux_proto::hex::{from_hex, hex};

    use super::*;

    #[test]
    fn pieces_are_one_digest() {
        let mut hasher = Hasher::new();
        for piece in ["a", "", "bc"] {
            hasher.update(piece.as_bytes());
        }
        let digest = hex(&hasher.finish());
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_signature_is_one_of_its_key_and_message() {
        // RFC 8032, 7.1, test 2.
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let public = from_hex(public).unwrap();
        let mut signature = from_hex(signature).unwrap();
        assert!(verify(&public, &[0x72], &signature));
        assert!(!verify(&public, &[0x73], &signature));
        signature[5] ^= 1;
        assert!(!verify(&public, &[0x72], &signature));
        assert!(!verify(&[0; 32], &[0x72], &signature));
    }
}
