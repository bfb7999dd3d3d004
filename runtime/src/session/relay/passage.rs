//! Carries what a relayed device and its owner say, both ways, each as fast as the other side reads. Looks
//! at nothing but lengths: what is said is between the two.

use std::future::pending;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pollux_cluster::peer::Items;
use pollux_proto::device::{CloseCode, Decoder, FrameError, Lengths, NodeFrame, encode};
use pollux_proto::limits::{FRAME_BYTES_MAX, NODE_FRAME_BYTES_MAX, RELAYED_BYTES_MAX};
use pollux_proto::relay::{Down, Up};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::super::downloads::Downloads;
use super::{Place, Way};
use crate::limits::LAST_WORDS_MS_MAX;
use crate::metrics::Metrics;

/// A device that is relayed.
pub(in crate::session) struct Passage {
    connection: Connection,
    downloads: Downloads,
    /// Whether the owner has opened its session.
    welcomed: watch::Receiver<bool>,
    up: Upward,
    down: Downward,
    place: Place,
}

/// From the device.
struct Upward {
    recv: RecvStream,
    /// What came with the hello.
    rest: BytesMut,
    owner: mpsc::Sender<Bytes>,
    lengths: Lengths,
}

/// To the device.
struct Downward {
    send: SendStream,
    first: Bytes,
    owner: Items,
    lengths: Lengths,
    at: At,
    greeting: Greeting,
}

/// The owner's first frame, of which only one thing matters: whether it is a welcome.
struct Greeting {
    /// None once it is known.
    decoder: Option<Decoder<NodeFrame>>,
    welcomed: watch::Sender<bool>,
}

impl Greeting {
    fn follow(&mut self, bytes: &[u8]) {
        let Some(decoder) = &mut self.decoder else { return };
        decoder.push(bytes);
        match decoder.poll() {
            Ok(None) => return,
            Ok(Some(NodeFrame::Welcome { .. })) => drop(self.welcomed.send_replace(true)),
            Ok(Some(_)) | Err(_) => {}
        }
        self.decoder = None;
    }
}

/// Where in the frames to the device the last write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between two.
    Between,
    /// Within one, or nobody knows.
    Within,
}

/// How it ended.
#[derive(Debug)]
enum Over {
    /// The device is gone.
    DeviceGone,
    /// The device broke the protocol.
    DeviceWrong(FrameError),
    /// The owner ended the session.
    Closed { code: u32, reason: Bytes },
    /// The owner, or the way to it, is lost.
    OwnerLost,
    /// What came from the owner was no word of a relay.
    OwnerWrong(FrameError),
    /// This node stops.
    Stopping,
}

impl Passage {
    pub(in crate::session) fn new(
        (connection, downloads): (Connection, Downloads),
        (send, recv): (SendStream, RecvStream),
        rest: BytesMut,
        way: Way,
    ) -> Self {
        let Way { up, down, first, place } = way;
        let lengths = Lengths::new(FRAME_BYTES_MAX);
        let up = Upward { recv, rest, owner: up, lengths };
        let lengths = Lengths::new(NODE_FRAME_BYTES_MAX);
        let (told, welcomed) = watch::channel(false);
        let greeting = Greeting { decoder: Some(Decoder::new()), welcomed: told };
        let down = Downward { send, first, owner: down, lengths, at: At::Between, greeting };
        Self { connection, downloads, welcomed, up, down, place }
    }

    /// Runs until one side is gone, or the node stops.
    pub(in crate::session) async fn run(self, stopping: CancellationToken) {
        let Self { connection, downloads, welcomed, up, mut down, place } = self;
        let metrics = &place.relays.metrics;
        let over = tokio::select! {
            over = up.carry(&connection, metrics) => over,
            over = down.carry() => over,
            over = give_away(&connection, &downloads, welcomed) => over,
            _ = connection.closed() => Over::DeviceGone,
            () = stopping.cancelled() => Over::Stopping,
        };
        tracing::debug!(?over, peer = %connection.remote_address(), "a device is relayed no more");
        let Downward { send, owner, at, .. } = down;
        // The owner hears of it at once; the device may take its time to read the last words.
        drop(owner);
        over.tell(&connection, send, at).await;
    }
}

/// Serves what the device comes for on streams beside its session: this node has it as well as the owner.
async fn give_away(
    connection: &Connection,
    downloads: &Downloads,
    mut welcomed: watch::Receiver<bool>,
) -> Over {
    if welcomed.wait_for(|welcomed| *welcomed).await.is_err() {
        return pending().await;
    }
    loop {
        match connection.accept_bi().await {
            Ok((send, recv)) => downloads.begin(send, recv),
            Err(_) => return Over::DeviceGone,
        }
    }
}

impl Upward {
    async fn carry(mut self, connection: &Connection, metrics: &Metrics) -> Over {
        let rest = std::mem::take(&mut self.rest).freeze();
        for piece in rest.chunks(RELAYED_BYTES_MAX) {
            if let Err(error) = self.pass(rest.slice_ref(piece)).await {
                return Over::DeviceWrong(error);
            }
        }
        loop {
            let passed = tokio::select! {
                biased;
                read = self.recv.read_chunk(RELAYED_BYTES_MAX, true) => match read {
                    Ok(Some(chunk)) => self.pass(chunk.bytes).await,
                    Ok(None) => {
                        // The owner hears of the end, and has the last word.
                        drop(self);
                        return pending().await;
                    }
                    Err(_) => return Over::DeviceGone,
                },
                datagram = connection.read_datagram() => match datagram {
                    Ok(bytes) => {
                        if self.owner.try_send(Up::Datagram(bytes).to_item()).is_err() {
                            metrics.datagrams_total.inc();
                            metrics.datagrams_dropped_total.inc();
                        }
                        Ok(())
                    }
                    Err(_) => return Over::DeviceGone,
                },
            };
            if let Err(error) = passed {
                return Over::DeviceWrong(error);
            }
        }
    }

    /// Passes bytes on once there is room for them.
    async fn pass(&mut self, bytes: Bytes) -> Result<(), FrameError> {
        self.lengths.follow(&bytes)?;
        if self.owner.send(Up::Bytes(bytes).to_item()).await.is_err() {
            // Its session is over: it says why, or is lost.
            return pending().await;
        }
        Ok(())
    }
}

impl Downward {
    async fn carry(&mut self) -> Over {
        let mut next = Ok(Down::Bytes(std::mem::take(&mut self.first)));
        loop {
            match next {
                Ok(Down::Bytes(bytes)) => {
                    if let Err(over) = self.pass(&bytes).await {
                        return over;
                    }
                }
                Ok(Down::Close { code, reason }) => return Over::Closed { code, reason },
                Ok(Down::NotOwner) => return Over::OwnerLost,
                Err(error) => return Over::OwnerWrong(error),
            }
            next = match self.owner.next().await {
                Some(Ok(item)) => Down::from_item(&item),
                Some(Err(_)) | None => return Over::OwnerLost,
            };
        }
    }

    async fn pass(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.lengths.follow(bytes).map_err(Over::OwnerWrong)?;
        self.greeting.follow(bytes);
        self.at = At::Within;
        self.send.write_all(bytes).await.map_err(|_| Over::DeviceGone)?;
        if self.lengths.is_between() {
            self.at = At::Between;
        }
        Ok(())
    }
}

impl Over {
    /// Tells the device, as far as it still listens.
    async fn tell(self, connection: &Connection, mut send: SendStream, at: At) {
        let (bye, code, reason) = match self {
            Self::DeviceGone => return,
            Self::DeviceWrong(error) => (None, error.close_code().code(), error.to_string().into()),
            Self::Closed { code, reason } => (None, code, reason),
            Self::OwnerLost => (Some("the owner was lost"), CloseCode::Bye.code(), Bytes::new()),
            Self::Stopping => (Some("the node stops"), CloseCode::Bye.code(), Bytes::new()),
            Self::OwnerWrong(error) => {
                tracing::warn!(%error, "an owner says what is no word of a relay");
                (Some("a fault of the node"), CloseCode::Fault.code(), Bytes::new())
            }
        };
        if let (Some(reason), At::Between) = (bye, at) {
            let mut bytes = BytesMut::new();
            let frame = NodeFrame::Bye { reason: reason.to_owned(), reconnect: true };
            if encode(&frame, &mut bytes).is_ok() {
                // The device may be past reading; the close that follows says it too.
                let _ = send.write_all(&bytes).await;
            }
        }
        let _ = send.finish();
        let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
        let _ = tokio::time::timeout(patience, send.stopped()).await;
        connection.close(VarInt::from_u32(code), &reason);
    }
}
