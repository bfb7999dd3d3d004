//! TLS between nodes. Owns both sides' configuration, whom a certificate names, and the fingerprint by
//! which a joining node knows the cluster; leaves making certificates to the runtime.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::peer::{ALPN, JOIN_ALPN, parse_node_uri};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{Connection, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::tls13::OkmBlock;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme, version,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::fault::Fault;
use crate::limits::{
    PEER_IDLE_MS_MAX, PEER_INITIAL_RTT_MS, PEER_KEEP_ALIVE_MS, PEER_LANES, PEER_RECEIVE_BYTES_MAX,
    PEER_SEND_BYTES_MAX, PEER_STREAM_BYTES_MAX,
};

/// What a node dials by: the name says nothing, its certificate's URI does.
pub(super) const SERVER_NAME: &str = "node.pollux.internal";

/// A node's certificate, and those whose certificates it trusts.
pub struct PeerTls {
    /// Certificates of the cluster's CAs: more than one while one replaces another.
    pub roots: Vec<CertificateDer<'static>>,
    /// The node's certificate first, its CA's last: a joining node looks for the CA's there.
    ///
    /// The node's own must name it by the one URI subject alternative name
    /// [`node_uri`](pollux_proto::peer::node_uri), and be good for servers and clients.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the node's certificate.
    pub key: PrivateKeyDer<'static>,
}

/// SHA-256, as TLS brings it: what is kept of secrets, and what certificates are known by.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("it is a suite of TLS 1.3");
    let hash = suite.common.hash_provider.hash(bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// HMAC-SHA256, as TLS brings it.
#[must_use]
pub fn hmac_sha256(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("it is a suite of TLS 1.3");
    let tag = suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), bytes);
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// SHA-256 of a certificate, by which a joining node knows the cluster's CA.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    sha256(certificate)
}

fn wrong(fault: impl std::fmt::Display) -> Fault {
    Fault::Peers(format!("tls between nodes: {fault}"))
}

fn store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(wrong)?;
    }
    Ok(store)
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_LANES))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(PEER_STREAM_BYTES_MAX))
        .receive_window(VarInt::from_u32(PEER_RECEIVE_BYTES_MAX))
        .send_window(PEER_SEND_BYTES_MAX)
        .datagram_receive_buffer_size(None)
        .initial_rtt(Duration::from_millis(PEER_INITIAL_RTT_MS))
        .keep_alive_interval(Some(Duration::from_millis(PEER_KEEP_ALIVE_MS)))
        .max_idle_timeout(Some(VarInt::from_u32(PEER_IDLE_MS_MAX).into()));
    Arc::new(transport)
}

/// For being dialled. A certificate is not asked for by TLS itself, since a joining node has none; who
/// speaks as a peer must show one, which is checked right after the handshake.
pub(super) fn server_config(tls: &PeerTls) -> Result<quinn::ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(store(&tls.roots)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(wrong)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(wrong)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(tls.chain.clone(), tls.key.clone_key())
        .map_err(wrong)?;
    config.alpn_protocols = vec![ALPN.to_vec(), JOIN_ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    let config = QuicServerConfig::try_from(config).map_err(wrong)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(config));
    config.transport_config(transport()).migration(false);
    Ok(config)
}

/// For dialling.
pub(super) fn client_config(tls: &PeerTls) -> Result<quinn::ClientConfig, Fault> {
    let roots = Trust::Roots(store(&tls.roots)?);
    let config = client_builder(roots)?
        .with_client_auth_cert(tls.chain.clone(), tls.key.clone_key())
        .map_err(wrong)?;
    finish(config, ALPN)
}

/// For joining: without a certificate, and the cluster known by its CA's fingerprint alone.
pub(super) fn join_config(ca: [u8; 32]) -> Result<quinn::ClientConfig, Fault> {
    anonymous_config(ca, JOIN_ALPN)
}

/// For dialling without a certificate. Tests dial with the peers' protocol as well.
pub(super) fn anonymous_config(ca: [u8; 32], alpn: &[u8]) -> Result<quinn::ClientConfig, Fault> {
    finish(client_builder(Trust::Pinned(ca))?.with_no_client_auth(), alpn)
}

fn client_builder(
    trust: Trust,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(NodeVerifier { trust, provider: Arc::clone(&provider) });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn finish(mut config: ClientConfig, alpn: &[u8]) -> Result<quinn::ClientConfig, Fault> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    let config = QuicClientConfig::try_from(config).map_err(wrong)?;
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    config.transport_config(transport());
    Ok(config)
}

/// Whose certificates are good.
#[derive(Debug)]
enum Trust {
    Roots(RootCertStore),
    /// A CA with this fingerprint, which is among the certificates shown.
    Pinned([u8; 32]),
}

/// Checks a dialled node's chain, dates and purpose. Whom it names is no host: `named` reads that after
/// the handshake, on both sides alike.
#[derive(Debug)]
struct NodeVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned;
        let roots = match &self.trust {
            Trust::Roots(roots) => roots,
            Trust::Pinned(ca) => {
                let found = intermediates.iter().find(|one| fingerprint(one) == *ca);
                let found =
                    found.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(found.clone().into_owned())?;
                pinned = roots;
                &pinned
            }
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nodes speak tls 1.3 only".into()))
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

/// Whether a connection was made for joining.
pub(super) fn is_join(connection: &Connection) -> bool {
    let agreed = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    agreed.is_some_and(|data| data.protocol.as_deref() == Some(JOIN_ALPN))
}

/// The cluster and the node that the other side's certificate names; TLS has checked its chain.
pub(super) fn named(connection: &Connection) -> Result<(u128, u64), String> {
    let shown = connection.peer_identity();
    let shown = shown.and_then(|chain| chain.downcast::<Vec<CertificateDer<'_>>>().ok());
    let first = shown.as_ref().and_then(|chain| chain.first());
    name_of(first.ok_or("no certificate; a node should show one of the cluster's CA")?)
}

/// The cluster and the node that a certificate names.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> Result<(u128, u64), String> {
    let unreadable = |fault: &dyn std::fmt::Display| format!("a certificate that has {fault}");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| unreadable(&e))?;
    let names = parsed.subject_alternative_name().map_err(|e| unreadable(&e))?;
    let mut uris =
        names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => parse_node_uri(uri)
            .ok_or_else(|| "a certificate for something else; a node's should name it".into()),
        _ => Err("a certificate that should have one uri as its name".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_fips_180() {
        let digest = sha256(b"abc");
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(digest[28..], [0xf2, 0x00, 0x15, 0xad]);
    }
}
