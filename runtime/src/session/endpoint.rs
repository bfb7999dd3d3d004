//! The QUIC endpoint that devices dial: accepts those whose turn it is, authenticates, takes the hello,
//! and hands the session to its twin. Whose turn it is, `arrivals` and `handshakes` say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pollux_proto::device::{CloseCode, Decoder, DeviceFrame, Limits};
use pollux_twin::input::ConnectionId;
use pollux_twin::registration::Shown;
use pollux_twin::{Rejection, TwinKey};
use quinn::{Connecting, Connection, ConnectionError, SendStream};

use super::arrivals::{Arrivals, Turn};
use super::device_session::{DeviceSession, End};
use super::downloads::Downloads;
use super::handshakes::Bounds;
use super::hello::{self, FirstWords, Refusal};
use super::in_flight::InFlight;
use super::intake::Intake;
use super::line::{Line, QuicLine};
use super::outbox::Outbox;
use super::pushes::Pushes;
use super::rate::Rate;
use super::relay::{NotRelayed, Passage, Relaying, Relays, Way};
use super::tls::Claimant;
use crate::artifacts::Depot;
use crate::clock::Clock;
use crate::limits::{HANDSHAKE_MS_MAX, HELLO_MS_MAX, OWNER_WAIT_MS_MAX, RELAY_RETRY_MS};
use crate::metrics::Metrics;
use crate::router::{Attach, Attached, Door, Elsewhere, Router};
use crate::service::Enrolling;

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
    /// How many devices are told at once what they will answer.
    pub(crate) pushes: Pushes,
    /// Whether devices are relayed that cannot dial their owner.
    pub(crate) relaying: Relaying,
}

/// The endpoint, shared by its connections.
pub(crate) struct Endpoint {
    quinn: quinn::Endpoint,
    pub(super) router: Router,
    depot: Depot,
    pub(super) enrolling: Enrolling,
    pub(super) metrics: Arc<Metrics>,
    options: EndpointOptions,
    arrivals: Arc<Arrivals>,
    relays: Arc<Relays>,
    connections: AtomicUsize,
    next_connection: AtomicU64,
}

/// What becomes of a device that has said hello.
enum Greeted {
    /// Its session is here.
    Here(Box<DeviceSession<QuicLine>>),
    /// Its session is on another node, to which it is relayed.
    There(Box<Passage>),
}

/// The way that was found for it.
enum Found {
    Here(Attached),
    There(Way),
}

/// A device that counts among the connections, until this is dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Endpoint {
    /// An endpoint over a bound socket.
    pub(crate) fn new(
        quinn: quinn::Endpoint,
        (router, depot, enrolling): (Router, Depot, Enrolling),
        metrics: Arc<Metrics>,
        clock: Clock,
        options: EndpointOptions,
    ) -> Arc<Self> {
        let arrivals = Arrivals::new(options.handshakes, clock, Arc::clone(&metrics));
        let relays = Relays::new(options.relaying, Arc::clone(&metrics));
        Arc::new(Self {
            quinn,
            router,
            depot,
            enrolling,
            metrics,
            options,
            arrivals,
            relays,
            connections: AtomicUsize::new(0),
            next_connection: AtomicU64::new(1),
        })
    }

    /// Where devices dial.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.quinn.local_addr()
    }

    /// The devices that it relays.
    pub(crate) fn relays(&self) -> &Relays {
        &self.relays
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
                match Box::pin(endpoint.establish(begun, turn)).await {
                    Some(Greeted::Here(session)) => endpoint.serve(session).await,
                    Some(Greeted::There(passage)) => {
                        Box::pin(passage.run(endpoint.router.stopping())).await;
                    }
                    None => {}
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

    /// Counts a device that came by another way.
    pub(super) fn count(&self) -> Counted<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(&self.connections)
    }

    /// Whether there is no room for all that there are.
    pub(super) fn is_crowded(&self) -> bool {
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

    pub(super) async fn serve<L: Line>(&self, mut session: Box<DeviceSession<L>>) {
        self.metrics.devices_connected.inc();
        let end = session.run().await;
        if let End::Protocol(error) = &end {
            tracing::debug!(%error, peer = session.line.peer(), "session ended");
        }
        session.end(end).await;
        self.metrics.devices_connected.dec();
    }

    async fn establish(
        &self,
        begun: Result<Connecting, ConnectionError>,
        turn: Turn,
    ) -> Option<Greeted> {
        let connection = match shake_hands(begun).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "handshake failed");
                self.metrics.hellos_total.of("handshake_failed").inc();
                return None;
            }
        };
        if let Some(claimant) = Claimant::of(&connection) {
            Box::pin(self.enrol(&connection, &claimant)).await;
            return None;
        }
        // Who will be turned away keeps its turn until it is gone: there are never more of them.
        let _turn = self.is_crowded().then_some(turn);
        let hello_in_time = Duration::from_millis(HELLO_MS_MAX);
        let refusal = match tokio::time::timeout(hello_in_time, self.greet(&connection)).await {
            Ok(Ok(greeted)) => {
                // Here the twin has the last word, which the session tells.
                if matches!(greeted, Greeted::There(_)) {
                    self.metrics.hellos_total.of("relayed").inc();
                }
                return Some(greeted);
            }
            Ok(Err((refusal, send))) => (refusal, send),
            Err(_) => (Refusal::Late, None),
        };
        let (code, result, frame) = refusal.0.told();
        self.metrics.hellos_total.of(result).inc();
        hello::turn_away(&connection, (code, frame), refusal.1).await;
        None
    }

    /// Reads the hello and attaches the device to its twin.
    async fn greet(
        &self,
        connection: &Connection,
    ) -> Result<Greeted, (Refusal, Option<SendStream>)> {
        // Who made a connection ahead of a move says nothing for long.
        let stopping = self.router.stopping();
        let opened = tokio::select! {
            opened = connection.accept_bi() => opened.map_err(|_| Refusal::Gone),
            () = stopping.cancelled() => Err(Refusal::Stopping),
        };
        let (send, mut recv) = opened.map_err(|refusal| (refusal, None))?;
        let mut decoder = Decoder::for_hello();
        let found = async {
            let FirstWords { hello, unreachable } = tokio::select! {
                words = hello::read(&mut recv, &mut decoder) => words?,
                () = stopping.cancelled() => return Err(Refusal::Stopping),
            };
            let (key, shown) = hello::authenticate(connection, &hello)?;
            if self.is_crowded() {
                return Err(self.no_room());
            }
            let downloads = Downloads::new(&self.depot, &self.metrics, key.tenant());
            let attach = self.attach(key, hello.incarnation, shown);
            let outbox = Arc::clone(&attach.outbox);
            let found = self.find_way(attach, &unreachable, connection).await?;
            Ok((found, outbox, downloads))
        };
        match found.await {
            Ok((Found::Here(twin), outbox, downloads)) => {
                let connection = connection.clone();
                let line = QuicLine { connection, send, recv, downloads, welcomed: false };
                Ok(Greeted::Here(Box::new(self.session(line, decoder, outbox, twin))))
            }
            Ok((Found::There(way), _, downloads)) => {
                let rest = decoder.into_rest();
                let connection = (connection.clone(), downloads);
                let passage = Passage::new(connection, (send, recv), rest, way);
                Ok(Greeted::There(Box::new(passage)))
            }
            Err(refusal) => Err((refusal, Some(send))),
        }
    }

    /// Finds the owner of a device's shard. If that is another node the device goes there by itself, unless
    /// it says that it cannot.
    async fn find_way(
        &self,
        attach: Attach,
        unreachable: &[String],
        connection: &Connection,
    ) -> Result<Found, Refusal> {
        let clock = self.router.clock();
        let end = clock.elapsed() + Duration::from_millis(OWNER_WAIT_MS_MAX);
        while clock.elapsed() < end {
            let Elsewhere { node, address, epoch } = match self.router.attach(&attach).await? {
                Door::Here(twin) => return Ok(Found::Here(twin)),
                Door::There(elsewhere) => elsewhere,
            };
            // What says nothing of the credential cannot speak for a token.
            let tells = matches!(attach.shown, Shown::Certificate(_));
            let relays = self.relays.relaying() == Relaying::On && tells;
            let asked = relays && unreachable.contains(&address);
            let redirect = Refusal::Elsewhere { address, epoch: (epoch.term, epoch.leader) };
            if !asked {
                return Err(redirect);
            }
            let device = (&attach.key, attach.incarnation, connection.remote_address().to_string());
            let begun = tokio::select! {
                begun = self.relays.begin(self.router.forward(), node, device) => begun,
                // A node that was lost says nothing, and an election ends before that is noticed.
                () = self.router.owned_elsewhere(&attach.key, node) => continue,
            };
            match begun {
                Ok(way) => return Ok(Found::There(way)),
                Err(NotRelayed::Unknown) => return Err(redirect),
                Err(NotRelayed::Full) => {
                    let message = "node relays as many devices as it may; come again later";
                    return Err(Refusal::busy(message.into(), RELAY_RETRY_MS));
                }
                Err(NotRelayed::NotThere) => self.router.look_for_owner(&attach.key, node).await,
            }
        }
        Err(Rejection::NotOwner.into())
    }

    pub(super) fn attach(&self, key: TwinKey, incarnation: u64, shown: Shown) -> Attach {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        Attach { key, connection, incarnation, shown, outbox: Arc::new(Outbox::default()) }
    }

    pub(super) fn session<L: Line>(
        &self,
        line: L,
        mut decoder: Decoder<DeviceFrame>,
        outbox: Arc<Outbox>,
        twin: Attached,
    ) -> DeviceSession<L> {
        decoder.set_bytes_max(self.options.limits.frame_bytes_max as usize);
        let now_ms = twin.clock().elapsed_ms();
        DeviceSession {
            line,
            decoder,
            outbox,
            twin,
            limits: Arc::clone(&self.options.limits),
            metrics: Arc::clone(&self.metrics),
            rate: Rate::new(self.options.rate_per_s, self.options.rate_burst, now_ms),
            in_flight: InFlight::new(Arc::clone(&self.options.intake)),
            pushes: self.options.pushes.of_session(),
            epoch: 0,
            datagrams: 0,
        }
    }

    pub(super) fn no_room(&self) -> Refusal {
        let max = self.options.connections_max;
        let message = format!("node has {max} connections, as many as it may; come again later");
        Refusal::busy(message, self.arrivals.retry_after_ms())
    }
}

/// The rest of a handshake, if it does not take too long.
async fn shake_hands(
    begun: Result<Connecting, ConnectionError>,
) -> Result<Connection, ConnectionError> {
    let patience = Duration::from_millis(HANDSHAKE_MS_MAX);
    tokio::time::timeout(patience, begun?).await.unwrap_or(Err(ConnectionError::TimedOut))
}
