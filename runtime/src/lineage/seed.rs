//! Log and checkpoints of a node whose groups begin with a state, each with this node as its only member.
//! Nothing here counts before the directory gets its identity, which is the caller's last step.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pollux_cluster::meta::{Meta, MetaPicture};
use pollux_cluster::{GroupId, Log, NodeId, Position, plant};
use pollux_twin::table::{Digest, Fence, Header as TableHeader};
use pollux_twin::{Epoch, ShardId, Time, TwinKey, lineage};

use crate::checkpoint::{CheckpointHeader, Store, StoreFault, Tree, tree_name};
use crate::cluster::keep_meta;
use crate::config::Checked;
use crate::disk::log_options;
use crate::fault::Fault;
use crate::limits::FILL_BYTES;
use crate::shard::table_index;

/// Names of log and checkpoints in a data directory.
pub(crate) const PARTS: [&str; 2] = ["log", "checkpoints"];

/// The disk of a node that is being made.
pub(crate) struct Seed {
    log: Log,
    store: Store,
    node: NodeId,
    term: u64,
}

impl Seed {
    /// Begins log and checkpoints in a directory that has none, for a node in a lineage. Blocks.
    pub(crate) fn begin(
        dir: &Path,
        config: &Checked,
        node: NodeId,
        lineage: u64,
    ) -> Result<Self, Fault> {
        let [log, checkpoints] = PARTS.map(|part| dir.join(part));
        let (log, _) = Log::open(log_options(config, log), pollux_cluster::Disk)?;
        let store = Store::open(&checkpoints, config.checkpoint.cache_bytes)?;
        Ok(Self { log, store, node, term: lineage::first_term(lineage) })
    }

    /// A shard that is to be filled.
    pub(crate) fn shard(&self, shard: ShardId) -> Result<SeedShard, StoreFault> {
        let tree = self.store.tree(&tree_name(shard))?;
        let (digest, fill, fill_bytes) = (Digest::default(), Vec::new(), 0);
        Ok(SeedShard { shard, tree, digest, fill, fill_bytes })
    }

    /// All of a shard is in: it begins at `index` in its log, no earlier than at `time`.
    pub(crate) async fn plant_shard(
        &self,
        mut filled: SeedShard,
        index: u64,
        time: Time,
    ) -> Result<(), Fault> {
        filled.write()?;
        let (position, membership) =
            self.plant(GroupId::shard(u32::from(filled.shard.0)), index).await?;
        let epoch = Epoch { term: position.term, leader: position.leader };
        let table = TableHeader {
            index: table_index(position),
            fence: Fence { epoch, generation: 0, number: 0, time },
            digest: filled.digest,
        };
        let header = CheckpointHeader::new(position, &membership, &table).encode();
        filled.tree.write(&header, std::iter::empty::<(&str, Option<&[u8]>)>())?;
        Ok(())
    }

    /// The meta group begins at `index` with this state.
    pub(crate) async fn plant_meta(&self, meta: Meta, index: u64) -> Result<(), Fault> {
        let (position, membership) = self.plant(GroupId::META, index).await?;
        let picture = MetaPicture { meta: Arc::new(meta), applied: Some(position), membership };
        Ok(keep_meta(&self.store, &picture)?)
    }

    /// Makes all durable and lets go of it. Blocks.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        self.store.sync()?;
        self.log.close();
        Ok(())
    }

    async fn plant(&self, group: GroupId, index: u64) -> Result<(Position, Bytes), Fault> {
        let position = Position { term: self.term, leader: self.node.0, index };
        let membership = plant(&self.log.group(group)?, position).await?;
        Ok((position, membership))
    }
}

/// A shard whose twins come in one by one.
pub(crate) struct SeedShard {
    shard: ShardId,
    tree: Tree,
    digest: Digest,
    /// What is not yet in the tree.
    fill: Vec<(TwinKey, Arc<[u8]>)>,
    fill_bytes: usize,
}

impl SeedShard {
    /// Adds a twin's image, which must be sound.
    pub(crate) fn add(&mut self, key: TwinKey, image: Arc<[u8]>) -> Result<(), StoreFault> {
        let counted = self.digest.count(&key, &image);
        counted.map_err(|error| self.tree.bad_value(key.as_str(), &error.to_string()))?;
        self.fill_bytes += image.len();
        self.fill.push((key, image));
        if self.fill_bytes >= FILL_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreFault> {
        self.fill_bytes = 0;
        let fill = std::mem::take(&mut self.fill);
        self.tree.fill(fill.iter().map(|(key, image)| (key.as_str(), &**image)))
    }
}
