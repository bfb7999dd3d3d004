//! What the data directory of a node that will not start again in its cluster holds: of the meta group all
//! that its log says, of each shard how far it goes, and on demand the shard's state there. Changes
//! nothing that a start would not change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux_cluster::meta::{Command, Meta, MetaPicture};
use pollux_cluster::recover::Survivor;
use pollux_cluster::wal::{Body, Entry, GroupLog};
use pollux_cluster::{
    DataDir, GroupId, Identity, Log, Position, Uuid, VoterSets, stored_voters, voters,
};
use pollux_twin::{ShardId, table};

use super::seed::PARTS;
use crate::checkpoint::{CheckpointHeader, Store, restore_shard, tree_name};
use crate::cluster::META_TREE;
use crate::config::Checked;
use crate::disk::log_options;
use crate::fault::Fault;
use crate::limits::REPLAY_BYTES;
use crate::shard::Replica;

/// A directory, held by this process alone.
pub(super) struct Survey {
    pub(super) dir: DataDir,
    pub(super) identity: Identity,
    log: Log,
    store: Store,
}

impl Survey {
    /// Takes a directory and opens log and checkpoints. Blocks.
    pub(super) fn open(path: &Path, config: &Checked) -> Result<Self, Fault> {
        let dir = DataDir::lock(path)?;
        let Some(identity) = dir.identity().cloned() else {
            return Err(pollux_cluster::Fault::Directory(format!(
                "data directory {} has no identity: it is no node's; leave it out",
                path.display()
            ))
            .into());
        };
        let [log, checkpoints] = PARTS.map(|part| path.join(part));
        let (log, _) = Log::open(log_options(config, log), pollux_cluster::Disk)?;
        let store = Store::open(&checkpoints, config.checkpoint.cache_bytes)?;
        Ok(Self { dir, identity, log, store })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().into()
    }

    /// All that the choice needs to know.
    pub(super) fn survivor(&self) -> Result<Survivor, Fault> {
        let identity = &self.identity;
        let mut survivor = Survivor {
            cluster: identity.cluster.0,
            lineage: identity.lineage,
            node: identity.node.0,
            next_uuid: Uuid::random()?.0,
            meta: None,
            last: BTreeMap::new(),
            voters: BTreeMap::new(),
        };
        let (meta, at, membership) = self.meta()?;
        self.note(&mut survivor, GroupId::META, at, &membership)?;
        survivor.meta = at.map(|_| meta);
        for shard in 0..identity.shards {
            let group = GroupId::shard(shard);
            let name = tree_name(shard_id(shard));
            let header = match self.store.existing(&name)? {
                None => None,
                Some(tree) => match tree.header()? {
                    None => None,
                    Some(bytes) => Some(
                        CheckpointHeader::decode(&bytes)
                            .map_err(|error| tree.bad_header(&error.to_string()))?,
                    ),
                },
            };
            let at = header.as_ref().map(CheckpointHeader::position);
            let membership = header.map(|header| header.membership()).unwrap_or_default();
            self.note(&mut survivor, group, at, &membership)?;
        }
        Ok(survivor)
    }

    /// Notes how far a group goes whose checkpoint ends at `checkpointed`, and who had to agree there.
    fn note(
        &self,
        survivor: &mut Survivor,
        group: GroupId,
        checkpointed: Option<Position>,
        membership: &[u8],
    ) -> Result<(), Fault> {
        let log = self.log.group(group)?;
        let last = newest(checkpointed, log.last());
        let Some(last) = last else { return Ok(()) };
        survivor.last.insert(group, last);
        let mut sets: VoterSets = stored_voters(membership)?;
        self.replay(group, checkpointed, |entry| {
            if let Body::Membership(bytes) = &entry.body {
                sets = voters(bytes)?;
            }
            Ok(())
        })?;
        survivor.voters.insert(group, sets);
        Ok(())
    }

    /// The meta group at the end of its log: its state, the place, and the membership of its checkpoint.
    fn meta(&self) -> Result<(Meta, Option<Position>, bytes::Bytes), Fault> {
        let bytes = match self.store.existing(META_TREE)? {
            Some(tree) => tree.header()?,
            None => None,
        };
        let picture =
            bytes.map(|bytes| MetaPicture::decode(&bytes)).transpose()?.unwrap_or_default();
        let mut meta = Meta::clone(&picture.meta);
        let mut at = picture.applied;
        self.replay(GroupId::META, picture.applied, |entry| {
            at = Some(entry.position);
            if let Body::Normal(bytes) = &entry.body
                && let Ok(command) = Command::decode(bytes)
            {
                meta.apply(command);
            }
            Ok(())
        })?;
        Ok((meta, at, picture.membership))
    }

    /// A shard's replica at the end of its log, whether or not all of that was committed: what nobody
    /// heard of may be kept, what somebody heard of must be.
    pub(super) fn replica(&self, shard: ShardId) -> Result<Arc<Replica>, Fault> {
        let replica = restore_shard(&self.store, shard, table::Options::default(), WATCH_BYTES)?;
        let group = GroupId::shard(u32::from(shard.0));
        self.replay(group, replica.place().0, |entry| {
            match &entry.body {
                Body::Normal(bytes) => drop(replica.apply(entry.position, bytes)),
                Body::Blank | Body::Membership(_) => replica.advance(entry.position, None),
            }
            Ok(())
        })?;
        Ok(replica)
    }

    /// Every entry of a group after a place, in order.
    fn replay(
        &self,
        group: GroupId,
        after: Option<Position>,
        mut take: impl FnMut(&Entry) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let log: GroupLog = self.log.group(group)?;
        let mut next = after.map_or(0, |after| after.index + 1);
        let begins = log.purged().map_or(0, |purged| purged.index + 1);
        if begins > next {
            let path = self.dir.path().display();
            return Err(pollux_cluster::Fault::Group(format!(
                "{group} in {path}: its checkpoint ends before entry {next}, but its log begins at \
                 entry {begins}; leave this directory out"
            ))
            .into());
        }
        loop {
            let entries = log.read(next..u64::MAX, REPLAY_BYTES);
            let Some(last) = entries.last() else { return Ok(()) };
            next = last.position.index + 1;
            entries.iter().try_for_each(&mut take)?;
        }
    }

    /// Lets go of log and checkpoints; the directory stays this process's. Blocks.
    pub(super) fn close(self) -> DataDir {
        self.log.close();
        self.dir
    }
}

/// Nobody watches a shard that is only read.
const WATCH_BYTES: usize = 1;

/// A shard's number as the cluster has it; there are at most a few thousand.
pub(super) fn shard_id(shard: u32) -> ShardId {
    ShardId(u16::try_from(shard).unwrap_or(u16::MAX))
}

fn newest(checkpoint: Option<Position>, log: Option<Position>) -> Option<Position> {
    [checkpoint, log].into_iter().flatten().max_by_key(|position| position.index)
}
