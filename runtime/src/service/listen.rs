//! A door's sockets: bounded connections, TLS if there is a certificate, and one kind of stream
//! that both axum and tonic serve.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::serve::IncomingStream;
use futures_util::{Stream, StreamExt};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::limits::{
    ACCEPT_RETRY, ACCEPTED_MAX, CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HANDSHAKES_MAX, PROBE_PERIOD,
};
use super::turn::Turn;
use crate::Fault;
use crate::pki::LiveTls;

/// A door: where it listens, and its connections.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
}

impl Listener {
    /// Listens until the node stops; `what` and `flag` name the door where that fails.
    pub(super) async fn bind(
        address: SocketAddr,
        (what, flag): (&'static str, &'static str),
        tls: Option<Arc<LiveTls>>,
        stopping: CancellationToken,
    ) -> Result<Self, Fault> {
        let fault = |source| Fault::Listen { address, what, flag, source };
        let socket = TcpListener::bind(address).await.map_err(fault)?;
        let address = socket.local_addr().map_err(fault)?;
        let (sender, connections) = mpsc::channel(ACCEPTED_MAX);
        let accept = Accept { socket, tls, sender };
        tokio::spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = accept.run() => {}
            }
        });
        Ok(Self { address, connections })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections, as tonic takes them.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        ReceiverStream::new(self.connections).map(Ok)
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => {
                let peer = connection.peer;
                (connection, peer)
            }
            // The node stops, and the server is told so by its own signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

struct Accept {
    socket: TcpListener,
    tls: Option<Arc<LiveTls>>,
    sender: mpsc::Sender<Connection>,
}

impl Accept {
    async fn run(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            tune(&stream);
            let Some(tls) = self.tls.as_ref().map(|live| TlsAcceptor::from(live.now())) else {
                let io = Io::Plain(stream);
                if self.sender.send(Connection::new(io, peer, permit)).await.is_err() {
                    return;
                }
                continue;
            };
            let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { return };
            let sender = self.sender.clone();
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        drop(turn);
                        let io = Io::Tls(Box::new(stream));
                        // Nobody takes it where the node stops.
                        let _ = sender.send(Connection::new(io, peer, permit)).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                }
            });
        }
    }
}

fn tune(stream: &TcpStream) {
    // Answers are small and waited for. Neither setting is worth losing a connection over.
    let _ = stream.set_nodelay(true);
    let probe = TcpKeepalive::new().with_time(PROBE_PERIOD).with_interval(PROBE_PERIOD);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probe);
}

/// An accepted connection; its place is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    io: Io,
    turn: Turn,
    peer: SocketAddr,
    shown: Shown,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The certificates that it showed, whose key it has; by whom they are nobody has looked.
    pub(super) shown: Shown,
}

/// A chain of certificates; empty where none was shown.
pub(super) type Shown = Arc<[CertificateDer<'static>]>;

impl Connection {
    fn new(io: Io, peer: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        let shown = match &io {
            Io::Plain(_) => Arc::default(),
            Io::Tls(stream) => {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                chain.iter().map(|one| one.clone().into_owned()).collect()
            }
        };
        Self { io, turn: Turn::default(), peer, shown, _permit: permit }
    }
}

impl Connection {
    fn who(&self) -> Peer {
        Peer { address: self.peer, shown: Arc::clone(&self.shown) }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.who()
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().who()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.turn.poll(cx));
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.turn.poll(cx));
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.turn.over();
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
