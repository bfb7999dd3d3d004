//! A device that says what it likes: any bytes, over a real QUIC connection of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::BytesMut;
use pollux_cluster::{NodeId, Uuid};
use pollux_proto::device::{Decoder, DeviceFrame, NodeFrame, encode};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

/// Longest wait for one answer, on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection with the stream of a session.
pub struct Raw {
    // The connections of an endpoint end with it.
    _endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder<NodeFrame>,
}

/// How a connection was ended by the node.
#[derive(Debug)]
pub struct Ended {
    /// The frames that came before.
    pub frames: Vec<NodeFrame>,
    /// What QUIC said.
    pub error: ConnectionError,
}

impl Ended {
    /// The application's code and its reason, if the node closed with one.
    pub fn close(&self) -> Option<(u64, String)> {
        match &self.error {
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                Some((close.error_code.into_inner(), reason))
            }
            _ => None,
        }
    }
}

impl Raw {
    /// Connects and opens the stream. Where the node refuses the handshake, that may be noticed
    /// here or at the first read.
    pub async fn connect(address: &str, config: ClientConfig) -> Result<Self, ConnectionError> {
        let address: SocketAddr = address.parse().expect("a node says where it listens");
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint::client(here).expect("loopback has free ports");
        let connecting = endpoint.connect_with(config, address, "localhost");
        let connection = connecting.expect("the address and the name are good").await?;
        let (send, recv) = connection.open_bi().await?;
        Ok(Self { _endpoint: endpoint, connection, send, recv, decoder: Decoder::new() })
    }

    /// The certificate that the node showed.
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        let chain = self.connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>();
        chain.ok()?.first().cloned()
    }

    /// Sends bytes as they are; a node that has closed already does not read them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(ANSWER, self.send.write_all(bytes)).await.context("nobody reads")??;
        Ok(())
    }

    /// Ends the stream from this side.
    pub fn finish(&mut self) -> Result<()> {
        Ok(self.send.finish()?)
    }

    /// Sends a frame.
    pub async fn say(&mut self, frame: &DeviceFrame) -> Result<()> {
        self.write(&bytes_of(frame)).await
    }

    /// Sends a datagram.
    pub fn datagram(&self, bytes: &[u8]) -> Result<()> {
        Ok(self.connection.send_datagram(bytes.to_vec().into())?)
    }

    /// Says hello as `device` and waits for the welcome: the session's epoch.
    pub async fn hello(&mut self, device: &str) -> Result<u64> {
        self.hello_of("", device).await
    }

    /// The same as a device of a tenant.
    pub async fn hello_of(&mut self, tenant: &str, device: &str) -> Result<u64> {
        let tenant = tenant.to_owned();
        let (device, incarnation, token) = (device.to_owned(), 7, None);
        self.say(&DeviceFrame::Hello { tenant, device, incarnation, token }).await?;
        match self.frame().await? {
            NodeFrame::Welcome { session, .. } => Ok(session),
            other => bail!("no welcome but {other:?}"),
        }
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Result<NodeFrame> {
        let frame = timeout(ANSWER, self.next()).await.context("no answer")?;
        frame?.ok_or_else(|| anyhow!("the node ended the stream"))
    }

    /// Waits until the node has closed the connection.
    pub async fn ended(mut self) -> Result<Ended> {
        let ended = async {
            let mut frames = Vec::new();
            while let Ok(Some(frame)) = self.next().await {
                frames.push(frame);
            }
            Ended { frames, error: self.connection.closed().await }
        };
        timeout(ANSWER, ended).await.context("the node keeps the connection")
    }

    async fn next(&mut self) -> Result<Option<NodeFrame>> {
        loop {
            if let Some(frame) = self.decoder.poll()? {
                return Ok(Some(frame));
            }
            match self.recv.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => self.decoder.push(&chunk.bytes),
                None => return Ok(None),
            }
        }
    }
}

/// A hello of a device of the default tenant.
pub fn hello(device: &str) -> DeviceFrame {
    DeviceFrame::Hello {
        tenant: String::new(),
        device: device.to_owned(),
        incarnation: 7,
        token: None,
    }
}

/// A frame as it travels.
pub fn bytes_of(frame: &DeviceFrame) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode(frame, &mut bytes).expect("a frame that may be sent");
    bytes.to_vec()
}

/// A frame of the first words between nodes, as it travels.
pub fn words<F: pollux_proto::device::framing::Frame>(frame: &F) -> Result<Vec<u8>> {
    let mut bytes = BytesMut::new();
    encode(frame, &mut bytes)?;
    Ok(bytes.to_vec())
}

/// What node `node` of a cluster needs to dial another one, for any ALPN name: a certificate of the
/// cluster's own CA, whose key lies in this data directory.
pub fn peer_client(data: &Path, cluster: u128, node: u64, alpn: &[u8]) -> Result<ClientConfig> {
    let now = Clock::new().wall();
    let authority = pki::cluster_authority(&data.join(pki::PKI_DIR), now)?;
    let identity = authority.issue_node(Uuid(cluster), NodeId(node), now, 1)?;
    trusting([authority.certificate().clone()], Some(&identity), alpn)
}

/// Dials a node's endpoint for peers, says these bytes on a stream, and listens until the node ends it.
pub async fn say(address: &str, config: ClientConfig, bytes: &[u8]) -> Result<Vec<u8>> {
    // The name that nodes go by among each other.
    say_to(address, "node.pollux.internal", config, bytes).await
}

/// The same at any endpoint of a node, by the name that it shows there.
pub async fn say_to(
    address: &str,
    name: &str,
    config: ClientConfig,
    bytes: &[u8],
) -> Result<Vec<u8>> {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = Endpoint::client(here)?;
    let connecting = endpoint.connect_with(config, address.parse()?, name)?;
    let Ok(connection) = connecting.await else { return Ok(Vec::new()) };
    let heard = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(bytes).await?;
        send.finish()?;
        let mut heard = Vec::new();
        // However it ends, it ends.
        while let Ok(Some(chunk)) = recv.read_chunk(READ_BYTES, true).await {
            heard.extend_from_slice(&chunk.bytes);
        }
        anyhow::Ok(heard)
    };
    let heard = timeout(ANSWER, heard).await.context("the node keeps the stream")?;
    Ok(heard.unwrap_or_default())
}

/// What a client needs to connect, for any ALPN name and any certificate or none.
pub(super) fn client(
    trust: &[u8],
    identity: Option<&pki::Identity>,
    alpn: &[u8],
) -> Result<ClientConfig> {
    use rustls::pki_types::pem::PemObject;

    let trust = CertificateDer::pem_slice_iter(trust).collect::<Result<Vec<_>, _>>()?;
    trusting(trust, identity, alpn)
}

/// What a client needs to connect that trusts these, for any ALPN name and any certificate or none.
pub fn trusting(
    trust: impl IntoIterator<Item = CertificateDer<'static>>,
    identity: Option<&pki::Identity>,
    alpn: &[u8],
) -> Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in trust {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut tls = match identity {
        Some(identity) => {
            builder.with_client_auth_cert(identity.chain().to_vec(), identity.key().clone_key())?
        }
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    Ok(ClientConfig::new(Arc::new(quic)))
}
