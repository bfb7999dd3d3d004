//! This node as a member of its cluster: its way to the other nodes, its replica of the meta group, and
//! the tasks that keep what it holds as the cluster wants it.
//!
//! Start reading at [`Member`]; `owners` says who owns a shard, `forward` passes calls on, `answering`
//! takes those of others, `departure` gives shards away before a stop, `meta` has things decided, `holder` starts and ends replicas, `steward` has
//! done what the balancer wants, `steps` carries that out where a group is led, `join` takes new nodes in.

mod access;
mod answering;
mod authorities;
mod back_up;
mod book;
mod control;
mod departure;
mod forward;
mod holder;
mod join;
mod meta;
mod owners;
mod peers;
mod rebalance;
mod seen;
mod served;
mod status;
mod steps;
mod steward;
mod tenants;
mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use pollux_cluster::meta::{
    Addresses as Advertised, Answer, Command, Formats, Labels, MetaPicture, Profile, Refusal,
};
use pollux_cluster::peer::{JoinDesk, PeerNetwork, Service};
use pollux_cluster::{Identity, Network, NodeId, Standing, Uuid};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use back_up::Confirmed;
pub(crate) use book::{FILE as PEERS_FILE, write as write_book};
pub(crate) use control::{Balancing, Control, ControlFault, Drain};
pub(crate) use forward::Forward;
pub use join::{JoinFault, init, join};
pub(crate) use meta::{Decider, TREE as META_TREE, accepted, fingerprint, keep_meta};
pub(crate) use owners::{Owner, Owners};
pub(crate) use rebalance::{Planned, Rebalance};
pub(crate) use served::{Served, refused};
pub(crate) use status::Asked;
pub(crate) use tenants::of as used_by;
pub use token::TokenError;

use self::answering::{Answering, Desk};
use self::authorities::Authorities;
use self::departure::Departure;
use self::meta::{MetaGroup, Repeated, meta_fault};
use self::peers::Listening;
use self::rebalance::{Urge, Urges};
use self::steps::Steps;
use self::steward::Steward;
use self::tenants::Rounds;
use crate::access::{Doorman, PolicyBook};
use crate::artifacts::{self, Depot};
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::launcher::{Launcher, Origin};
use crate::limits::URGES_MAX;
use crate::metrics::Metrics;
use crate::node::Addresses;
use crate::pki::Certificates;
use crate::router::Router;
use crate::session::Endpoint;
use crate::shards::Shards;
use crate::space::Space;
use crate::tenants::TenantBook;
use crate::types::TypeBook;

/// What nodes ask of each other beside the calls of groups. The numbers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    /// A call to a twin.
    Call = 1,
    /// A page of twins.
    List = 2,
    /// A command for the meta group.
    Meta = 3,
    /// What the node knows of itself.
    Status = 4,
    /// A step of a move.
    Step = 5,
    /// Up to where a shard's log is committed; only its owner knows.
    Barrier = 6,
    /// The state of a shard, as a stream.
    BackUp = 7,
    /// A step of replacing the cluster CA.
    Authority = 8,
    /// What evening everything would move, and to begin with it.
    Rebalance = 9,
    /// A call to a twin with a key that the asking node made.
    EntryCall = 10,
    /// The changes of a shard, as a stream.
    Watch = 11,
    /// The session of a device that the asking node relays, as a stream of what it is told.
    Relay = 12,
    /// What a device says that the asked node relays, as a stream.
    Relayed = 13,
    /// What a query finds on shards that the node owns, as a stream.
    Query = 14,
    /// As a query, and how each shard was looked at.
    Explain = 20,
    /// Those changes of a shard that a filter lets through, as a stream.
    Sift = 21,
    /// Some twins of a shard for which a filter holds.
    SiftTwins = 22,
    /// To keep for a while what filters are asked of.
    KeepStates = 23,
    /// One of these for a principal, which the node checks once more.
    Guarded = 24,
    /// What tenants have and use there, and what the node is to know of them.
    Tenants = 25,
    /// Bytes of an artifact that the node has, as a stream.
    Artifact = 27,
    /// To have the bytes of an artifact on its disk.
    HoldArtifact = 28,
    /// A page of twins that were deleted and can be brought back.
    Restorable = 29,
    /// Telemetry as it comes on a shard that the node owns, as a stream.
    Listen = 30,
}

impl Kind {
    const ALL: [Self; 24] = [
        Self::Call,
        Self::List,
        Self::Meta,
        Self::Status,
        Self::Step,
        Self::Barrier,
        Self::BackUp,
        Self::Authority,
        Self::Rebalance,
        Self::EntryCall,
        Self::Watch,
        Self::Relay,
        Self::Relayed,
        Self::Query,
        Self::Explain,
        Self::Sift,
        Self::SiftTwins,
        Self::KeepStates,
        Self::Guarded,
        Self::Tenants,
        Self::Artifact,
        Self::HoldArtifact,
        Self::Restorable,
        Self::Listen,
    ];

    fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// See the module.
pub(crate) struct Member {
    node: NodeId,
    network: PeerNetwork,
    forward: Forward,
    answering: Arc<Answering>,
    meta: MetaGroup,
    clock: Clock,
    types: Arc<TypeBook>,
    authorities: Authorities,
    certificates: Certificates,
    /// The way to this node's steward, and until it is there what it is asked.
    urges: Urges,
    urged: Mutex<Option<mpsc::Receiver<Urge>>>,
}

impl Member {
    /// Listens for other nodes, starts the meta group's replica, and has this start counted: a disk
    /// that went back in time is refused here (safety rule 11). Waits for a majority where the cluster
    /// has several nodes.
    pub(crate) async fn begin(
        disk: &Disk,
        config: &Checked,
        clock: Clock,
        certificates: Certificates,
    ) -> Result<Self, Fault> {
        let Identity { node, lineage, .. } = disk.identity;
        let known = book::read(&config.data_dir);
        let answering = Arc::new(Answering::new(node, lineage));
        let Listening { network, authorities } = peers::listen(disk, config, clock, &known)?;
        certificates.add(Arc::new(authorities.clone()));
        let service: Arc<dyn Service> = Arc::<Answering>::clone(&answering);
        answering.set_authorities(authorities.clone());
        network.set_service(Some(service));
        let forward = Forward::new(network.clone());
        let meta = MetaGroup::open(disk, config, clock, forward.clone(), &known).await?;
        let decider = meta.decider();
        answering.set_decider(decider.clone());
        let picture = decider.picture();
        let data_dir = config.data_dir.clone();
        tokio::spawn(book::keep(network.clone(), node, data_dir, known, picture));
        let identity = &disk.identity;
        let fingerprint = fingerprint(config);
        if identity.standing == Standing::Founding {
            let found = Command::Found {
                cluster: identity.cluster.0,
                shards: identity.shards,
                fingerprint,
                node_uuid: identity.node_uuid.0,
                profile: profile(config, identity.node_uuid, Advertised::default()),
            };
            accepted(decider.decide(found).await?)?;
        }
        have_start_counted(decider, &network, identity, fingerprint).await?;
        let (urges, urged) = mpsc::channel(URGES_MAX);
        let urges = Urges::new(urges);
        answering.set_urges(urges.clone());
        Ok(Self {
            node: identity.node,
            network,
            forward,
            answering,
            types: TypeBook::follow(meta.decider().picture()),
            meta,
            clock,
            authorities,
            certificates,
            urges,
            urged: Mutex::new(Some(urged)),
        })
    }

    /// The network of this node's groups.
    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::new(self.network.clone())
    }

    /// The way to other nodes.
    pub(crate) fn forward(&self) -> Forward {
        self.forward.clone()
    }

    /// Who owns the shards of the cluster, those held here among them.
    pub(crate) fn owners(&self, shards: &Shards) -> Owners {
        Owners::new(self.node, shards.clone(), self.meta.decider().picture())
    }

    /// The device types that the cluster agrees on.
    pub(crate) fn types(&self) -> Arc<TypeBook> {
        Arc::clone(&self.types)
    }

    /// Who may do what.
    pub(crate) fn policies(&self) -> PolicyBook {
        self.meta.decider().policies()
    }

    /// What tenants may have, as this node holds them to it.
    pub(crate) fn tenants(&self, metrics: &Arc<Metrics>) -> Arc<TenantBook> {
        let decider = self.meta.decider().clone();
        let book = TenantBook::follow(decider, self.clock, Arc::clone(metrics));
        self.answering.set_tenants(Arc::clone(&book));
        book
    }

    /// The bytes of artifacts on this node, which it keeps as the cluster wants them until it stops.
    pub(crate) fn depot(
        &self,
        config: &Checked,
        space: Space,
        stop: CancellationToken,
    ) -> Result<(Depot, JoinHandle<()>), Fault> {
        let parts = artifacts::Parts {
            node: self.node,
            space,
            config: config.artifacts,
            forward: self.forward.clone(),
            decider: self.meta.decider().clone(),
            clock: self.clock,
            stop,
        };
        let depot = Depot::open(&config.data_dir, parts)?;
        self.answering.set_depot(depot.clone());
        Ok((depot.clone(), tokio::spawn(depot.keep())))
    }

    /// What those who run the cluster can have done.
    pub(crate) fn control(&self, router: &Router) -> Control {
        Control {
            node: self.node,
            decider: self.meta.decider().clone(),
            forward: self.forward.clone(),
            router: router.clone(),
            clock: self.clock,
            types: self.types(),
            authorities: self.authorities.clone(),
            certificates: self.certificates.clone(),
            urges: self.urges.clone(),
        }
    }

    /// Who comes in at the doors for services, until the node stops.
    pub(crate) fn doorman(
        &self,
        config: &Checked,
        metrics: &Arc<Metrics>,
        stop: CancellationToken,
    ) -> Result<Doorman, Fault> {
        let decider = self.meta.decider();
        let doorman = Doorman::new(config, self.node.0, self.policies(), self.clock, metrics)?;
        tokio::spawn(doorman.clone().listen(decider.clone(), stop.clone()));
        let (metrics, certificates) = (Arc::clone(metrics), self.certificates.clone());
        tokio::spawn(doorman.clone().keep_keys(metrics, certificates, stop));
        Ok(doorman)
    }

    /// From now on devices that other nodes relay are served here.
    pub(crate) fn serve_relayed(&self, endpoint: Arc<Endpoint>) {
        self.answering.set_endpoint(endpoint);
    }

    /// Where it listens for other nodes.
    pub(crate) fn address(&self) -> Result<SocketAddr, Fault> {
        Ok(self.network.address()?)
    }

    /// Starts the replicas that should be here or are.
    pub(crate) async fn launch_shards(&self, launcher: &Launcher) -> Result<(), Fault> {
        let meta = Arc::clone(&self.meta.decider().picture().borrow().meta);
        let origin = match launcher.disk.identity.standing {
            Standing::Founding => Origin::Founded,
            Standing::Joining | Standing::Member => Origin::There,
        };
        let mut here = Vec::new();
        for shard in launcher.shards.ids() {
            let place = meta.map.get(usize::from(shard.0));
            let meant = place.is_some_and(|place| place.goal.members().any(|id| id == self.node.0));
            if meant || launcher.holds(shard)? {
                here.push(launcher.launch(shard, origin));
            }
        }
        try_join_all(here).await.map(drop)
    }

    /// Says where this node is reached, and begins to keep what it holds as the cluster wants it.
    pub(crate) async fn take_part(
        &self,
        config: &Checked,
        listening: Addresses,
        router: &Router,
        launcher: Arc<Launcher>,
        stop: CancellationToken,
    ) -> Result<Vec<JoinHandle<()>>, Fault> {
        self.answering.set_router(router.clone());
        let decider = self.meta.decider();
        let disk = launcher.disk.identity.node_uuid;
        let advertise = Command::Advertise {
            node: self.node.0,
            node_uuid: disk.0,
            profile: profile(config, disk, advertised(config, listening)),
        };
        accepted(decider.decide(advertise).await?)?;
        let config = Arc::new(config.clone());
        self.answering.set_desk(Desk { config, decider: decider.clone(), clock: self.clock });
        let desk: Arc<dyn JoinDesk> = Arc::<Answering>::clone(&self.answering);
        self.network.set_join_desk(Some(desk));
        let steps = Steps { decider: decider.clone(), shards: launcher.shards.clone() };
        self.answering.set_steps(steps.clone());
        let urged = self.urged.lock().unwrap_or_else(PoisonError::into_inner).take();
        let urged = urged.expect("a node takes part once");
        let rounds = Rounds::default();
        let steward = Steward { control: self.control(router), steps, urged, rounds };
        let holder = holder::run(self.node, decider.picture(), launcher, stop.clone());
        Ok(vec![tokio::spawn(holder), tokio::spawn(steward.run(stop))])
    }

    /// Before a stop: everything this node leads goes to others that can take it.
    pub(crate) async fn depart(&self, shards: &Shards) {
        let depart = Departure { node: self.node, decider: self.meta.decider(), shards };
        depart.run().await;
    }

    /// The end: the meta group's replica, then the way to other nodes.
    pub(crate) async fn stop(self) {
        self.meta.stop().await;
        // They hold the way to other nodes, which holds them: nothing of this node would be let go.
        self.network.set_service(None);
        self.network.set_join_desk(None);
        self.network.close().await;
    }
}

/// Has the meta group count this start, and waits until that is known here. Waits for a majority.
async fn have_start_counted(
    decider: &Decider,
    network: &PeerNetwork,
    identity: &Identity,
    fingerprint: u64,
) -> Result<(), Fault> {
    let (node, starts) = (identity.node.0, identity.starts);
    let start = Command::Start {
        node,
        node_uuid: identity.node_uuid.0,
        starts,
        fingerprint,
        formats: Formats::OURS,
    };
    loop {
        match decider.decide_again(start.clone()).await {
            // Its own start, whose first answer was lost.
            Ok((Answer::Refused(Refusal::WentBack { seen }), Repeated::Perhaps))
                if seen == starts =>
            {
                break;
            }
            Ok((answer, _)) => break drop(accepted(answer)?),
            Err(fault) => match network.turned_away() {
                Some(reason) => {
                    let reason = format!(
                        "{reason}; join from an empty data directory, with `pollux node join --replace {node}` \
                         while the cluster still has node {node}"
                    );
                    return Err(Fault::NotAdmitted { reason });
                }
                None => tracing::warn!(%fault, "waiting for the cluster"),
            },
        }
    }
    let told = |picture: &MetaPicture| {
        picture.meta.nodes.get(&node).is_some_and(|known| known.starts >= starts)
    };
    decider.picture().wait_for(told).await.map(drop).map_err(|error| meta_fault(&error))
}

/// What a node says of itself.
pub(crate) fn profile(config: &Checked, disk: Uuid, addresses: Advertised) -> Profile {
    let labels = Labels { zone: config.zone.clone(), weight: config.weight, capacity: 0 };
    let name = match config.node_name.as_str() {
        "" => format!("node-{:08x}", disk.0 >> 96),
        name => name.to_owned(),
    };
    Profile { addresses, labels, ..Profile::named(name) }
}

/// Where others reach a node: as configured, or where it listens.
fn advertised(config: &Checked, listening: Addresses) -> Advertised {
    let or = |given: &Option<String>, listens: SocketAddr| {
        given.clone().unwrap_or_else(|| match listens.ip().is_unspecified() {
            true => format!("127.0.0.1:{}", listens.port()),
            false => listens.to_string(),
        })
    };
    let advertise = &config.advertise;
    Advertised {
        devices: or(&advertise.devices, listening.devices),
        grpc: or(&advertise.grpc, listening.grpc),
        http: or(&advertise.http, listening.http),
        peers: or(&advertise.peers, listening.peers),
    }
}
