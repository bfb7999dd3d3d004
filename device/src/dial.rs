//! The UDP socket that devices share, and how a connection is made over it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    AckFrequencyConfig, Connection, ConnectionError, RecvStream, SendStream, TransportConfig,
    VarInt,
};

use crate::clock::Clock;
use crate::driver::connection_loss;
use crate::error::Fault;
use crate::limits::{
    ACK_DELAY_MS, DATAGRAM_BYTES, DIAL_MS, IDLE_TIMEOUT_MS, KEEP_ALIVE_MS, RECEIVE_WINDOW_BYTES,
    RESOLVED_MAX, SEND_WINDOW_BYTES, SOCKET_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::session::Loss;
use crate::tls::Identity;

/// What a connection may use: small by default, so that a thousand devices fit where one web page
/// does.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Something is sent when nothing was for this long, so that the way stays open.
    pub keep_alive: Option<Duration>,
    /// The connection is lost when nothing came for this long.
    pub idle_timeout: Duration,
    /// Streams that a node may open.
    pub streams_max: u32,
    /// Bytes a node may send ahead on one stream.
    pub stream_window_bytes: u32,
    /// Bytes a node may send ahead on all streams.
    pub receive_window_bytes: u32,
    /// Bytes sent and not yet acknowledged by the node's QUIC stack.
    pub send_window_bytes: u64,
    /// Whether to look for packets larger than 1,200 bytes that pass.
    pub mtu_discovery: Discovery,
}

/// Whether a connection probes the path for larger packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// No: devices send little, and probes cost packets.
    Off,
    /// Yes.
    On,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            keep_alive: Some(Duration::from_millis(KEEP_ALIVE_MS)),
            idle_timeout: Duration::from_millis(IDLE_TIMEOUT_MS),
            streams_max: STREAMS_MAX,
            stream_window_bytes: STREAM_WINDOW_BYTES,
            receive_window_bytes: RECEIVE_WINDOW_BYTES,
            send_window_bytes: SEND_WINDOW_BYTES,
            mtu_discovery: Discovery::Off,
        }
    }
}

impl Transport {
    /// As quinn wants it.
    pub fn config(&self) -> Result<TransportConfig, Fault> {
        let idle = quinn::IdleTimeout::try_from(self.idle_timeout)
            .map_err(|_| Fault::Options("idle timeout is too long".to_owned()))?;
        // The node may hold its acknowledgement of a packet back until it can go with that of the report.
        let mut acks = AckFrequencyConfig::default();
        acks.max_ack_delay(Some(Duration::from_millis(ACK_DELAY_MS)));
        let mut config = TransportConfig::default();
        config
            .keep_alive_interval(self.keep_alive)
            .max_idle_timeout(Some(idle))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(self.streams_max))
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.receive_window_bytes))
            .send_window(self.send_window_bytes)
            .datagram_receive_buffer_size(Some(DATAGRAM_BYTES))
            .ack_frequency_config(Some(acks));
        if self.mtu_discovery == Discovery::Off {
            config.mtu_discovery_config(None);
        }
        Ok(config)
    }
}

/// A UDP socket that any number of devices share. Cheap to clone; must be made within tokio.
#[derive(Clone, Debug)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    transport: Arc<TransportConfig>,
    pub(crate) clock: Clock,
}

impl Endpoint {
    /// Opens a socket on a free port, with the defaults of [`Transport`].
    pub fn open() -> Result<Self, Fault> {
        Self::bind(SocketAddr::from(([0, 0, 0, 0], 0)), &Transport::default())
    }

    /// Opens a socket on an address of this machine.
    pub fn bind(address: SocketAddr, transport: &Transport) -> Result<Self, Fault> {
        let socket = |error: std::io::Error| Fault::Socket(Arc::new(error));
        let udp = UdpSocket::bind(address).map_err(socket)?;
        // Thousands of devices behind one socket answer in bursts. The kernel caps what it grants;
        // less is no error, only more packets lost under load.
        let sizes = socket2::SockRef::from(&udp);
        let granted = sizes
            .set_recv_buffer_size(SOCKET_BYTES)
            .and_then(|()| sizes.set_send_buffer_size(SOCKET_BYTES));
        if let Err(error) = granted {
            tracing::debug!(%error, "the socket keeps its default buffers");
        }
        let config = quinn::EndpointConfig::default();
        let quinn = quinn::Endpoint::new(config, None, udp, Arc::new(quinn::TokioRuntime))
            .map_err(socket)?;
        Ok(Self { quinn, transport: Arc::new(transport.config()?), clock: Clock::start() })
    }

    /// Waits until what was closed is gone: call it before the process ends.
    pub async fn wait_idle(&self) {
        self.quinn.wait_idle().await;
    }

    /// A connection to the first address that `address` (`host:port`) stands for which answers.
    pub async fn connect(
        &self,
        address: &str,
        server_name: Option<&str>,
        identity: &Identity,
    ) -> Result<Connection, String> {
        let connected = self.dial(address, server_name, identity.client_config()).await;
        connected.map_err(|Undialled { reason, .. }| reason)
    }

    /// The same with what a protocol needs.
    pub(crate) async fn dial(
        &self,
        address: &str,
        server_name: Option<&str>,
        config: Result<quinn::ClientConfig, Fault>,
    ) -> Result<Connection, Undialled> {
        let broken = |reason: String| Undialled { error: None, reason };
        let (host, _) = address
            .rsplit_once(':')
            .ok_or_else(|| broken(format!("address {address} has no port; use host:port")))?;
        let name = server_name.unwrap_or_else(|| host.trim_matches(['[', ']']));
        let mut config = config.map_err(|error| broken(error.to_string()))?;
        config.transport_config(Arc::clone(&self.transport));
        let mut resolved: Vec<SocketAddr> = match address.parse() {
            Ok(literal) => vec![literal],
            Err(_) => tokio::net::lookup_host(address)
                .await
                .map_err(|error| broken(format!("address {address} was not found: {error}")))?
                .collect(),
        };
        let ipv4_only = self.quinn.local_addr().is_ok_and(|local| local.is_ipv4());
        resolved.retain(|to| to.is_ipv4() || !ipv4_only);
        resolved.truncate(RESOLVED_MAX);
        // Each has its share of the time that the session gives this attempt.
        let share =
            Duration::from_millis(DIAL_MS) / u32::try_from(resolved.len().max(1)).unwrap_or(1);
        let none = format!("address {address} stands for none that this socket reaches");
        let mut last = broken(none);
        for candidate in resolved {
            let connecting = match self.quinn.connect_with(config.clone(), candidate, name) {
                Ok(connecting) => connecting,
                Err(error) => {
                    last = broken(format!("{candidate}: {error}"));
                    continue;
                }
            };
            match tokio::time::timeout(share, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => {
                    let reason = format!("{candidate}: {error}");
                    last = Undialled { error: Some(error), reason };
                }
                Err(_) => last = broken(format!("{candidate} does not answer")),
            }
        }
        Err(last)
    }
}

/// Why no connection came to be.
pub(crate) struct Undialled {
    /// What QUIC said, if it came so far.
    pub(crate) error: Option<ConnectionError>,
    pub(crate) reason: String,
}

impl Undialled {
    fn loss(&self) -> Loss {
        self.error.as_ref().map_or(Loss::Broken, connection_loss)
    }
}

/// A connection with the session's stream.
pub(crate) struct Stream {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

pub(crate) async fn stream(
    endpoint: Endpoint,
    address: Arc<str>,
    server_name: Option<Arc<str>>,
    identity: Identity,
) -> Result<Stream, (Loss, String)> {
    let dialled = endpoint.dial(&address, server_name.as_deref(), identity.client_config()).await;
    let connection = dialled.map_err(|undialled| (undialled.loss(), undialled.reason))?;
    match connection.open_bi().await {
        Ok((send, recv)) => Ok(Stream { connection, send, recv }),
        Err(error) => Err((connection_loss(&error), error.to_string())),
    }
}
