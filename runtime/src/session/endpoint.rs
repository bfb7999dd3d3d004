//! The QUIC endpoint that devices dial: accepts those whose turn it is, authenticates, takes the hello,
//! and hands the session to its twin. Whose turn it is, `arrivals` and `handshakes` say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use pollux_proto::device::convert::{Hello, Received};
use pollux_proto::device::{
    CloseCode, Decoder, DeviceFrame, FrameError, Limits, NodeFrame, RefusedReason, encode,
};
use pollux_proto::status;
use pollux_twin::input::ConnectionId;
use pollux_twin::{DeviceId, Rejection, TenantId, TwinKey};
use quinn::{Connecting, Connection, ConnectionError, RecvStream, SendStream};

use super::arrivals::{Arrivals, Turn};
use super::device_session::{DeviceSession, End};
use super::handshakes::Bounds;
use super::in_flight::InFlight;
use super::intake::Intake;
use super::outbox::Outbox;
use super::rate::Rate;
use super::tls::PeerName;
use crate::clock::Clock;
use crate::limits::{HANDSHAKE_MS_MAX, HELLO_MS_MAX, LAST_WORDS_MS_MAX, SESSION_READ_BYTES};
use crate::metrics::Metrics;
use crate::router::{Attach, Door, Router};

/// What an endpoint needs to serve devices.
#[derive(Debug, Clone)]
pub(crate) struct EndpointOptions {
    /// Connections served at once; more are refused.
    pub(crate) connections_max: usize,
    /// Handshakes under way at once.
    pub(crate) handshakes: Bounds,
    /// Frames per second of one device, and how many at once.
    pub(crate) rate_per_s: u32,
    /// See `rate_per_s`.
    pub(crate) rate_burst: u32,
    /// What welcomes say.
    pub(crate) limits: Arc<Limits>,
    /// How much may be on its way at once.
    pub(crate) intake: Arc<Intake>,
}

/// The endpoint, shared by its connections.
pub(crate) struct Endpoint {
    quinn: quinn::Endpoint,
    router: Router,
    metrics: Arc<Metrics>,
    options: EndpointOptions,
    arrivals: Arc<Arrivals>,
    connections: AtomicUsize,
    next_connection: AtomicU64,
}

/// Why a connection never became a session.
enum Refusal {
    /// It broke, or was not what it should be; nobody to tell.
    Gone,
    /// The device broke the protocol.
    Protocol(FrameError),
    /// No hello in time.
    Late,
    /// Another node owns the device's shard.
    Elsewhere { address: String, epoch: (u64, u64) },
    /// A refusal in the words of the protocol.
    Refused { reason: RefusedReason, message: String, retry_after_ms: Option<u32> },
}

impl Endpoint {
    /// An endpoint over a bound socket.
    pub(crate) fn new(
        quinn: quinn::Endpoint,
        router: Router,
        metrics: Arc<Metrics>,
        clock: Clock,
        options: EndpointOptions,
    ) -> Arc<Self> {
        let arrivals = Arrivals::new(options.handshakes, clock, Arc::clone(&metrics));
        Arc::new(Self {
            quinn,
            router,
            metrics,
            options,
            arrivals,
            connections: AtomicUsize::new(0),
            next_connection: AtomicU64::new(1),
        })
    }

    /// Where devices dial.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.quinn.local_addr()
    }

    /// Accepts until the endpoint is closed.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.accept() => {}
            () = self.arrivals.feel_pulse() => {}
        }
    }

    async fn accept(self: &Arc<Self>) {
        while let Some((incoming, turn)) = self.arrivals.next(&self.quinn, || self.is_full()).await
        {
            self.connections.fetch_add(1, Ordering::Relaxed);
            // This computes the node's first flight, under a lock without which nobody's packets are
            // read: here, one in a turn, rather than by all threads at once.
            let begun = incoming.accept();
            let endpoint = Arc::clone(self);
            tokio::spawn(async move {
                if let Some(session) = Box::pin(endpoint.establish(begun, turn)).await {
                    endpoint.serve(session).await;
                }
                endpoint.connections.fetch_sub(1, Ordering::Relaxed);
            });
            tokio::task::yield_now().await;
        }
    }

    /// Whether there is no room for one more.
    fn is_full(&self) -> bool {
        self.connections.load(Ordering::Relaxed) >= self.options.connections_max
    }

    /// Whether there is no room for all that there are.
    fn is_crowded(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > self.options.connections_max
    }

    /// Refuses new connections; those there are go on.
    pub(crate) fn stop_accepting(&self) {
        self.quinn.set_server_config(None);
    }

    /// Waits until all connections are gone, then closes what is left.
    pub(crate) async fn close(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.quinn.wait_idle()).await.is_err() {
            tracing::warn!(left = self.quinn.open_connections(), "closing connections that linger");
        }
        self.quinn.close(CloseCode::Bye.code().into(), b"the node stops");
    }

    async fn serve(&self, mut session: Box<DeviceSession>) {
        self.metrics.devices_connected.inc();
        let end = session.run().await;
        if let End::Protocol(error) = &end {
            tracing::debug!(%error, peer = %session.connection.remote_address(), "session ended");
        }
        session.end(end).await;
        self.metrics.devices_connected.dec();
    }

    async fn establish(
        &self,
        begun: Result<Connecting, ConnectionError>,
        turn: Turn,
    ) -> Option<Box<DeviceSession>> {
        let connection = match shake_hands(begun).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "handshake failed");
                self.metrics.hellos_total.of("handshake_failed").inc();
                return None;
            }
        };
        // Who will be turned away keeps its turn until it is gone: there are never more of them.
        let _turn = self.is_crowded().then_some(turn);
        let hello_in_time = Duration::from_millis(HELLO_MS_MAX);
        let refusal = match tokio::time::timeout(hello_in_time, self.greet(&connection)).await {
            Ok(Ok(session)) => {
                self.metrics.hellos_total.of("welcome").inc();
                return Some(session);
            }
            Ok(Err((refusal, send))) => (refusal, send),
            Err(_) => (Refusal::Late, None),
        };
        self.turn_away(&connection, refusal.0, refusal.1).await;
        None
    }

    /// Reads the hello and attaches the device to its twin.
    async fn greet(
        &self,
        connection: &Connection,
    ) -> Result<Box<DeviceSession>, (Refusal, Option<SendStream>)> {
        let (send, mut recv) = connection.accept_bi().await.map_err(|_| (Refusal::Gone, None))?;
        let mut decoder = Decoder::for_hello();
        let attached = async {
            let hello = read_hello(&mut recv, &mut decoder).await?;
            let key = self.authenticate(connection, &hello)?;
            if self.is_crowded() {
                return Err(self.no_room());
            }
            let outbox = Arc::new(Outbox::default());
            let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
            let attach = Attach {
                key,
                connection: id,
                incarnation: hello.incarnation,
                outbox: Arc::clone(&outbox),
            };
            match self.router.attach(attach).await.map_err(refusal_of)? {
                Door::Here(twin) => Ok((outbox, twin)),
                Door::There { address, epoch } => {
                    Err(Refusal::Elsewhere { address, epoch: (epoch.term, epoch.leader) })
                }
            }
        };
        match attached.await {
            Ok((outbox, twin)) => {
                decoder.set_bytes_max(self.options.limits.frame_bytes_max as usize);
                let now_ms = twin.clock().elapsed_ms();
                Ok(Box::new(DeviceSession {
                    connection: connection.clone(),
                    send,
                    recv,
                    decoder,
                    outbox,
                    twin,
                    limits: Arc::clone(&self.options.limits),
                    metrics: Arc::clone(&self.metrics),
                    rate: Rate::new(self.options.rate_per_s, self.options.rate_burst, now_ms),
                    in_flight: InFlight::new(Arc::clone(&self.options.intake)),
                    epoch: 0,
                    datagrams: 0,
                }))
            }
            Err(refusal) => Err((refusal, Some(send))),
        }
    }

    /// The certificate names the device; the hello may only repeat it.
    fn authenticate(&self, connection: &Connection, hello: &Hello) -> Result<TwinKey, Refusal> {
        let not_you = |message: String| Refusal::Refused {
            reason: RefusedReason::NotYou,
            message,
            retry_after_ms: None,
        };
        let named = connection
            .peer_identity()
            .and_then(|name| name.downcast::<PeerName>().ok())
            .ok_or_else(|| not_you("no client certificate; connect with one".into()))?;
        let named = (*named).map_err(|reason| not_you(reason.into()))?;
        let invalid = |error: pollux_twin::id::IdError| Refusal::Refused {
            reason: RefusedReason::Invalid,
            message: error.to_string(),
            retry_after_ms: None,
        };
        let tenant = match hello.tenant.as_str() {
            "" => named.tenant(),
            tenant => tenant,
        };
        let tenant = TenantId::parse(tenant).map_err(invalid)?;
        let device = DeviceId::parse(&hello.device).map_err(invalid)?;
        let asked = TwinKey::new(&tenant, &device);
        if asked != named {
            return Err(not_you(format!(
                "certificate names {named}, but the hello names {asked}; they must be the same"
            )));
        }
        Ok(named)
    }

    fn no_room(&self) -> Refusal {
        let max = self.options.connections_max;
        Refusal::Refused {
            reason: RefusedReason::Busy,
            message: format!("node has {max} connections, as many as it may; come again later"),
            retry_after_ms: Some(self.arrivals.retry_after_ms()),
        }
    }

    /// Says why, if there is somebody to say it to, and closes.
    async fn turn_away(&self, connection: &Connection, refusal: Refusal, send: Option<SendStream>) {
        let (code, result, frame) = match refusal {
            Refusal::Gone => (CloseCode::Done, "gone", None),
            Refusal::Late => (CloseCode::HelloTimeout, "late", None),
            Refusal::Protocol(error) => {
                let frame = NodeFrame::Refused {
                    reason: RefusedReason::Invalid,
                    message: error.to_string(),
                    retry_after_ms: None,
                };
                (error.close_code(), "invalid", Some(frame))
            }
            Refusal::Elsewhere { address, epoch } => {
                (CloseCode::Moved, "redirect", Some(NodeFrame::Redirect { address, epoch }))
            }
            Refusal::Refused { reason, message, retry_after_ms } => {
                tracing::debug!(?reason, message, peer = %connection.remote_address(), "refused");
                let frame = NodeFrame::Refused { reason, message, retry_after_ms };
                let result = result_of(reason);
                (CloseCode::Refused, result, Some(frame))
            }
        };
        self.metrics.hellos_total.of(result).inc();
        if let (Some(frame), Some(mut send)) = (&frame, send) {
            let mut bytes = BytesMut::new();
            if encode(frame, &mut bytes).is_ok() && send.write_all(&bytes).await.is_ok() {
                let _ = send.finish();
                let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
                let _ = tokio::time::timeout(patience, send.stopped()).await;
            }
        }
        let reason = match frame {
            Some(NodeFrame::Refused { message, .. }) => message,
            _ => String::new(),
        };
        connection.close(code.code().into(), reason.as_bytes());
    }
}

/// The rest of a handshake, if it does not take too long.
async fn shake_hands(
    begun: Result<Connecting, ConnectionError>,
) -> Result<Connection, ConnectionError> {
    let patience = Duration::from_millis(HANDSHAKE_MS_MAX);
    tokio::time::timeout(patience, begun?).await.unwrap_or(Err(ConnectionError::TimedOut))
}

/// A refusal, as the metrics name it.
const fn result_of(reason: RefusedReason) -> &'static str {
    match reason {
        RefusedReason::NotYou => "not_you",
        RefusedReason::NotAllowed => "not_allowed",
        RefusedReason::Busy => "busy",
        RefusedReason::Invalid => "invalid",
    }
}

fn refusal_of(rejection: Rejection) -> Refusal {
    let row = status::row(&rejection);
    Refusal::Refused {
        reason: row.refused,
        message: status::message(&rejection),
        retry_after_ms: row.retry_after_ms,
    }
}

async fn read_hello(
    recv: &mut RecvStream,
    decoder: &mut Decoder<DeviceFrame>,
) -> Result<Hello, Refusal> {
    loop {
        if let Some(frame) = decoder.poll().map_err(Refusal::Protocol)? {
            return match Received::from(frame) {
                Received::Hello(hello) => Ok(hello),
                _ => Err(Refusal::Protocol(FrameError::Unexpected {
                    found: "frame before the hello",
                    expected: "a hello as the first frame",
                })),
            };
        }
        match recv.read_chunk(SESSION_READ_BYTES, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) => {
                decoder.finish().map_err(Refusal::Protocol)?;
                return Err(Refusal::Gone);
            }
            Err(_) => return Err(Refusal::Gone),
        }
    }
}
