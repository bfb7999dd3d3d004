//! The key of stateless resets (RFC 9000, section 10.3), kept over restarts: a device whose connection
//! the node has forgotten is told so at its next packet, and need not wait for silence. The key opens
//! nothing; who has it can end connections of this node's devices.

use std::path::Path;
use std::sync::Arc;

use pollux_proto::hex::{from_hex, hex};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::tls13::{Hkdf, OkmBlock};

use super::error::PkiError;
use super::{PKI_DIR, files};
use crate::limits::RESET_PERIOD;

/// File name of the key.
const RESET_KEY: &str = "reset.key";
/// Bytes of the key, and of what it signs: SHA-256's.
const KEY_BYTES: usize = 32;
/// Bytes of a connection's name: enough that no two connections of a node share one.
const ID_BYTES: usize = 8;

/// How an endpoint of this data directory names its connections and disowns those it does not know.
pub(crate) fn endpoint_config(data_dir: &Path) -> Result<EndpointConfig, PkiError> {
    let key = open_or_make(&data_dir.join(PKI_DIR))?;
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    // Names are random and not checked: one of an earlier start must be answered with a reset too.
    config.cid_generator(|| Box::new(RandomIds)).min_reset_interval(RESET_PERIOD);
    Ok(config)
}

fn open_or_make(dir: &Path) -> Result<[u8; KEY_BYTES], PkiError> {
    let path = dir.join(RESET_KEY);
    if !path.exists() {
        files::make_dir(dir)?;
        let mut key = [0; KEY_BYTES];
        fill(&mut key);
        let text = hex(&key);
        files::write_private(&path, &format!("{text}\n"))?;
    }
    let text = files::read_private(&path)?;
    from_hex(text.trim_end()).ok_or_else(|| {
        files::content(&path, "a reset key", "64 hex digits were expected; remove it for a new one")
    })
}

fn fill(bytes: &mut [u8]) {
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(bytes).expect("the system has randomness, or TLS could not work either");
}

/// HMAC-SHA256, as TLS brings it.
struct ResetKey([u8; KEY_BYTES]);

impl ResetKey {
    fn tag(&self, data: &[u8]) -> rustls::crypto::hmac::Tag {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
        let hkdf: &dyn Hkdf = suite.expect("it is one of TLS 1.3").hkdf_provider;
        hkdf.hmac_sign(&OkmBlock::new(&self.0), data)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(self.tag(data).as_ref());
    }

    fn signature_len(&self) -> usize {
        KEY_BYTES
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Nothing secret hangs on it: a reset token is sent in the clear, and used once.
        if self.tag(data).as_ref() == signature { Ok(()) } else { Err(CryptoError) }
    }
}

struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_signs_alike() {
        let dir = tempfile::tempdir().unwrap();
        let first = ResetKey(open_or_make(dir.path()).unwrap());
        let again = ResetKey(open_or_make(dir.path()).unwrap());
        let mut signature = [0; KEY_BYTES];
        first.sign(b"a connection", &mut signature);
        again.verify(b"a connection", &signature).unwrap();
        assert!(again.verify(b"another", &signature).is_err());
        assert_ne!(open_or_make(tempfile::tempdir().unwrap().path()).unwrap(), first.0);
    }

    #[test]
    fn a_file_that_holds_something_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        files::write_private(&dir.path().join(RESET_KEY), "nonsense").unwrap();
        let text = open_or_make(dir.path()).expect_err("no key").to_string();
        assert!(text.contains(RESET_KEY) && text.contains("64 hex digits"), "{text}");
    }
}
