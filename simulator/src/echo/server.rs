//! The bare QUIC server: mutual TLS, one stream a connection, so many bytes in, so many out.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use pollux_proto::device::ALPN;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, ServerConfig, TransportConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::Sizes;
use crate::fault::Fault;
use crate::limits::{ECHO_SOCKET_BYTES, REPORT_BYTES_MAX};

/// PEM texts for the server's side of mutual TLS.
#[derive(Clone)]
pub struct ServerTls {
    /// Certificates of the server, its own first.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// The CA of the devices.
    pub device_ca: Vec<u8>,
}

/// A server endpoint with the transport parameters given, which should be those of the node that it
/// is compared with.
pub fn endpoint(
    address: SocketAddr,
    tls: &ServerTls,
    transport: Arc<TransportConfig>,
) -> Result<Endpoint, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&tls.device_ca) {
        roots.add(certificate.map_err(broken)?).map_err(broken)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(broken)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&tls.certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(broken)?;
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(broken)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.map_err(broken)?, key)
        .map_err(broken)?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(server).map_err(broken)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport);
    let socket = UdpSocket::bind(address).map_err(broken)?;
    let sizes = socket2::SockRef::from(&socket);
    let granted = sizes
        .set_recv_buffer_size(ECHO_SOCKET_BYTES)
        .and_then(|()| sizes.set_send_buffer_size(ECHO_SOCKET_BYTES));
    if let Err(error) = granted {
        tracing::debug!(%error, "the socket keeps its default buffers");
    }
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map_err(broken)
}

/// Echoes until the endpoint is closed. Takes any server endpoint, so that a node's own may be
/// compared with itself.
pub async fn serve(endpoint: Endpoint, sizes: Sizes) {
    let sizes = Sizes { up: sizes.up.clamp(1, REPORT_BYTES_MAX * 16), ..sizes };
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                echo(connection, sizes).await;
            }
        });
    }
}

async fn echo(connection: Connection, sizes: Sizes) {
    let Ok((mut send, mut recv)) = connection.accept_bi().await else { return };
    let answer = vec![7; sizes.down];
    let mut pending = 0;
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        pending += chunk.bytes.len();
        while pending >= sizes.up {
            pending -= sizes.up;
            if send.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::Echo(error.to_string())
}
