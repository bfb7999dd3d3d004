//! One shard's checkpoint, shared by those who write it: the checkpointer writes what changed, an
//! incoming state takes the place of all of it. One at a time, as either must know what the other did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pollux_cluster::Position;
use pollux_twin::table::{Header as TableHeader, Options, Restore, RestoreError, Table};
use pollux_twin::{ShardId, TwinKey};

use super::header::Header;
use super::store::{Store, StoreFault, Tree};
use super::writer::tree_name;
use crate::limits::{CHECKPOINT_ROOM_BYTES, CUT_IMAGES};
use crate::shard::Replica;

/// How many bytes are free on the disk; `None` if nobody knows.
pub(crate) type FreeBytes = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Images of a shard that were cut and are not yet written.
type Unwritten = BTreeMap<TwinKey, Arc<[u8]>>;

/// One shard's checkpoint.
pub(crate) struct Keep {
    store: Store,
    name: String,
    options: Options,
    free: FreeBytes,
    /// The table counts these as written, so they go with the next checkpoint. Whoever writes holds
    /// this.
    unwritten: Mutex<Unwritten>,
}

impl Keep {
    pub(crate) fn new(
        store: Store,
        shard: ShardId,
        options: Options,
        free: FreeBytes,
    ) -> Arc<Self> {
        let name = tree_name(shard);
        Arc::new(Self { store, name, options, free, unwritten: Mutex::default() })
    }

    /// Writes what changed since the last checkpoint and makes it durable: its position, and how many
    /// twins; `None` if nothing moved. Blocks.
    pub(crate) fn write(&self, replica: &Replica) -> Result<Option<(Position, u64)>, StoreFault> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cut) = replica.begin_cut() else { return Ok(None) };
        loop {
            let images = replica.take_cut(CUT_IMAGES);
            if images.is_empty() {
                break;
            }
            unwritten.extend(images);
        }
        let header = Header::new(cut.position, &cut.membership, &replica.end_cut());
        self.check_room(unwritten.iter().map(|(key, image)| weight(key, image)).sum())?;
        let tree = self.store.tree(&self.name)?;
        let values = unwritten.iter().map(|(key, image)| (key.as_str(), Some(image)));
        tree.write(&header.encode(), values)?;
        self.store.sync()?;
        let twins = unwritten.len() as u64;
        *unwritten = Unwritten::new();
        replica.set_checkpointed(cut.position);
        Ok(Some((cut.position, twins)))
    }

    /// sled must never meet a full disk: it would refuse all that follows, too.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), StoreFault> {
        let needed = bytes * 2 + CHECKPOINT_ROOM_BYTES;
        match (self.free)() {
            Some(free) if free < needed => Err(StoreFault::NoRoom { free, needed }),
            _ => Ok(()),
        }
    }

    /// An empty tree for a state that comes in.
    pub(super) fn fresh(&self) -> Result<Tree, StoreFault> {
        self.store.fresh(&self.name)
    }

    /// Removes a tree that is not the current one. Blocks.
    pub(super) fn discard(&self, tree: Tree) -> Result<(), StoreFault> {
        self.store.discard(tree)
    }

    /// The table of which `restore` holds the images, if they are all that the header stands for.
    pub(super) fn table(
        &self,
        restore: Restore,
        header: &TableHeader,
    ) -> Result<Table, RestoreError> {
        restore.finish(header, self.options.clone())
    }

    /// Puts the state in `fresh` in the place of the current one: on the disk by one write, then in
    /// memory. `table` has what is in the tree. Blocks.
    pub(super) fn replace(
        &self,
        replica: &Replica,
        fresh: &Tree,
        table: Table,
        header: &TableHeader,
        (position, membership): (Position, Bytes),
    ) -> Result<Tree, StoreFault> {
        let record = Header::new(position, &membership, header).encode();
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.write(&record, std::iter::empty::<(&str, Option<&[u8]>)>())?;
        let old = self.store.flip(&self.name, fresh)?;
        *unwritten = Unwritten::new();
        replica.replace(table, position, membership);
        Ok(old)
    }
}

/// Bytes of a value, about.
pub(super) fn weight(key: &TwinKey, image: &[u8]) -> u64 {
    (key.as_str().len() + image.len()) as u64
}
