//! Who a device is and whom it trusts: certificates and keys into rustls, TLS 1.3 only.
//! Making certificates is the business of whoever runs the device CA.

use std::fmt;
use std::sync::Arc;

use pollux_proto::device::{ALPN, ALPN_FIRST};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};

use crate::error::Fault;

/// The certificate authorities whose nodes a device talks to. Cheap to clone; share it.
#[derive(Clone)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// Trusts the CA certificates of a PEM text.
    pub fn from_pem(ca: &[u8]) -> Result<Self, Fault> {
        let certificates = certificates(ca)?;
        if certificates.is_empty() {
            return Err(identity("the CA text has no CERTIFICATE block"));
        }
        Self::from_der(certificates)
    }

    /// Trusts CA certificates.
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, Fault> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(identity)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(identity)?;
        Ok(Self { provider, verifier })
    }
}

/// A device's certificate and key, and whom it trusts. Cheap to clone.
///
/// The certificate carries the URI subject alternative name `pollux:<tenant>/<device>`.
#[derive(Clone)]
pub struct Identity {
    trust: Trust,
    resolver: Option<Arc<dyn ResolvesClientCert>>,
}

impl Identity {
    /// From PEM texts: the certificate (with intermediates after it), its key, the nodes' CA.
    pub fn from_pem(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Self, Fault> {
        Self::from_pem_trusting(certificate, key, &Trust::from_pem(ca)?)
    }

    /// As [`Identity::from_pem`] with a trust that many devices share.
    pub fn from_pem_trusting(certificate: &[u8], key: &[u8], trust: &Trust) -> Result<Self, Fault> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(identity)?;
        Self::from_der(chain, key, trust)
    }

    /// From DER: the certificate (with intermediates after it), its key, whom to trust.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        trust: &Trust,
    ) -> Result<Self, Fault> {
        let key = trust.provider.key_provider.load_private_key(key).map_err(identity)?;
        Self::with_key(chain, key, trust)
    }

    /// As [`Identity::from_der`] with a key that is loaded already, or lives in hardware.
    pub fn with_key(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        trust: &Trust,
    ) -> Result<Self, Fault> {
        if chain.is_empty() {
            return Err(identity("the certificate text has no CERTIFICATE block"));
        }
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(error) => return Err(identity(error)),
        }
        let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(certified));
        Ok(Self { trust: trust.clone(), resolver: Some(resolver) })
    }

    /// No certificate: for devices that prove who they are by a token.
    pub fn anonymous(trust: &Trust) -> Self {
        Self { trust: trust.clone(), resolver: None }
    }

    /// What quinn needs for one connection.
    pub fn client_config(&self) -> Result<quinn::ClientConfig, Fault> {
        self.speaking(&[ALPN, ALPN_FIRST])
    }

    /// The same for one that speaks these protocols, the first by preference.
    pub(crate) fn speaking(&self, protocols: &[&[u8]]) -> Result<quinn::ClientConfig, Fault> {
        let Trust { provider, verifier } = &self.trust;
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(identity)?
            .with_webpki_verifier(Arc::clone(verifier));
        let mut tls = match &self.resolver {
            Some(resolver) => builder.with_client_cert_resolver(Arc::clone(resolver)),
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // A hello is checked in full whether TLS resumed or not (safety rule 17), and resumption
        // buys little; tickets would cost memory for each device.
        tls.resumption = Resumption::disabled();
        tls.enable_early_data = false;
        let quic = QuicClientConfig::try_from(tls).map_err(identity)?;
        Ok(quinn::ClientConfig::new(Arc::new(quic)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.resolver.is_some()).finish()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(identity)
}

fn identity(error: impl fmt::Display) -> Fault {
    Fault::Identity(error.to_string())
}
