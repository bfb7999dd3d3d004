//! What a node has on disk: its directory with its identity, the log, the checkpoints.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pollux_cluster::{
    DataDir, GroupOptions, Identity, Log, LogOptions, NodeId, SlowDisk, Standing, Uuid,
};

use crate::checkpoint::Store;
use crate::config::{Checked, Listen};
use crate::fault::Fault;
use crate::node::internal;

/// The parts that a node recovers from.
pub(crate) struct Disk {
    pub(crate) dir: Mutex<DataDir>,
    pub(crate) identity: Identity,
    pub(crate) log: Log,
    pub(crate) store: Store,
    /// Whether it was empty, so that this start made a cluster.
    pub(crate) founded: bool,
}

impl Disk {
    /// Opens the data directory, founding a cluster of one in an empty one.
    pub(crate) async fn open(config: &Checked) -> Result<Self, Fault> {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&config));
        opened.await.map_err(|error| internal("the data directory", &error))?
    }

    fn open_blocking(config: &Checked) -> Result<Self, Fault> {
        let shards = u32::from(config.cluster.shards);
        let mut dir = DataDir::lock(&config.data_dir)?;
        let founded = dir.identity().is_none();
        if founded {
            // A node that cannot listen must not leave a cluster behind that nobody meant to make.
            free(&config.listen)?;
            dir.found(founding(shards)?, &[])?;
        }
        dir.start(None, Some(shards))?;
        let identity = dir.identity().cloned().expect("it was founded or read above");
        let path = dir.path().to_path_buf();
        let options = log_options(config, path.join("log"));
        let (log, recovery) = match &config.log.slowed_by {
            None => Log::open(options, pollux_cluster::Disk)?,
            Some(by) => {
                tracing::warn!(by = %by.display(), "the disk is slowed down, for a trial");
                Log::open(options, SlowDisk::new(by))?
            }
        };
        tracing::info!(
            entries = recovery.entries,
            bytes = recovery.bytes,
            segments = recovery.segments,
            took_us = recovery.micros,
            "log opened"
        );
        let store = Store::open(&path.join("checkpoints"), config.checkpoint.cache_bytes)?;
        Ok(Self { dir: Mutex::new(dir), identity, log, store, founded })
    }
}

impl Disk {
    /// Notes that the cluster knows this node has started: from now on an empty log is a lost one.
    pub(crate) fn become_member(&self) -> Result<(), Fault> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(dir.become_member()?)
    }
}

/// Whether a node can listen where it is to; it begins to later, when it has recovered.
fn free(listen: &Listen) -> Result<(), Fault> {
    let taken = |address, what, flag| move |source| Fault::Listen { address, what, flag, source };
    let (devices, peers, grpc, http) = (listen.devices, listen.peers, listen.grpc, listen.http);
    UdpSocket::bind(devices).map_err(taken(devices, "devices", "--devices-listen"))?;
    UdpSocket::bind(peers).map_err(taken(peers, "other nodes", "--peers-listen"))?;
    TcpListener::bind(grpc).map_err(taken(grpc, "services by gRPC", "--grpc-listen"))?;
    TcpListener::bind(http).map_err(taken(http, "services by HTTP", "--http-listen"))?;
    Ok(())
}

/// The identity of the first node of a new cluster.
pub(crate) fn founding(shards: u32) -> Result<Identity, Fault> {
    Ok(Identity {
        cluster: Uuid::random()?,
        node_uuid: Uuid::random()?,
        node: NodeId(1),
        lineage: 1,
        shards,
        starts: 0,
        standing: Standing::Founding,
    })
}

/// The options of a log in `dir`, as configured.
pub(crate) fn log_options(config: &Checked, dir: PathBuf) -> LogOptions {
    LogOptions {
        dir,
        segment_bytes: config.log.segment_bytes,
        spare_segments: config.log.spare_segments as usize,
    }
}

/// A group's options with the configured timing.
pub(crate) fn group_options(config: &Checked, options: GroupOptions) -> GroupOptions {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    GroupOptions {
        heartbeat_ms: ms(config.raft.heartbeat),
        election_min_ms: ms(config.raft.election_min),
        election_max_ms: ms(config.raft.election_max),
        ..options
    }
}
