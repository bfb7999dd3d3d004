//! Certificates that a batch of devices shares. TLS of the endpoints for services asks for one where there is an
//! enrolment that takes it, that of the device endpoint whoever comes to enrol, and has it proven that whoever shows one
//! has its key; whose it has to be the enrolment says, once it is named. Nothing else looks at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pollux_cluster::fingerprint;
use pollux_cluster::fleet::Claimed;
use pollux_twin::Time;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::expiry::unfit;
use super::{PkiError, device_name_of};
use crate::limits::{CLAIM_CHAIN_BYTES_MAX, CLAIM_CHAIN_MAX};

/// Lets everybody in who has the key of what is shown, or shows nothing.
#[derive(Debug)]
pub(super) struct Unjudged {
    asks: Arc<AtomicBool>,
    provider: CryptoProvider,
}

impl Unjudged {
    /// One that asks for certificates while that is set.
    pub(super) fn new(asks: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { asks, provider: aws_lc_rs::default_provider() })
    }
}

impl ClientCertVerifier for Unjudged {
    fn offer_client_auth(&self) -> bool {
        self.asks.load(Ordering::Acquire)
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Whoever shows it is nobody yet: what is kept of it for as long as the connection lasts has a bound.
        let bytes = intermediates.iter().fold(end_entity.len(), |all, one| all + one.len());
        if intermediates.len() >= CLAIM_CHAIN_MAX || bytes > CLAIM_CHAIN_BYTES_MAX {
            return Err(Error::General(format!(
                "the client shows {} certificates of {bytes} bytes in all; at most {CLAIM_CHAIN_MAX} of \
                 {CLAIM_CHAIN_BYTES_MAX} bytes are taken",
                intermediates.len() + 1
            )));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("this endpoint speaks tls 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate, whose key whoever shows it has, is good for an enrolment. One that names a device is that
/// device's alone.
pub(crate) fn vouches(claimed: &Claimed, chain: &[CertificateDer<'static>], now: Time) -> bool {
    let Some((own, rest)) = chain.split_first().filter(|_| chain.len() <= CLAIM_CHAIN_MAX) else {
        return false;
    };
    if device_name_of(own).is_ok() {
        return false;
    }
    match claimed {
        Claimed::Pinned(print) => fingerprint(own) == *print && matches!(unfit(own, now), Ok(None)),
        Claimed::By(ca) => {
            let mut roots = RootCertStore::empty();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier = roots.add(ca.clone().into()).ok().and_then(|()| {
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().ok()
            });
            let at = UnixTime::since_unix_epoch(Duration::from_millis(now.ms));
            verifier.is_some_and(|verifier| verifier.verify_client_cert(own, rest, at).is_ok())
        }
    }
}

/// Refuses what is no CA's certificate.
pub(crate) fn must_be_ca(certificate: &CertificateDer<'_>) -> Result<(), PkiError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    match parsed.is_ca() {
        true => Ok(()),
        false => Err(PkiError::Tls("it is not the certificate of a CA".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use pollux_twin::TwinKey;

    const NOW: Time = Time::from_ms(1_790_000_000_000);
    const DAY_MS: u64 = 24 * 3600 * 1000;

    #[test]
    fn only_what_the_enrolment_names_is_good() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [ours, theirs] =
            [0, 1].map(|n| Authority::open_or_make(dirs[n].path(), "ca", "a CA", NOW, 99).unwrap());
        let claim = ours.issue_claim("acme", "spring", NOW, 10).unwrap();
        let other = theirs.issue_claim("acme", "spring", NOW, 10).unwrap();
        let by = Claimed::By(ours.certificate().to_vec());
        let pinned = Claimed::Pinned(fingerprint(&claim.chain()[0]));
        let late = Time::from_ms(NOW.ms + 11 * DAY_MS);
        for claimed in [&by, &pinned] {
            assert!(vouches(claimed, claim.chain(), NOW));
            assert!(!vouches(claimed, other.chain(), NOW), "another CA");
            assert!(!vouches(claimed, claim.chain(), late), "it has ended");
            assert!(!vouches(claimed, &[], NOW));
        }
        // A device's own certificate is no claim, of whatever CA, pinned or not.
        let pump = ours.issue_device(&TwinKey::parse("acme/pump").unwrap(), NOW, 10).unwrap();
        assert!(!vouches(&by, pump.chain(), NOW));
        assert!(!vouches(&Claimed::Pinned(fingerprint(&pump.chain()[0])), pump.chain(), NOW));
        // Nor is a server's.
        let server = ours.issue_server(&[], NOW, 10).unwrap();
        assert!(!vouches(&by, server.chain(), NOW));
        assert!(!vouches(&Claimed::By(vec![1, 2]), claim.chain(), NOW));
        must_be_ca(ours.certificate()).unwrap();
        assert!(must_be_ca(&claim.chain()[0]).unwrap_err().to_string().contains("of a CA"));
    }

    #[test]
    fn a_chain_that_is_too_long_is_refused_before_it_is_kept() {
        let unjudged = Unjudged::new(Arc::default());
        let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW.ms));
        let shows = |chain: &[usize]| {
            let chain: Vec<_> =
                chain.iter().map(|bytes| CertificateDer::from(vec![0; *bytes])).collect();
            let taken = unjudged.verify_client_cert(&chain[0], &chain[1..], now);
            taken.map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(shows(&[100; CLAIM_CHAIN_MAX]), Ok(()));
        assert_eq!(shows(&[CLAIM_CHAIN_BYTES_MAX]), Ok(()));
        let error = shows(&[100; CLAIM_CHAIN_MAX + 1]).unwrap_err();
        assert!(
            error.contains("shows 5 certificates of 500 bytes in all; at most 4 of"),
            "{error}"
        );
        let error = shows(&[CLAIM_CHAIN_BYTES_MAX, 1]).unwrap_err();
        assert!(error.contains("2 certificates of 16385 bytes"), "{error}");
    }
}
