//! Reads bytes of an artifact: from this node's folder, or from another node that has them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use pollux_cluster::NodeId;

use super::limits::{PIECE_BYTES, PIECE_WAIT};
use super::peer::Wanted;
use super::writer::blocking;
use super::{ArtifactFault, Depot, Digest};

/// Bytes as they come.
pub(crate) type Bytestream = BoxStream<'static, Result<Bytes, ArtifactFault>>;

impl Depot {
    /// The bytes of a range that is within an artifact of that digest and size.
    pub(crate) async fn read(
        &self,
        digest: Digest,
        size: u64,
        range: Range<u64>,
    ) -> Result<Bytestream, ArtifactFault> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        if self.inner.store.has(&digest, size) {
            match self.here(&digest, range.clone()).await {
                Ok(read) => return Ok(read),
                Err(fault) => {
                    tracing::error!(%fault, "an artifact that should be here cannot be read");
                    self.inner.store.forget(&digest);
                }
            }
        }
        for node in self.others() {
            if let Ok(read) = self.from(node, &digest, size, range.clone()).await {
                return Ok(read);
            }
        }
        Err(ArtifactFault::NotHere)
    }

    /// The bytes of a file of this node.
    pub(super) async fn here(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Bytestream, ArtifactFault> {
        let path = self.inner.store.path(digest);
        let file = blocking(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(range.start))?;
            Ok(file)
        });
        let left = range.end - range.start;
        let begun = (file.await?, left);
        let read = stream::try_unfold(begun, |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let (file, piece) = blocking(move || {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                let mut piece = vec![0; count];
                file.read_exact(&mut piece)?;
                Ok((file, piece))
            })
            .await?;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (file, left))))
        });
        // Who comes again is served by another node, and the keeper fetches it anew.
        let (depot, digest) = (self.clone(), *digest);
        let read = read.inspect_err(move |fault| {
            tracing::error!(%fault, "an artifact broke off while it was read");
            depot.inner.store.forget(&digest);
        });
        Ok(read.boxed())
    }

    /// The bytes from another node, which has begun to give them.
    pub(super) async fn from(
        &self,
        node: NodeId,
        digest: &Digest,
        size: u64,
        range: Range<u64>,
    ) -> Result<Bytestream, ArtifactFault> {
        let wanted = Wanted::new(digest, size, range.clone());
        let opened = wanted.open(&self.inner.forward, node).await;
        let mut items = opened.map_err(|_| ArtifactFault::NotHere)?.map(|item| {
            item.map_err(|_| ArtifactFault::Broken("the node that gave it is lost".into()))
        });
        let first = tokio::time::timeout(PIECE_WAIT, items.next()).await;
        let first = first.ok().flatten().ok_or(ArtifactFault::NotHere)??;
        let rest = stream::unfold(items, |mut items| async move {
            let late = || Err(ArtifactFault::Broken("nothing came for too long".into()));
            let next = tokio::time::timeout(PIECE_WAIT, items.next()).await;
            next.unwrap_or_else(|_| Some(late())).map(|item| (item, items))
        });
        let all = stream::once(async move { Ok(first) }).chain(rest);
        Ok(exactly(all.boxed(), range.end - range.start))
    }
}

/// The same, with a fault where it ends before so many bytes, or gives more.
fn exactly(bytes: Bytestream, count: u64) -> Bytestream {
    let counted = stream::try_unfold((bytes, count), |(mut bytes, left)| async move {
        match bytes.try_next().await? {
            Some(piece) => {
                let left = left.checked_sub(piece.len() as u64);
                let more = || ArtifactFault::Broken("more bytes came than it has".into());
                Ok(Some((piece, (bytes, left.ok_or_else(more)?))))
            }
            None if left > 0 => Err(ArtifactFault::Broken(format!(
                "{left} bytes before its end, nothing more came"
            ))),
            None => Ok(None),
        }
    });
    counted.boxed()
}
