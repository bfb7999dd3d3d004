//! A device that another node relays, on the owner of its shard: opens its session as the endpoint does for
//! one that dialled, over a line of items.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pollux_cluster::peer::Items;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::device::{CloseCode, Decoder, NodeFrame, encode};
use pollux_proto::forward::decode;
use pollux_proto::limits::RELAYED_BYTES_MAX;
use pollux_proto::peer::message;
use pollux_proto::relay::{Down, Relay, Up};
use pollux_twin::registration::Shown;
use pollux_twin::{Rejection, TwinKey};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::endpoint::Endpoint;
use super::super::hello::Refusal;
use super::super::line::{Broken, Came, LastWords, Line, Reads};
use crate::cluster::{Served, refused};
use crate::limits::{LAST_WORDS_MS_MAX, RELAYED_ITEMS_MAX};

/// A device's line through another node.
pub(in crate::session) struct CarriedLine {
    up: Items,
    down: mpsc::Sender<Bytes>,
    peer: String,
}

impl Line for CarriedLine {
    async fn next(&mut self, reads: Reads) -> Came {
        let Self { up, down, peer } = self;
        tokio::select! {
            biased;
            // The other node reads no more: it, or the device, is gone.
            () = down.closed() => Came::Gone,
            item = up.next(), if reads == Reads::On => match item.map(|item| item.map(|item| Up::from_item(&item))) {
                Some(Ok(Ok(Up::Bytes(bytes)))) => Came::Bytes(bytes),
                Some(Ok(Ok(Up::Datagram(bytes)))) => Came::Datagram(bytes),
                Some(Ok(Err(error))) => {
                    tracing::warn!(peer, %error, "a node says what is no word of a relay");
                    Came::Gone
                }
                Some(Err(_)) => Came::Gone,
                None => Came::Finished,
            },
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        for piece in bytes.chunks(RELAYED_BYTES_MAX) {
            let item = Down::Bytes(Bytes::copy_from_slice(piece)).to_item();
            self.down.send(item).await.map_err(|_| Broken)?;
        }
        Ok(())
    }

    async fn finish(&mut self, _words: LastWords) {
        // The close goes the same way behind them, and the other node waits for the device.
    }

    fn round_trip(&self) -> Duration {
        // The other node knows.
        Duration::ZERO
    }

    fn datagrams(&self) -> u64 {
        // Those that were not read are lost with the stream that they are on.
        0
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let reason = Bytes::from(message(reason));
        let close = Down::Close { code: code.code(), reason }.to_item();
        let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
        // A node that does not read for so long is as good as gone.
        let _ = tokio::time::timeout(patience, self.down.send(close)).await;
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

impl Endpoint {
    /// Another node relays a device: its session is opened here if this node owns its shard.
    pub(crate) fn open_for_relay(self: &Arc<Self>, from: NodeId, payload: &[u8]) -> Served {
        let relay = decode::<Relay>(payload).ok();
        let named = relay.and_then(|relay| Some((TwinKey::parse(&relay.key).ok()?, relay)));
        let Some((key, relay)) = named.filter(|_| self.router.is_member(from)) else {
            tracing::warn!(%from, "a node relays what is no device, or is no member");
            return refused(CallFault::Failed);
        };
        let (down, items) = mpsc::channel(RELAYED_ITEMS_MAX);
        tokio::spawn(Arc::clone(self).serve_relayed(from, key, relay, down));
        ReceiverStream::new(items).map(Ok).boxed()
    }

    async fn serve_relayed(
        self: Arc<Self>,
        from: NodeId,
        key: TwinKey,
        relay: Relay,
        down: mpsc::Sender<Bytes>,
    ) {
        let Ok(up) = self.router.forward().relayed(from, relay.id).await else { return };
        let peer = format!("{} through node {from}", relay.address);
        let mut line = CarriedLine { up, down, peer };
        let _counted = self.count();
        let attach = self.attach(key, relay.incarnation, Shown::Certificate(None));
        let attached = match self.is_crowded() {
            true => Err(self.no_room()),
            false => match self.router.attach_for_peer(attach.clone()).await {
                // The other node finds out who is the owner.
                Err(Rejection::NotOwner) => {
                    let _ = line.down.send(Down::NotOwner.to_item()).await;
                    return;
                }
                attached => attached.map_err(Refusal::from),
            },
        };
        match attached {
            Ok(twin) => {
                let session = self.session(line, Decoder::new(), attach.outbox, twin);
                self.serve(Box::new(session)).await;
            }
            Err(refusal) => self.turn_away_relayed(&mut line, refusal).await,
        }
    }

    async fn turn_away_relayed(&self, line: &mut CarriedLine, refusal: Refusal) {
        let (code, result, frame) = refusal.told();
        self.metrics.hellos_total.of(result).inc();
        let mut bytes = BytesMut::new();
        let reason = match &frame {
            Some(frame @ NodeFrame::Refused { message, .. })
                if encode(frame, &mut bytes).is_ok() =>
            {
                let _ = line.write(&bytes).await;
                message.as_str()
            }
            _ => "",
        };
        line.close(code, reason).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use pollux_cluster::CallFault;

    use super::*;

    fn line(items: Vec<Result<Bytes, CallFault>>) -> (CarriedLine, mpsc::Receiver<Bytes>) {
        let (down, told) = mpsc::channel(RELAYED_ITEMS_MAX);
        let up = Items::local(stream::iter(items).boxed());
        (CarriedLine { up, down, peer: "a device".into() }, told)
    }

    #[tokio::test]
    async fn what_the_other_node_passes_on_comes_and_nonsense_ends_it() {
        let bytes = Bytes::from_static(b"ab");
        let said = [Up::Bytes(bytes.clone()), Up::Datagram(bytes.clone())];
        let mut items: Vec<_> = said.iter().map(|up| Ok(up.to_item())).collect();
        let (mut ends, _told) = line(items.clone());
        assert!(ends.next(Reads::Held).now_or_never().is_none(), "not while it is not read");
        assert!(matches!(ends.next(Reads::On).await, Came::Bytes(came) if came == bytes));
        assert!(matches!(ends.next(Reads::On).await, Came::Datagram(came) if came == bytes));
        assert!(matches!(ends.next(Reads::On).await, Came::Finished));
        for wrong in [Ok(Bytes::from_static(b"\xff")), Ok(Bytes::new()), Err(CallFault::Timeout)] {
            items[0] = wrong;
            let (mut breaks, _told) = line(items.clone());
            assert!(matches!(breaks.next(Reads::On).await, Came::Gone));
        }
    }

    #[tokio::test]
    async fn whoever_reads_no_more_is_gone_even_while_nothing_is_read() {
        let (mut line, told) = line(vec![Ok(Up::Bytes(Bytes::new()).to_item())]);
        drop(told);
        assert!(matches!(line.next(Reads::Held).await, Came::Gone));
        assert!(line.write(b"x").await.is_err());
        line.close(CloseCode::Done, "").await;
    }

    #[tokio::test]
    async fn what_is_long_goes_in_pieces_and_the_close_behind_it() {
        let (mut line, mut told) = line(Vec::new());
        let long = vec![7; RELAYED_BYTES_MAX + 1];
        line.write(&long).await.unwrap();
        line.close(CloseCode::Bye, "so it is").await;
        let mut downs = Vec::new();
        while let Ok(item) = told.try_recv() {
            downs.push(Down::from_item(&item).unwrap());
        }
        let close = Down::Close { code: 2, reason: Bytes::from_static(b"so it is") };
        let [Down::Bytes(first), Down::Bytes(second), last] = &downs[..] else {
            panic!("{downs:?}")
        };
        assert_eq!((first.len(), second.len(), last), (RELAYED_BYTES_MAX, 1, &close));
    }
}
