//! Devices' certificates that were checked before. A device comes back with the certificate that it had,
//! often many at once: to check again who signed it costs as much as to check that the device holds its
//! key, which is done each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pollux_cluster::peer::fingerprint;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::limits::KNOWN_CERTIFICATES_MAX;

/// Checks what it does not know, and knows it afterwards for as long as it is valid. Only for a fixed set
/// of CAs: another set begins with nothing known.
#[derive(Debug)]
pub(super) struct KnownCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    known: Mutex<Known>,
}

/// From when until when a certificate is valid, in seconds since 1970.
type Validity = (u64, u64);

/// What was checked, in two generations: the older one goes when the younger one is full.
#[derive(Debug, Default)]
struct Known {
    young: HashMap<[u8; 32], Validity>,
    old: HashMap<[u8; 32], Validity>,
}

impl Known {
    fn contains(&mut self, hash: &[u8; 32], now: u64) -> bool {
        let valid = |(from, until): Validity| (from..=until).contains(&now);
        if let Some(validity) = self.young.get(hash) {
            return valid(*validity);
        }
        let Some(validity) = self.old.remove(hash) else { return false };
        self.add(*hash, validity);
        valid(validity)
    }

    fn add(&mut self, hash: [u8; 32], validity: Validity) {
        if self.young.len() >= KNOWN_CERTIFICATES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, validity);
    }
}

impl KnownCertificates {
    pub(super) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Arc<Self> {
        Arc::new(Self { verifier, known: Mutex::default() })
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
    Some((seconds(validity.not_before)?, seconds(validity.not_after)?))
}

impl ClientCertVerifier for KnownCertificates {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // With intermediates a certificate is valid only as long as all of them are: checked each time.
        if !intermediates.is_empty() {
            return self.verifier.verify_client_cert(end_entity, intermediates, now);
        }
        let hash = fingerprint(end_entity);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&hash, now.as_secs()) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        if let Some(validity) = validity(end_entity) {
            known().add(hash, validity);
        }
        Ok(verified)
    }

    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use pollux_twin::{Time, TwinKey};
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;
    use rustls::server::WebPkiClientVerifier;

    use crate::pki::Authority;

    const DAY_S: u64 = 24 * 3600;
    const NOW_S: u64 = 1_790_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn authority(dir: &tempfile::TempDir) -> Authority {
        let now = Time::from_ms(NOW_S * 1000);
        Authority::open_or_make(dir.path(), "ca", "test CA", now, 100).unwrap()
    }

    fn device(authority: &Authority, name: &str) -> CertificateDer<'static> {
        let now = Time::from_ms(NOW_S * 1000);
        let identity = authority.issue_device(&TwinKey::parse(name).unwrap(), now, 1).unwrap();
        identity.chain()[0].clone()
    }

    fn verifier(authority: &Authority) -> Arc<KnownCertificates> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let checks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        KnownCertificates::new(checks.build().unwrap())
    }

    #[test]
    fn what_is_known_is_taken_while_it_is_valid_only() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(&dir);
        let own = device(&authority, "acme/pump");
        let verifier = verifier(&authority);
        let check = |now| verifier.verify_client_cert(&own, &[], at(now)).is_ok();
        assert!(check(NOW_S + 60));
        assert!(verifier.known.lock().unwrap().young.contains_key(&fingerprint(&own)));
        assert!(check(NOW_S + 60), "known by now");
        assert!(!check(NOW_S + 2 * DAY_S), "expired");
        assert!(!check(NOW_S - 2 * DAY_S), "not yet valid");
        assert!(check(NOW_S + 60));
    }

    #[test]
    fn strangers_stay_strangers() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let verifier = verifier(&authority(&dir));
        let stranger = device(&authority(&other), "acme/pump");
        for _ in 0..2 {
            assert!(verifier.verify_client_cert(&stranger, &[], at(NOW_S)).is_err());
        }
        assert!(verifier.known.lock().unwrap().young.is_empty());
    }

    #[test]
    fn no_more_is_known_than_there_is_room_for() {
        let mut known = Known::default();
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(n as u64).to_le_bytes());
            hash
        };
        for n in 0..3 * KNOWN_CERTIFICATES_MAX {
            known.add(hash(n), (0, 9));
            assert!(known.contains(&hash(0), 5) || n > KNOWN_CERTIFICATES_MAX / 2);
            assert!(known.young.len() + known.old.len() <= KNOWN_CERTIFICATES_MAX);
        }
        assert!(known.contains(&hash(3 * KNOWN_CERTIFICATES_MAX - 1), 5));
        assert!(!known.contains(&hash(1), 5));
    }
}
