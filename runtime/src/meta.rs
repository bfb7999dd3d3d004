//! This node's replica of the meta group: started before the shards, told of every start, and
//! checkpointed beside them.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::meta::{Answer, Command, Formats, MetaMachine, MetaPicture, Profile};
use pollux_cluster::{Group, GroupId, GroupOptions, LeaderToken};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Store, StoreFault};
use crate::config::Checked;
use crate::disk::{Disk, group_options};
use crate::fault::Fault;
use crate::limits::META_ELECTION_MAX;
use crate::node::internal;

/// Name of the meta group's tree.
const TREE: &str = "meta";

/// The meta group on this node.
pub(crate) struct MetaGroup {
    group: Group,
    writer: JoinHandle<()>,
    stop: CancellationToken,
}

impl MetaGroup {
    /// Starts the replica, founds the cluster if it is new, and counts this start: a directory that
    /// went back in time is refused here (safety rule 11).
    pub(crate) async fn open(disk: &Disk, config: &Checked) -> Result<Self, Fault> {
        let checkpoint = disk
            .store
            .tree(TREE)?
            .header()?
            .map(|bytes| MetaPicture::decode(&bytes))
            .transpose()?;
        let (machine, picture) = MetaMachine::new(checkpoint);
        let group = Group::start(
            GroupId::META,
            disk.identity.node,
            group_options(config, GroupOptions::meta()),
            &disk.log,
            Arc::clone(&disk.network),
            machine,
        )
        .await?;
        group.initialize_alone().await?;
        let leader = tokio::time::timeout(META_ELECTION_MAX, elected(&group))
            .await
            .map_err(|error| internal("the meta group", &error))??;
        let identity = &disk.identity;
        let fingerprint = fingerprint(config);
        let found = Command::Found {
            cluster: identity.cluster.0,
            shards: identity.shards,
            fingerprint,
            node_uuid: identity.node_uuid.0,
            profile: Profile::named(config.node_name.clone()),
        };
        decide(&group, leader, found).await?;
        let start = Command::Start {
            node: identity.node.0,
            node_uuid: identity.node_uuid.0,
            starts: identity.starts,
            fingerprint,
            formats: Formats::OURS,
        };
        decide(&group, leader, start).await?;
        let stop = CancellationToken::new();
        let interval = config.checkpoint.interval;
        let writer =
            write_checkpoints(disk.store.clone(), group.clone(), picture, interval, stop.clone());
        Ok(Self { group, writer: tokio::spawn(writer), stop })
    }

    /// A last checkpoint, then the end of the replica.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if self.writer.await.is_err() {
            tracing::error!("the meta group's checkpointer ended before its time");
        }
        self.group.shutdown().await;
    }
}

async fn elected(group: &Group) -> Result<LeaderToken, Fault> {
    let mut leadership = group.leadership();
    loop {
        if let Some(token) = leadership.borrow_and_update().ours {
            return Ok(token);
        }
        leadership.changed().await.map_err(|error| internal("the meta group", &error))?;
    }
}

async fn decide(group: &Group, leader: LeaderToken, command: Command) -> Result<(), Fault> {
    let proposal = group.propose(leader.epoch(), command.encode()).await;
    let proposal = proposal.map_err(|error| internal("the meta group", &error))?;
    let applied = proposal.applied().await.map_err(|error| internal("the meta group", &error))?;
    match Answer::decode(&applied.answer)? {
        Answer::Done | Answer::Node(_) => Ok(()),
        Answer::Refused(refusal) => Err(Fault::NotAdmitted { reason: refusal.to_string() }),
    }
}

async fn write_checkpoints(
    store: Store,
    group: Group,
    picture: watch::Receiver<MetaPicture>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut written = None;
    loop {
        let last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = tokio::time::sleep(interval) => false,
        };
        let now = picture.borrow().clone();
        if let Some(position) = now.applied.filter(|position| Some(*position) != written) {
            let store = store.clone();
            let result = tokio::task::spawn_blocking(move || write(&store, &now)).await;
            match result {
                Ok(Ok(())) => match group.checkpointed(position).await {
                    Ok(()) => written = Some(position),
                    Err(fault) => tracing::error!(%fault, "the meta group's log is kept"),
                },
                Ok(Err(fault)) => tracing::error!(%fault, "the meta group's log is kept"),
                Err(fault) => tracing::error!(%fault, "the meta group's checkpoint failed"),
            }
        }
        if last {
            return;
        }
    }
}

fn write(store: &Store, picture: &MetaPicture) -> Result<(), StoreFault> {
    let nothing = std::iter::empty::<(&str, Option<&[u8]>)>();
    store.tree(TREE)?.write(&picture.encode(), nothing)?;
    store.sync()
}

/// What all nodes of a cluster must have configured alike, as one number.
fn fingerprint(config: &Checked) -> u64 {
    let text = format!("pollux cluster config 1: shards = {}", config.cluster.shards);
    u64::from(crc32c::crc32c(text.as_bytes()))
}
