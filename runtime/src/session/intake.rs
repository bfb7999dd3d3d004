//! How much of what devices say may be on its way to the log at once. While that is much, the socket
//! is read only now and then, so that what waits, waits in the kernel: what has not been read needs no
//! QUIC acknowledgement yet, which then goes in one packet with the twin's answer.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Sleep;

use crate::limits::{INTAKE_PAUSE_MS_MAX, ON_THE_WAY_PER_CORE_MAX};

/// Counts numbered messages that wait for their answers, of all sessions of an endpoint.
#[derive(Debug)]
pub(crate) struct Intake {
    on_the_way: AtomicUsize,
    max: usize,
    reader: AtomicWaker,
}

impl Intake {
    /// For a machine with so many cores.
    pub(crate) fn new(cores: usize) -> Arc<Self> {
        let max = cores.saturating_mul(ON_THE_WAY_PER_CORE_MAX);
        Arc::new(Self { on_the_way: AtomicUsize::new(0), max, reader: AtomicWaker::new() })
    }

    /// One more is on its way.
    pub(crate) fn add(&self) {
        self.on_the_way.fetch_add(1, Ordering::Relaxed);
    }

    /// So many have been answered, or will not be.
    pub(crate) fn remove(&self, count: usize) {
        let before = self.on_the_way.fetch_sub(count, Ordering::AcqRel);
        if before >= self.max && before - count < self.max {
            self.reader.wake();
        }
    }

    /// How much is on its way.
    pub(crate) fn on_the_way(&self) -> usize {
        self.on_the_way.load(Ordering::Acquire)
    }

    fn is_full(&self) -> bool {
        self.on_the_way() >= self.max
    }
}

/// A socket that is read as its [`Intake`] allows.
pub(crate) struct PacedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    intake: Arc<Intake>,
    /// Ends a pause however much is on its way: devices that say nothing numbered are heard, too.
    pause: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl PacedSocket {
    /// Reads `socket` at the pace of `intake`.
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>, intake: Arc<Intake>) -> Arc<Self> {
        Arc::new(Self { socket, intake, pause: Mutex::new(None) })
    }

    /// Ready when the socket may be read once.
    fn poll_pause(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.intake.is_full() {
            return Poll::Ready(());
        }
        self.intake.reader.register(cx.waker());
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        // Room may have come before the waker was there.
        if !self.intake.is_full() {
            *pause = None;
            return Poll::Ready(());
        }
        let most = Duration::from_millis(INTAKE_PAUSE_MS_MAX);
        let sleep = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        let over = sleep.as_mut().poll(cx);
        if over.is_ready() {
            *pause = None;
        }
        over
    }
}

impl AsyncUdpSocket for PacedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_pause(cx));
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for PacedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedSocket").field("intake", &self.intake).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Has always something to read, and counts how often it was read.
    #[derive(Debug, Default)]
    struct Full(AtomicUsize);

    impl AsyncUdpSocket for Full {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing is sent")
        }

        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            unreachable!("nothing is sent")
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Ok(1))
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }
    }

    /// Whether it was read.
    fn reads(socket: &PacedSocket) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        socket.poll_recv(&mut cx, &mut [], &mut []).is_ready()
    }

    #[tokio::test]
    async fn the_socket_waits_for_answers_and_never_for_long() {
        let (full, intake) = (Arc::new(Full::default()), Intake::new(1));
        let socket = PacedSocket::new(full.clone(), Arc::clone(&intake));
        for _ in 0..ON_THE_WAY_PER_CORE_MAX {
            assert!(reads(&socket));
            intake.add();
        }
        assert!(!reads(&socket), "as much is on its way as may be");
        tokio::time::sleep(Duration::from_millis(INTAKE_PAUSE_MS_MAX + 1)).await;
        assert!(reads(&socket), "the pause is over");
        assert!(!reads(&socket), "each reading has its own");
        let before = full.0.load(Ordering::Relaxed);
        intake.remove(1);
        std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [], &mut [])).await.unwrap();
        assert_eq!(full.0.load(Ordering::Relaxed), before + 1);
    }
}
