//! A shard's state on its way in from another replica: checked, kept in memory and written to a fresh
//! tree as it comes. The state that is there is served until the new one is whole and durable, and goes
//! on if anything is wrong with it (safety rule 21).

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;
use pollux_cluster::Position;
use pollux_twin::table::{Digest, Header as TableHeader, Restore, RestoreError, Table};
use pollux_twin::{ShardId, TwinKey};
use thiserror::Error;

use super::keep::{Keep, weight};
use super::store::{StoreFault, Tree};
use super::stream::{Head, Piece, Reader, StreamFault};
use crate::limits::FILL_BYTES;
use crate::shard::Replica;

/// Why a state was not taken.
#[derive(Debug, Error)]
pub(crate) enum IncomingFault {
    #[error(transparent)]
    Stream(#[from] StreamFault),
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error("the stream is of shard {} at {}: should be of shard {shard} at {position}", head.shard, head.position)]
    Other { shard: ShardId, position: Position, head: Head },
}

/// A state that comes in. Dropping it gives it up.
pub(crate) struct Incoming {
    keep: Arc<Keep>,
    /// There until the state is in its place.
    tree: Option<Tree>,
    reader: Reader,
    restore: Restore,
    head: Option<Head>,
    end: Option<Digest>,
    /// Once all came and is as it should be.
    whole: Option<Whole>,
    /// What is not yet in the tree.
    fill: Vec<(TwinKey, Arc<[u8]>)>,
    fill_bytes: usize,
}

struct Whole {
    table: Table,
    header: TableHeader,
    position: Position,
}

impl Incoming {
    pub(crate) fn begin(keep: Arc<Keep>) -> Result<Self, IncomingFault> {
        let tree = Some(keep.fresh()?);
        Ok(Self {
            keep,
            tree,
            reader: Reader::new(),
            restore: Restore::new(),
            head: None,
            end: None,
            whole: None,
            fill: Vec::new(),
            fill_bytes: 0,
        })
    }

    /// Takes the next chunk. Blocks while it is written.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), IncomingFault> {
        self.reader.push(chunk)?;
        while let Some(piece) = self.reader.record()? {
            match piece {
                Piece::Head(head) => self.head = Some(head),
                Piece::End(digest) => self.end = Some(digest),
                Piece::Image(key, image) => {
                    let image: Arc<[u8]> = image.into();
                    self.fill_bytes += image.len();
                    self.fill.push((key.clone(), Arc::clone(&image)));
                    self.restore.add(key, image)?;
                }
            }
        }
        if self.fill_bytes >= FILL_BYTES { self.write() } else { Ok(()) }
    }

    /// All came: checks that it is the whole state of `shard` at `position`. Blocks.
    pub(crate) fn end(&mut self, shard: ShardId, position: Position) -> Result<(), IncomingFault> {
        self.reader.finish()?;
        let (head, digest) = self.head.zip(self.end).ok_or(StreamFault::Cut)?;
        if (head.shard, head.position) != (shard, position) {
            return Err(IncomingFault::Other { shard, position, head });
        }
        self.write()?;
        let header = head.table(digest);
        let table = self.keep.table(take(&mut self.restore), &header)?;
        self.whole = Some(Whole { table, header, position });
        Ok(())
    }

    /// Puts it in the place of the state that is there, durably, after [`Incoming::end`]. Blocks.
    pub(crate) fn finish(
        mut self,
        replica: &Replica,
        position: Position,
        membership: Bytes,
    ) -> Result<(), IncomingFault> {
        let whole = self.whole.take().filter(|whole| whole.position == position);
        let (Some(Whole { table, header, .. }), Some(tree)) = (whole, &self.tree) else {
            return Err(StreamFault::Cut.into());
        };
        let place = (position, membership);
        let old = self.keep.replace(replica, tree, table, &header, place)?;
        self.tree = None;
        let (shard, twins) = (replica.shard(), header.digest.count);
        tracing::info!(%shard, %position, twins, "took in a state from another replica");
        // What is left of it if this fails is removed at the next start.
        if let Err(fault) = self.keep.discard(old) {
            tracing::warn!(%fault, %shard, "the state before is still on the disk");
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), IncomingFault> {
        self.fill_bytes = 0;
        let fill = take(&mut self.fill);
        let Some(tree) = &self.tree else { return Ok(()) };
        self.keep.check_room(fill.iter().map(|(key, image)| weight(key, image)).sum())?;
        Ok(tree.fill(fill.iter().map(|(key, image)| (key.as_str(), &**image)))?)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(tree) = self.tree.take()
            && let Err(fault) = self.keep.discard(tree)
        {
            tracing::warn!(%fault, "a state that was not taken is still on the disk");
        }
    }
}
