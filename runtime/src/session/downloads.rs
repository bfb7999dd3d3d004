//! Streams on which a device comes for an artifact, each a task of its own beside its session: what it asks is read
//! once, and the bytes go as fast as the device takes them, behind all that its session says.
//!
//! A device may have any artifact of its tenant, not only what its desired names: what it needs for a step between, a
//! base, or the release before is named nowhere, and desired may move on while it loads. What must stay secret from the
//! devices of a tenant is no artifact; that it is the right one, the device knows by digest and signature.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use pollux_cluster::meta::Meta;
use pollux_proto::device::download::{Fetch, NoFetch, Offer, Signed};
use pollux_proto::device::{Decoder, FrameError, encode};
use pollux_proto::hex::hex;
use pollux_proto::limits::DOWNLOAD_FRAME_BYTES_MAX;
use quinn::{RecvStream, SendStream, VarInt};

use crate::artifacts::{ArtifactFault, Bytestream, Depot};
use crate::limits::{DOWNLOAD_RETRY_MS, DOWNLOAD_STALLED, HELLO_MS_MAX, LAST_WORDS_MS_MAX};
use crate::metrics::Metrics;

/// Behind the session's stream, which has 0.
const PRIORITY: i32 = -1;
/// Why a stream ends before its end; part of `pollux/2`, never reused.
const BROKEN: u32 = 1;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Downloads {
    depot: Depot,
    metrics: Arc<Metrics>,
    tenant: Arc<str>,
}

/// What is sent after the offer, and how it is counted.
type Answered = (Offer, Option<Bytestream>);

impl Downloads {
    /// Those of a device of that tenant.
    pub(super) fn new(depot: &Depot, metrics: &Arc<Metrics>, tenant: &str) -> Self {
        Self { depot: depot.clone(), metrics: Arc::clone(metrics), tenant: tenant.into() }
    }

    /// Serves one, beside all others.
    pub(super) fn begin(&self, send: SendStream, recv: RecvStream) {
        let downloads = self.clone();
        tokio::spawn(async move { downloads.serve(send, recv).await });
    }

    async fn serve(self, mut send: SendStream, mut recv: RecvStream) {
        let patience = Duration::from_millis(HELLO_MS_MAX);
        let asked = match tokio::time::timeout(patience, read(&mut recv)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(_)) | Err(_) => {
                let _ = send.reset(VarInt::from_u32(BROKEN));
                return;
            }
        };
        let _ = send.set_priority(PRIORITY);
        let turn = self.depot.download_turn();
        let (offer, bytes) = match &turn {
            Some(_) => self.answer(&asked).await,
            None => (busy("node gives away as many artifacts as it may; come again later"), None),
        };
        let counted = match &offer {
            Offer::Here { .. } => "begun",
            Offer::Refused { .. } => "refused",
        };
        self.metrics.downloads_total.of(counted).inc();
        let mut head = BytesMut::new();
        if encode(&offer, &mut head).is_err() || send.write_all(&head).await.is_err() {
            return;
        }
        if let Some(bytes) = bytes {
            match pass(bytes, &mut send).await {
                Ok(()) => self.metrics.downloads_total.of("done").inc(),
                Err(fault) => {
                    self.metrics.downloads_total.of("broken").inc();
                    tracing::debug!(fault, "an artifact did not come to its device whole");
                    let _ = send.reset(VarInt::from_u32(BROKEN));
                    return;
                }
            };
        }
        let _ = send.finish();
        let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
        let _ = tokio::time::timeout(patience, send.stopped()).await;
    }

    async fn answer(&self, asked: &Fetch) -> Answered {
        let Fetch { name, version, offset, sha256 } = asked;
        let mut meta = Arc::clone(&self.depot.picture().borrow().meta);
        let is_wanted = |meta: &Meta| {
            let known = meta.fleet.artifact(&self.tenant, name, version);
            known.is_some_and(|known| sha256.is_none_or(|sha256| sha256 == known.sha256))
        };
        if !is_wanted(&meta) {
            // That would be final, and this node may not have heard yet of what was decided.
            if !self.depot.learns_newest().await {
                return (busy("node does not hear the cluster now; come again later"), None);
            }
            meta = Arc::clone(&self.depot.picture().borrow().meta);
        }
        let Some(known) = meta.fleet.artifact(&self.tenant, name, version) else {
            let message = format!("there is no artifact {name}@{version}");
            return (refused(NoFetch::NotFound, message), None);
        };
        if sha256.is_some_and(|sha256| sha256 != known.sha256) {
            let message = format!("artifact {name}@{version} has SHA-256 {}", hex(&known.sha256));
            return (refused(NoFetch::OtherContent, message), None);
        }
        if *offset > known.size {
            let message = format!("offset {offset}: the artifact has {} bytes", known.size);
            return (refused(NoFetch::BadOffset, message), None);
        }
        match self.depot.read(known.sha256, known.size, *offset..known.size).await {
            Ok(bytes) => {
                let signature = known.signature.as_ref();
                let signature =
                    signature.map(|one| Signed { key: one.key.clone(), bytes: one.bytes });
                let media_type = known.media_type.clone();
                let (size, sha256) = (known.size, known.sha256);
                (Offer::Here { size, sha256, signature, media_type }, Some(bytes))
            }
            Err(fault) => (busy(&fault.to_string()), None),
        }
    }
}

fn refused(reason: NoFetch, message: String) -> Offer {
    Offer::Refused { reason, message, retry_after_ms: None }
}

fn busy(message: &str) -> Offer {
    let (reason, message) = (NoFetch::Busy, message.to_owned());
    Offer::Refused { reason, message, retry_after_ms: Some(DOWNLOAD_RETRY_MS) }
}

/// What a device asks.
async fn read(recv: &mut RecvStream) -> Result<Fetch, FrameError> {
    let mut decoder = Decoder::<Fetch>::new();
    loop {
        if let Some(asked) = decoder.poll()? {
            return Ok(asked);
        }
        match recv.read_chunk(DOWNLOAD_FRAME_BYTES_MAX, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) | Err(_) => return Err(FrameError::CutShort { missing: 1 }),
        }
    }
}

/// Sends bytes as they come and the device takes them.
async fn pass(mut bytes: Bytestream, send: &mut SendStream) -> Result<(), String> {
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|fault: ArtifactFault| fault.to_string())?;
        // Who takes nothing for so long lets others have the turn, and comes again.
        let written = tokio::time::timeout(DOWNLOAD_STALLED, send.write_chunk(piece)).await;
        let written = written.map_err(|_| "the device takes nothing".to_owned())?;
        written.map_err(|error| error.to_string())?;
    }
    Ok(())
}
