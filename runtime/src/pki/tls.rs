//! The rustls side of the endpoints for devices and services. quinn wraps the former; sessions ask it for the
//! peer's certificate.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pollux_proto::device::enrolment::ENROL_ALPN;
use pollux_proto::device::{ALPN, ALPN_FIRST};
use pollux_twin::Time;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CipherSuite, RootCertStore, ServerConfig, version};

use super::authority::Identity;
use super::claims::Unjudged;
use super::error::PkiError;
use super::expiry::unfit;
use super::known::KnownCertificates;

/// Session tickets sent after a handshake. None: resuming saves a QUIC server next to nothing
/// beside the two round trips that it does not save, and every ticket kept costs memory per device.
const TICKETS: usize = 0;

/// Whether a device must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It must; a connection without one fails in its handshake.
    Required,
    /// It may also prove itself by a token in its hello.
    Optional,
}

pub(super) fn server_config(
    device_roots: &[CertificateDer<'static>],
    server: &Identity,
    auth: ClientAuth,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut roots = RootCertStore::empty();
    for root in device_roots {
        roots.add(root.clone()).map_err(tls)?;
    }
    let provider = Arc::new(device_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = KnownCertificates::new(verifier.build().map_err(tls)?);
    endpoint_config(provider, verifier, server, &[ALPN, ALPN_FIRST])
}

/// The same endpoint for who is no device yet: whatever certificate is shown, an enrolment judges it.
pub(super) fn enrol_config(server: &Identity) -> Result<Arc<ServerConfig>, PkiError> {
    let asks = Arc::new(AtomicBool::new(true));
    endpoint_config(Arc::new(device_provider()), Unjudged::new(asks), server, &[ENROL_ALPN])
}

fn endpoint_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    server: &Identity,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(server.chain().to_vec(), server.key().clone_key())
        .map_err(tls)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = true;
    config.max_early_data_size = 0;
    config.send_tls13_tickets = TICKETS;
    Ok(Arc::new(config))
}

/// AES-128 first: its handshake hashes with SHA-256, which processors do in hardware, and not with
/// SHA-384.
fn device_provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let first = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != first);
    provider
}

/// TLS for services. Client certificates are asked for while that is set, and say nothing of who calls.
pub(super) fn service_config(
    identity: &Identity,
    protocols: &[&[u8]],
    asks: &Arc<AtomicBool>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(Unjudged::new(Arc::clone(asks)))
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
        .map_err(tls)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Whether what an endpoint shows is valid now.
pub(super) fn fit(identity: &Identity, now: Time) -> Result<(), PkiError> {
    let mut unfit = identity.chain().iter().map(|one| unfit(one, now));
    match unfit.find_map(Result::transpose) {
        None => Ok(()),
        Some(why) => Err(tls(format_args!("a certificate of the chain: {}", why?))),
    }
}

/// Whether one of these CAs at least is valid now.
pub(super) fn some_fit(roots: &[CertificateDer<'static>], now: Time) -> Result<(), PkiError> {
    for root in roots {
        if unfit(root, now)?.is_none() {
            return Ok(());
        }
    }
    Err(tls("of the CAs that should sign devices' certificates, all of them have ended"))
}

fn tls(error: impl std::fmt::Display) -> PkiError {
    PkiError::Tls(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::config::Layers;
    use crate::pki::{Authority, Pki, device_authority, device_name_of, server_authority};
    use pollux_twin::TwinKey;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, ServerConnection};

    #[expect(clippy::disallowed_methods, reason = "rustls checks dates against the real clock")]
    fn now() -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Time::from_ms(since.as_secs() * 1000)
    }

    struct Place {
        dir: tempfile::TempDir,
        pki: Pki,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let config = Layers::new().flag("data_dir", Some(path), "--data-dir").check().unwrap();
        let pki = Pki::open(&config, now()).unwrap();
        Place { dir, pki }
    }

    fn shake(place: &Place, auth: ClientAuth, client: Option<&Identity>) -> Result<(), String> {
        let dir = place.dir.path().join("pki");
        let mut roots = RootCertStore::empty();
        roots.add(server_authority(&dir, now()).unwrap().certificate().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(id) => {
                builder.with_client_auth_cert(id.chain().to_vec(), id.key().clone_key()).unwrap()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(place.pki.server_config(auth).unwrap()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().map_err(|e| e.to_string())?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().map_err(|e| e.to_string())?;
        }
        if let Some(chain) = server.peer_certificates() {
            assert_eq!(device_name_of(&chain[0]).unwrap().as_str(), "acme/pump");
        }
        assert_eq!(server.alpn_protocol(), Some(ALPN));
        Ok(())
    }

    fn pump() -> TwinKey {
        TwinKey::parse("acme/pump").unwrap()
    }

    #[test]
    fn a_device_of_the_own_ca_is_known_by_its_name() {
        let place = place();
        let ca = device_authority(&place.dir.path().join("pki"), now()).unwrap();
        let identity = ca.issue_device(&pump(), now(), 1).unwrap();
        shake(&place, ClientAuth::Required, Some(&identity)).unwrap();
    }

    #[test]
    fn other_cas_and_other_times_are_refused() {
        let place = place();
        let elsewhere = tempfile::tempdir().unwrap();
        let other =
            Authority::open_or_make(elsewhere.path(), "ca", "Pollux device CA", now(), 9).unwrap();
        let identity = other.issue_device(&pump(), now(), 1).unwrap();
        shake(&place, ClientAuth::Required, Some(&identity)).expect_err("another CA");

        let ca = device_authority(&place.dir.path().join("pki"), now()).unwrap();
        let year = Duration::from_secs(365 * 24 * 3600);
        let long_ago = Time::from_ms(now().ms - u64::try_from(year.as_millis()).unwrap());
        let identity = ca.issue_device(&pump(), long_ago, 1).unwrap();
        let error = shake(&place, ClientAuth::Required, Some(&identity)).expect_err("expired");
        assert!(error.contains("expired"), "{error}");
    }

    #[test]
    fn no_certificate_is_refused_unless_tokens_may_do() {
        let place = place();
        shake(&place, ClientAuth::Required, None).expect_err("no certificate");
        shake(&place, ClientAuth::Optional, None).unwrap();
    }
}
