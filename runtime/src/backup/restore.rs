//! The first node of a cluster from a backup: every twin in the shard that its key belongs to, whatever
//! the number of shards was, in a lineage of its own.

use std::path::Path;

use pollux_cluster::meta::{Addresses, Answer, Command, Meta};
use pollux_cluster::{DataDir, Identity, NodeId, Standing, Uuid};
use pollux_twin::lineage::{LINEAGE_MAX, next_life};
use pollux_twin::{ShardId, Time};

use super::manifest::Manifest;
use super::verify::{read_all, verify};
use super::{BackupFault, ShardRecord};
use crate::clock::Clock;
use crate::cluster::{accepted, fingerprint, profile};
use crate::config::Checked;
use crate::fault::Fault;
use crate::lineage::{Seed, SeedShard};
use crate::pki;

/// What a restore may be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// The lineage to begin, above all that devices and services may have seen; by default the one after
    /// the backup's.
    pub lineage: Option<u64>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// The node that was made.
    pub identity: Identity,
}

/// Makes the data directory of `config` that of the first node of a new cluster with what a backup holds.
/// The backup is verified first, as a whole. The directory must be empty, but for `pki/` where the
/// certificate authorities are to go on. Blocks its thread; `progress` is told of each shard before it is
/// read: of all of them when they are verified, then of all when they are restored.
///
/// # Errors
/// When the backup is not sound, or the directory cannot be made; it then has no identity.
pub async fn restore(
    from: &Path,
    config: &Checked,
    options: RestoreOptions,
    progress: &mut dyn FnMut(&ShardRecord),
) -> Result<Restored, BackupFault> {
    // What is refused at a glance, before all of the backup is read.
    let mut dir = DataDir::lock(&config.data_dir)?;
    if dir.identity().is_some() {
        return Err(BackupFault::Invalid(format!(
            "data directory {} has an identity already; a restore needs an empty one",
            config.data_dir.display()
        )));
    }
    dir.holds_only(&[pki::PKI_DIR])?;
    let manifest = verify(from, &mut *progress)?;
    let lineage = lineage(&manifest, options)?;
    let identity = Identity {
        cluster: Uuid::random()?,
        node_uuid: Uuid::random()?,
        node: NodeId(1),
        lineage,
        shards: u32::from(config.cluster.shards),
        starts: 0,
        // Its groups are there from the first start on, so that empty ones are lost ones.
        standing: Standing::Member,
    };
    let (pki_dir, now) = (config.data_dir.join(pki::PKI_DIR), Clock::new().wall());
    let made = pki::cluster_authority(&pki_dir, now)
        .and_then(|_| pki::server_authority(&pki_dir, now))
        .and_then(|_| pki::device_authority(&pki_dir, now));
    made.map_err(Fault::from)?;
    let seed = Seed::begin(&config.data_dir, config, identity.node, lineage)?;
    let filled = fill(&seed, from, config.cluster.shards, lineage, progress)?;
    // One past every place that was ever given: images say at which they changed.
    let index = manifest.shards.iter().map(|shard| shard.index).max().unwrap_or(0) + 1;
    let time = manifest.shards.iter().map(|shard| shard.time_ms).max().unwrap_or(0);
    let meta = founded(config, &identity)?;
    for shard in filled {
        seed.plant_shard(shard, index, Time::from_ms(time)).await?;
    }
    seed.plant_meta(meta, 0).await?;
    seed.finish()?;
    dir.found(identity.clone(), &[&[pki::PKI_DIR], &crate::lineage::PARTS[..]].concat())?;
    Ok(Restored { manifest, identity })
}

fn lineage(manifest: &Manifest, options: RestoreOptions) -> Result<u64, BackupFault> {
    let lineage = options.lineage.unwrap_or(manifest.lineage + 1);
    if (manifest.lineage + 1..=LINEAGE_MAX).contains(&lineage) {
        return Ok(lineage);
    }
    Err(BackupFault::Invalid(format!(
        "lineage {lineage}: it takes {} to {LINEAGE_MAX}, above all that was seen since the backup",
        manifest.lineage + 1
    )))
}

/// Every twin into its shard.
fn fill(
    seed: &Seed,
    from: &Path,
    shards: u16,
    lineage: u64,
    progress: &mut dyn FnMut(&ShardRecord),
) -> Result<Vec<SeedShard>, BackupFault> {
    let mut filled =
        (0..shards).map(|shard| seed.shard(ShardId(shard))).collect::<Result<Vec<_>, _>>()?;
    let before = Manifest::read(from)?.lineage;
    read_all(from, progress, |_, key, image| {
        let image = next_life(image, lineage - before).map_err(|error| BackupFault::Other {
            path: from.into(),
            reason: format!("twin {key}: {error}"),
        })?;
        let shard = usize::from(key.shard(shards).0);
        Ok(filled[shard].add(key, image)?)
    })?;
    Ok(filled)
}

/// What the new cluster agrees on.
fn founded(config: &Checked, identity: &Identity) -> Result<Meta, Fault> {
    let mut meta = Meta::default();
    let found = Command::Found {
        cluster: identity.cluster.0,
        shards: identity.shards,
        fingerprint: fingerprint(config),
        node_uuid: identity.node_uuid.0,
        profile: profile(config, identity.node_uuid, Addresses::default()),
    };
    match accepted(meta.apply(found))? {
        Answer::Node(node) => assert_eq!(node, identity.node.0, "the first node has the first id"),
        other => unreachable!("a founding is answered with the node's id, not {other:?}"),
    }
    accepted(meta.apply(Command::RaiseLineage { lineage: identity.lineage }))?;
    Ok(meta)
}
