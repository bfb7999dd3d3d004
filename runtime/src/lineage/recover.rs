//! The driver of a forced recovery: reads the directories that are left, has
//! `pollux_cluster::recover` choose, and writes the next life of each beside the old one. Only when all
//! are written does the first take the place of what was there (`swap`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pollux_cluster::meta::Meta;
use pollux_cluster::recover::{Loss, Outcome, RecoverFault, Recovery, Survivor, recover as choose};
use pollux_cluster::{DataDir, GroupId, Identity, NodeId, Standing, Uuid};
use pollux_twin::lineage::{LINEAGE_MAX, next_life};
use pollux_twin::{ShardId, Time};
use thiserror::Error;

use super::seed::{PARTS, Seed};
use super::survey::{Survey, shard_id};
use super::swap::{self, NEXT};
use crate::cluster::{PEERS_FILE, write_book};
use crate::config::Checked;
use crate::fault::Fault;
use crate::limits::SNAPSHOT_CHUNK_BYTES;

/// Why nothing was recovered.
#[derive(Debug, Error)]
pub enum LineageFault {
    /// The directories do not belong together, or nobody knows the cluster.
    #[error(transparent)]
    Choice(#[from] RecoverFault),
    /// A directory, its log or its checkpoints.
    #[error(transparent)]
    Node(#[from] Fault),
    /// A directory cannot be read.
    #[error("{path}: {fault}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        fault: Fault,
    },
    /// A file of a directory cannot be moved.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recovery was begun that other directories have a part in.
    #[error(
        "a recovery of {path} was begun together with {missing}: name both, so that it can be ended"
    )]
    Begun {
        /// One directory.
        path: PathBuf,
        /// One that was not named.
        missing: PathBuf,
    },
    /// The last lineage was reached.
    #[error("lineage {0} is the last one: back the cluster up and restore it as a new one")]
    LastLineage(u64),
}

impl From<pollux_cluster::Fault> for LineageFault {
    fn from(fault: pollux_cluster::Fault) -> Self {
        Self::Node(fault.into())
    }
}

/// What a recovery would do, or did.
#[derive(Debug)]
pub struct Plan {
    /// What becomes of each group.
    pub outcomes: Vec<Outcome>,
    /// The cluster's random name.
    pub cluster: Uuid,
    /// The lineage that begins.
    pub lineage: u64,
    /// Directories with the old and the next id of their nodes.
    pub nodes: Vec<(PathBuf, NodeId, NodeId)>,
    /// Nodes that voted where something may be lost, and whose directories are missing.
    pub lost: Vec<NodeId>,
    /// Whether any group was without a majority: otherwise the nodes need only be started.
    pub needed: bool,
}

/// The directories of the nodes that are left, surveyed.
pub struct Directories {
    surveys: Vec<Survey>,
    recovery: Recovery,
    config: Checked,
}

/// What was found in the directories that were named.
pub enum Found {
    /// Nodes whose next life can begin.
    Left(Box<Directories>),
    /// A recovery that was cut short when all was written; it is ended now.
    Ended,
}

/// Looks at the directories. Ends a recovery of them that was cut short. Blocks.
///
/// # Errors
/// When one of them cannot be read, or they do not belong together.
pub fn survey(paths: &[PathBuf], config: &Checked) -> Result<Found, LineageFault> {
    if swap::end_begun(paths)? {
        return Ok(Found::Ended);
    }
    let open = |path: &PathBuf| {
        let survey = Survey::open(path, config).and_then(|survey| {
            let survivor = survey.survivor()?;
            Ok((survey, survivor))
        });
        survey.map_err(|fault| LineageFault::Directory { path: path.clone(), fault })
    };
    let opened = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let (surveys, survivors): (Vec<Survey>, Vec<Survivor>) = opened.into_iter().unzip();
    let recovery = choose(&survivors)?;
    if recovery.meta.lineage > LINEAGE_MAX {
        return Err(LineageFault::LastLineage(recovery.meta.lineage - 1));
    }
    Ok(Found::Left(Box::new(Directories { surveys, recovery, config: config.clone() })))
}

impl Directories {
    /// What a recovery would do.
    pub fn plan(&self) -> Plan {
        let Recovery { meta, ids, outcomes } = &self.recovery;
        let node = |survey: &Survey| {
            let old = survey.identity.node;
            (survey.path(), old, NodeId(ids[&old.0]))
        };
        let missing = outcomes.iter().flat_map(|outcome| match &outcome.loss {
            Loss::Nothing => [].iter(),
            Loss::Newest { missing } | Loss::Everything { missing } => missing.iter(),
        });
        let lost: BTreeSet<NodeId> = missing.copied().map(NodeId).collect();
        Plan {
            outcomes: outcomes.clone(),
            cluster: Uuid(meta.cluster),
            lineage: meta.lineage,
            nodes: self.surveys.iter().map(node).collect(),
            lost: lost.into_iter().collect(),
            needed: self.recovery.is_needed(),
        }
    }

    /// Begins the next lineage in these directories. What was there before stays beside it. Blocks its
    /// thread; `progress` is told of each shard before it is written.
    ///
    /// # Errors
    /// When it cannot be written; the directories are then as they were, unless all was written and only
    /// the last step was cut short: the same call again ends it.
    pub async fn recover(self, progress: &mut dyn FnMut(ShardId)) -> Result<Plan, LineageFault> {
        let plan = self.plan();
        let Self { surveys, recovery, config } = self;
        for survey in &surveys {
            write_next(survey, &recovery, &config, progress).await?;
        }
        let dirs: Vec<DataDir> = surveys.into_iter().map(Survey::close).collect();
        swap::begin(&dirs)?;
        swap::end(&dirs)?;
        Ok(plan)
    }
}

/// Writes the next life of one directory beside what it holds.
async fn write_next(
    survey: &Survey,
    recovery: &Recovery,
    config: &Checked,
    progress: &mut dyn FnMut(ShardId),
) -> Result<(), LineageFault> {
    let path = survey.path().join(NEXT);
    swap::clear(&path)?;
    let mut dir = DataDir::lock(&path)?;
    let old = survey.identity.node;
    let (node, meta) = (NodeId(recovery.ids[&old.0]), &recovery.meta);
    let seed = Seed::begin(&path, config, node, meta.lineage)?;
    let mut leads_meta = false;
    for outcome in recovery.outcomes.iter().filter(|outcome| outcome.node == old.0) {
        let index = outcome.last.map_or(0, |last| last.index + 1);
        if outcome.group == GroupId::META {
            leads_meta = true;
            seed.plant_meta(meta.clone(), index).await?;
        } else {
            let shard = shard_id(outcome.group.0 - 1);
            progress(shard);
            write_shard(survey, &seed, shard, outcome, index).await?;
        }
    }
    seed.finish()?;
    let peers = addresses(meta, node);
    write_book(&path, &peers).map_err(|source| LineageFault::Io {
        doing: "write",
        path: path.join(PEERS_FILE),
        source,
    })?;
    let identity = Identity {
        node_uuid: Uuid(meta.nodes[&node.0].uuid),
        node,
        lineage: meta.lineage,
        starts: 0,
        // Of the meta group the others have nothing yet, as one who joins.
        standing: if leads_meta { Standing::Member } else { Standing::Joining },
        ..survey.identity.clone()
    };
    let [log, checkpoints] = PARTS;
    Ok(dir.found(identity, &[log, checkpoints, PEERS_FILE])?)
}

async fn write_shard(
    survey: &Survey,
    seed: &Seed,
    shard: ShardId,
    outcome: &Outcome,
    index: u64,
) -> Result<(), LineageFault> {
    let mut filled = seed.shard(shard).map_err(Fault::from)?;
    let mut time = Time::default();
    if outcome.last.is_some() {
        let replica = survey.replica(shard)?;
        time = replica.time();
        let (picture, _) = replica.begin_picture()?;
        while let Some(images) = replica.take_picture(picture, SNAPSHOT_CHUNK_BYTES)? {
            for (key, image) in images {
                let image = match outcome.loss {
                    // All that was ever given is here: numbers go on.
                    Loss::Nothing => image,
                    Loss::Newest { .. } | Loss::Everything { .. } => {
                        next_life(&image, 1).map_err(|error| Fault::Internal {
                            what: "a twin's next life",
                            problem: error.to_string(),
                        })?
                    }
                };
                filled.add(key, image).map_err(Fault::from)?;
            }
        }
    }
    Ok(seed.plant_shard(filled, index, time).await?)
}

/// Where the other nodes were reached last, by their next ids.
fn addresses(meta: &Meta, node: NodeId) -> BTreeMap<NodeId, String> {
    let others = meta.members().filter(|(id, _)| *id != node.0);
    let at = others.map(|(id, other)| (NodeId(id), other.profile.addresses.peers.clone()));
    at.filter(|(_, address)| !address.is_empty()).collect()
}

/// The paths of directories, for people.
pub(super) fn shown(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}
