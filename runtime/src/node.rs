//! How a node is put together, and taken apart: data directory, log, groups, shards, endpoints.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::Log;
use quinn::Runtime as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::arbiters::Arbiters;
use crate::artifacts::Depot;
use crate::checkpoint::{CheckpointOptions, Checkpointer, Roll};
use crate::clock::Clock;
use crate::cluster::{Member, used_by};
use crate::config::Checked;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::launcher::Launcher;
use crate::limits::{SAMPLE_PERIOD, SOCKET_BUFFER_BYTES, STOP_MS_MAX};
use crate::metrics::Metrics;
use crate::pki::{Certificates, DeviceCertificates, LiveTls, PKI_DIR};
use crate::router::Router;
use crate::service::{self, Enrolling, Served};
use crate::session::{
    DeviceTls, Endpoint, EndpointOptions, HandshakeBounds, Intake, PacedSocket, Pushes,
    QUIC_VERSION, Relaying, bound_arrivals, device_transport,
};
use crate::shard::finish_leaving;
use crate::shards::Shards;
use crate::space::Space;
use crate::tenants::TenantBook;

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Devices, over QUIC.
    pub devices: SocketAddr,
    /// Services, by gRPC.
    pub grpc: SocketAddr,
    /// Services and people, by HTTP.
    pub http: SocketAddr,
    /// The cluster's other nodes, over QUIC.
    pub peers: SocketAddr,
}

/// A running node. Stop it with [`Node::stop`]; dropped without, it ends like a killed one: what
/// was acknowledged is safe, devices are not told.
pub struct Node {
    addresses: Addresses,
    router: Router,
    metrics: Arc<Metrics>,
    endpoint: Arc<Endpoint>,
    arbiters: Arbiters,
    disk: Arc<Disk>,
    stopping: CancellationToken,
    stopped: CancellationToken,
    checkpointer: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    services: Served,
    member: Member,
    certificates: Certificates,
}

impl Node {
    /// Starts a node: opens or makes its data directory, recovers, takes its place in the cluster,
    /// and listens. Returns when all endpoints listen; shards open within the next moments (see
    /// [`Router::readiness`]). In a cluster that has no majority yet this waits for one.
    pub async fn start(config: Checked) -> Result<Self, Fault> {
        let (clock, metrics) = (Clock::new(), Arc::new(Metrics::new()));
        let (stopping, stopped) = (CancellationToken::new(), CancellationToken::new());
        let disk = Arc::new(Disk::open(&config).await?);
        let node = disk.identity.node.0;
        let arbiters = start_arbiters()?;
        let space =
            Space::new(config.data_dir.clone(), config.checkpoint.reserve_bytes, disk.log.clone());
        let mut tasks = vec![tokio::spawn(space.clone().run(stopping.clone()))];
        let (certificates, live) = open_certificates(&config, clock)?;
        let member = Member::begin(&disk, &config, clock, certificates.clone()).await?;
        let (written, checkpointer) = write_checkpoints(&config, clock, &metrics, stopped.clone());
        finish_leaving(&disk.store, &disk.log).await?;
        let (shards, tenants) = (Shards::new(config.cluster.shards), member.tenants(&metrics));
        let launcher = Arc::new(Launcher {
            disk: Arc::clone(&disk),
            config: config.clone(),
            network: member.network(),
            arbiters: arbiters.handles(),
            clock,
            metrics: Arc::clone(&metrics),
            live_bytes: Arc::default(),
            preparing: Arc::new(Semaphore::new(cores())),
            space: space.clone(),
            shards: shards.clone(),
            types: member.types(),
            policies: member.policies(),
            tenants: Arc::clone(&tenants),
            written,
        });
        member.launch_shards(&launcher).await?;
        disk.become_member()?;
        let router = Router::new(
            node,
            disk.identity.lineage,
            (shards.clone(), member.owners(&shards), member.forward()),
            space,
            (config.access.mode, member.policies()),
            (Arc::clone(&metrics), clock),
            stopping.clone(),
        );
        let (depot, keeper) = member.depot(&config, launcher.space.clone(), stopping.clone())?;
        tasks.push(keeper);
        let (endpoint, services) =
            open_doors(&config, live, &router, &metrics, &member, (depot, &certificates), clock)
                .await?;
        tasks.push(tokio::spawn(Arc::clone(&endpoint).run()));
        let counted = (disk.log.clone(), Arc::clone(&metrics), tenants);
        tasks.extend(begin_looks(&config, &router, counted, &certificates));
        let addresses = listening(&endpoint, &services, &member)?;
        tasks.extend(
            member.take_part(&config, addresses, &router, launcher, stopping.clone()).await?,
        );
        tracing::info!(node, name = %config.node_name, ?addresses, "node started");
        Ok(Self {
            addresses,
            router,
            metrics,
            endpoint,
            arbiters,
            disk,
            stopping,
            stopped,
            checkpointer,
            tasks,
            services,
            member,
            certificates,
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Whether its data directory was empty, so that its start made a new cluster.
    pub fn founded(&self) -> bool {
        self.disk.founded
    }

    /// The way to its twins.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Looks at the files of certificates, keys and CAs now, and takes those that changed. Connections that are there
    /// go on.
    pub fn reload_certificates(&self) {
        self.certificates.look_soon();
    }

    /// Stops in order: its shards go to other nodes where there are some, with their devices, while it
    /// goes on answering; then no new devices or calls, a bye to the devices that are there, what was
    /// accepted is finished, a last checkpoint, and only then the log.
    pub async fn stop(self) {
        tracing::info!("node stops");
        self.router.leave();
        self.member.depart(self.router.shards()).await;
        self.endpoint.stop_accepting();
        self.stopping.cancel();
        let shards = self.router.shards().all();
        for shard in &shards {
            shard.say_bye().await;
        }
        let patience = Duration::from_millis(STOP_MS_MAX);
        self.endpoint.close(patience / 2).await;
        self.services.stopped(patience / 2).await;
        self.stopped.cancel();
        if self.checkpointer.await.is_err() {
            tracing::error!("the checkpointer ended before its time");
        }
        for shard in &shards {
            shard.group().shutdown().await;
        }
        self.member.stop().await;
        for task in self.tasks {
            task.abort();
        }
        let arbiters = self.arbiters;
        // Joining threads blocks.
        let _ = tokio::task::spawn_blocking(move || arbiters.stop()).await;
        let log = self.disk.log.clone();
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
        tracing::info!("node stopped");
    }
}

/// What the node's certificates are, and TLS by those for devices.
fn open_certificates(
    config: &Checked,
    clock: Clock,
) -> Result<(Certificates, [Arc<LiveTls>; 2]), Fault> {
    let certificates = Certificates::new(&config.data_dir.join(PKI_DIR));
    let of_devices = DeviceCertificates::open(config, clock.wall())?;
    let live = of_devices.live();
    certificates.add(of_devices);
    Ok((certificates, live))
}

/// Where it listens.
fn listening(endpoint: &Endpoint, services: &Served, member: &Member) -> Result<Addresses, Fault> {
    Ok(Addresses {
        devices: endpoint.address().map_err(|error| internal("the device endpoint", &error))?,
        grpc: services.grpc,
        http: services.http,
        peers: member.address()?,
    })
}

/// Listens for devices and services.
async fn open_doors(
    config: &Checked,
    live: [Arc<LiveTls>; 2],
    router: &Router,
    metrics: &Arc<Metrics>,
    member: &Member,
    (depot, certificates): (Depot, &Certificates),
    clock: Clock,
) -> Result<(Arc<Endpoint>, Served), Fault> {
    let stopping = router.stopping();
    router.set_depot(depot.clone());
    let (control, doorman) =
        (member.control(router), member.doorman(config, metrics, stopping.clone())?);
    let parts = (router.clone(), control, doorman, depot.clone(), Arc::clone(metrics));
    let services =
        service::serve(parts, &config.services, (&config.data_dir, certificates), stopping.clone())
            .await?;
    let parts = (router.clone(), depot, services.enrolling.clone());
    let endpoint = listen_for_devices(config, live, parts, metrics, clock)?;
    member.serve_relayed(Arc::clone(&endpoint));
    Ok((endpoint, services))
}

/// Begins to write checkpoints, of those shards that it is told of.
fn write_checkpoints(
    config: &Checked,
    clock: Clock,
    metrics: &Arc<Metrics>,
    stop: CancellationToken,
) -> (mpsc::Sender<Roll>, JoinHandle<()>) {
    let (written, roll) = mpsc::channel(1);
    let checkpointer = Checkpointer {
        shards: Vec::new(),
        roll,
        options: CheckpointOptions {
            interval: config.checkpoint.interval,
            log_bytes: config.checkpoint.log_bytes,
        },
        clock,
        metrics: Arc::clone(metrics),
    };
    (written, tokio::spawn(checkpointer.run(stop)))
}

fn listen_for_devices(
    config: &Checked,
    live: [Arc<LiveTls>; 2],
    parts: (Router, Depot, Enrolling),
    metrics: &Arc<Metrics>,
    clock: Clock,
) -> Result<Arc<Endpoint>, Fault> {
    let tls = DeviceTls::new(live).map_err(|error| internal("TLS for devices", &error))?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let devices = &config.devices;
    server.transport_config(device_transport(devices.keep_alive, devices.idle_timeout));
    let handshakes = HandshakeBounds::new(cores(), devices.handshakes_max as usize);
    bound_arrivals(&mut server, handshakes);
    let address = config.listen.devices;
    let mut endpoint = crate::pki::endpoint_config(&config.data_dir)?;
    endpoint.supported_versions(vec![QUIC_VERSION]);
    let intake = Intake::new(cores());
    let quinn = device_socket(address)
        .and_then(|socket| {
            let socket = quinn::TokioRuntime.wrap_udp_socket(socket)?;
            let socket = PacedSocket::new(socket, Arc::clone(&intake));
            let runtime = Arc::new(quinn::TokioRuntime);
            quinn::Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)
        })
        .map_err(|source| Fault::Listen {
            address,
            what: "devices",
            flag: "--devices-listen",
            source,
        })?;
    let limits = pollux_proto::device::Limits {
        section_bytes_max: u32::try_from(config.limits.section_bytes_max).unwrap_or(u32::MAX),
        ..pollux_proto::device::Limits::default()
    };
    let options = EndpointOptions {
        connections_max: devices.connections_max as usize,
        handshakes,
        rate_per_s: devices.rate_per_s,
        rate_burst: devices.rate_burst,
        limits: Arc::new(limits),
        intake,
        pushes: Pushes::new(cores()),
        relaying: if devices.relay { Relaying::On } else { Relaying::Off },
    };
    Ok(Endpoint::new(quinn, parts, Arc::clone(metrics), clock, options))
}

/// The one UDP socket of all devices, with room for their bursts.
fn device_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let sizes = socket2::SockRef::from(&socket);
    let granted = sizes
        .set_recv_buffer_size(SOCKET_BUFFER_BYTES)
        .and_then(|()| sizes.set_send_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = granted {
        tracing::warn!(%error, "the device socket keeps its default buffers; bursts may be lost");
    }
    Ok(socket)
}

/// Begins to look at certificates and at what others count.
fn begin_looks(
    config: &Checked,
    router: &Router,
    (log, metrics, tenants): (Log, Arc<Metrics>, Arc<TenantBook>),
    certificates: &Certificates,
) -> [JoinHandle<()>; 2] {
    let (every, stop) = (config.certificates_look, || router.stopping());
    let look = certificates.clone().run(every, Arc::clone(&metrics), router.clock(), stop());
    let sample = sample(router.clone(), log, (metrics, tenants), stop());
    [tokio::spawn(look), tokio::spawn(sample)]
}

/// Copies what others count into the metrics, now and then.
async fn sample(
    router: Router,
    log: Log,
    (metrics, tenants): (Arc<Metrics>, Arc<TenantBook>),
    stop: CancellationToken,
) {
    let mut log_before = log.stats();
    while !stop.is_cancelled() {
        tokio::time::sleep(SAMPLE_PERIOD).await;
        let status = router.status();
        let sum = |of: fn(&crate::status::ShardStatus) -> u64| {
            i64::try_from(status.shards.iter().map(of).sum::<u64>()).unwrap_or(i64::MAX)
        };
        metrics.twins.set(sum(|shard| shard.twins));
        metrics.twins_active.set(sum(|shard| shard.active));
        metrics.gate_bytes.set(sum(|shard| shard.gate_bytes));
        let missing = status.artifacts_missing.unwrap_or_default();
        metrics.artifacts_missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
        metrics.hot_twin_messages_per_second.roll(SAMPLE_PERIOD);
        count_tenants(&router, &metrics, &tenants);
        let now = log.stats();
        metrics.log_appended_bytes_total.inc_by(now.bytes_appended - log_before.bytes_appended);
        metrics.log_syncs_total.inc_by(now.syncs - log_before.syncs);
        metrics.log_segments.set(i64::try_from(now.segments).unwrap_or(i64::MAX));
        for (bucket, (after, before)) in
            now.sync_micros.iter().zip(&log_before.sync_micros).enumerate()
        {
            // The log counts by powers of two; the middle of a bucket stands for its syncs.
            let took = Duration::from_micros((1 << bucket) * 3 / 4);
            metrics.log_sync_seconds.observe_many(took, after - before);
        }
        log_before = now;
    }
}

/// Copies what tenants with limits have here.
fn count_tenants(router: &Router, metrics: &Metrics, tenants: &TenantBook) {
    let limited = tenants.limited();
    metrics.tenant_devices.clear();
    metrics.tenant_bytes.clear();
    for tenant in limited {
        let used = used_by(router, tenants, &tenant);
        let label = vec![("tenant".to_owned(), tenant)];
        let number = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
        metrics.tenant_devices.get_or_create(&label).set(number(used.devices));
        metrics.tenant_bytes.get_or_create(&label).set(number(used.bytes));
    }
}

fn start_arbiters() -> Result<Arbiters, Fault> {
    Arbiters::start(cores()).map_err(|error| internal("the shards' threads", &error))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A fault of one of the node's own parts.
pub(crate) fn internal(what: &'static str, error: &dyn std::fmt::Display) -> Fault {
    Fault::Internal { what, problem: error.to_string() }
}
