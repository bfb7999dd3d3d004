//! What nodes say to each other about the bytes of artifacts: to hold some, and to give some. As JSON, like all that
//! they ask beside the calls of groups; the bytes themselves are items of a stream, behind heartbeats, votes and entries.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use pollux_cluster::peer::Items;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::hex::{from_hex, hex};
use serde::{Deserialize, Serialize};

use super::fetch::Progress;
use super::limits::{ASKED_BYTES_MAX, HOLD_ASK, HOLD_WAIT};
use super::{Depot, Digest};
use crate::cluster::{Forward, Kind, Served, refused};

/// What a node is asked to hold, or to give.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    sha256: String,
    size: u64,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    end: u64,
    /// Who has it for certain.
    #[serde(default)]
    from: u64,
}

/// How far a node is that was asked to hold something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Whether all of it is on its disk.
    pub(super) held: bool,
    /// How many bytes have come to it.
    #[serde(default)]
    pub(super) bytes: u64,
    /// Why it comes no further.
    #[serde(default)]
    pub(super) fault: String,
}

impl Wanted {
    pub(super) fn new(digest: &Digest, size: u64, range: Range<u64>) -> Self {
        Self { sha256: hex(digest), size, offset: range.start, end: range.end, from: 0 }
    }

    fn read(payload: &[u8]) -> Option<(Digest, Self)> {
        let fits = payload.len() <= ASKED_BYTES_MAX;
        let wanted: Self = fits.then(|| serde_json::from_slice(payload).ok()).flatten()?;
        Some((from_hex(&wanted.sha256)?, wanted))
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers are JSON").into()
    }

    /// Opens the stream of bytes at a node.
    pub(super) async fn open(&self, forward: &Forward, node: NodeId) -> Result<Items, CallFault> {
        forward.open(node, Kind::Artifact, self.encode()).await
    }
}

impl Depot {
    /// Asks a node to hold something that is here; how far it is.
    pub(super) async fn ask_to_hold(
        &self,
        node: NodeId,
        digest: &Digest,
        size: u64,
    ) -> Result<Held, CallFault> {
        let from = self.inner.node.0;
        let wanted = Wanted { from, ..Wanted::new(digest, size, 0..size) };
        let asked = self.inner.forward.ask(node, Kind::HoldArtifact, wanted.encode(), HOLD_ASK);
        serde_json::from_slice(&asked.await?).map_err(|_| CallFault::Failed)
    }

    /// Answers that.
    pub(crate) async fn hold_for_peer(&self, payload: Bytes) -> Result<Bytes, CallFault> {
        let (digest, wanted) = Wanted::read(&payload).ok_or(CallFault::Failed)?;
        let held = self.hold(digest, wanted.size, NodeId(wanted.from)).await;
        Ok(serde_json::to_vec(&held).expect("texts and numbers are JSON").into())
    }

    async fn hold(&self, digest: Digest, size: u64, from: NodeId) -> Held {
        let held = |held, bytes, fault| Held { held, bytes, fault };
        if self.inner.store.has(&digest, size) {
            return held(true, size, String::new());
        }
        if size > self.size_max() {
            return held(false, 0, format!("its artifacts have at most {} bytes", self.size_max()));
        }
        let mut fetching = self.fetch(digest, size, Some(from));
        let over = fetching.wait_for(Progress::is_over);
        let _ = tokio::time::timeout(HOLD_WAIT, over).await;
        let progress = fetching.borrow().clone();
        match progress {
            Progress::Done => held(true, size, String::new()),
            Progress::UnderWay { bytes } => held(false, bytes, String::new()),
            Progress::Failed { fault } => held(false, 0, fault.to_string()),
        }
    }

    /// Gives another node bytes that are here.
    pub(crate) fn open_for_peer(&self, payload: &[u8]) -> Served {
        let Some((digest, wanted)) = Wanted::read(payload) else {
            return refused(CallFault::Failed);
        };
        let range = wanted.offset..wanted.end;
        if !self.inner.store.has(&digest, wanted.size)
            || wanted.end > wanted.size
            || range.is_empty()
        {
            return refused(CallFault::Unreachable);
        }
        let depot = self.clone();
        let read = async move {
            let read = depot.here(&digest, range).await.map_err(|_| CallFault::Failed)?;
            Ok(read.map_err(|fault| {
                tracing::warn!(%fault, "an artifact was not read to its end for another node");
                CallFault::Failed
            }))
        };
        stream::once(read.boxed()).try_flatten().boxed()
    }
}
