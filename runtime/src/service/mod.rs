//! The two doors for services: gRPC and HTTP/JSON, over the same router.
//!
//! `grpc` and `http` are the doors, `listen` their sockets, `turn` when one writes, `desk` what both share. Of what they
//! do alike, `fleet` and `members` have types and groups of devices, `enrolments` and `provision` how devices come that
//! nobody registered, `enrolling` the same at the device endpoint, `import` very many that are registered, `deleted` those that can be brought back, `artifacts` what devices come for, `jobs` the calls about jobs, `subscriptions` what the
//! cluster remembers of watches. What a call means is the twin's business; what a refusal is called is proto's table.

mod access;
mod artifacts;
mod deleted;
mod desk;
mod enrolling;
mod enrolments;
mod fleet;
mod grpc;
mod health;
mod http;
mod import;
mod jobs;
mod limits;
mod listen;
mod members;
mod origin;
mod pace;
mod provision;
mod stale;
mod subscriptions;
mod tenants;
mod turn;
mod updates;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::meta::MetaPicture;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Fault;
use crate::access::Doorman;
use crate::artifacts::Depot;
use crate::clock::Clock;
use crate::cluster::Control;
use crate::config::ServiceConfig;
use crate::jobs::{Office, oversee};
use crate::metrics::Metrics;
use crate::pki::{Certificates, ServiceCertificates};
use crate::router::Router;

use self::desk::Desk;
pub(crate) use self::enrolling::Enrolling;
use self::listen::Listener;
use self::provision::Provisioning;

/// The services of a node, open.
pub(crate) struct Served {
    /// Where gRPC listens.
    pub(crate) grpc: SocketAddr,
    /// Where HTTP listens.
    pub(crate) http: SocketAddr,
    /// How devices enrol that come to the device endpoint.
    pub(crate) enrolling: Enrolling,
    tasks: JoinSet<()>,
}

impl Served {
    /// Waits until the calls under way are answered, at most for `patience`; what is not done by
    /// then is cut off. To be called once the token given to [`serve`] is cancelled.
    pub(crate) async fn stopped(mut self, patience: Duration) {
        let done = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, done).await.is_err() {
            tracing::warn!("calls of services were cut off, as the node stops");
            self.tasks.abort_all();
        }
    }
}

/// Has callers asked for certificates while there is an enrolment that takes any.
async fn ask_for_claims(tls: Arc<ServiceCertificates>, mut picture: watch::Receiver<MetaPicture>) {
    loop {
        tls.set_asks(!picture.borrow_and_update().meta.fleet.claims.is_empty());
        if picture.changed().await.is_err() {
            return;
        }
    }
}
/// What both doors share of the node.
pub(crate) type Parts = (Router, Control, Doorman, Depot, Arc<Metrics>);

/// Opens both doors. They close when `stopping` is cancelled, after the calls under way.
pub(crate) async fn serve(
    (router, control, doorman, depot, metrics): Parts,
    config: &ServiceConfig,
    (data_dir, certificates): (&Path, &Certificates),
    stopping: CancellationToken,
) -> Result<Served, Fault> {
    let tls = config.tls.as_ref().map(ServiceCertificates::open).transpose()?;
    let grpc_door = ("services by gRPC", "--grpc-listen");
    let grpc_tls = tls.as_ref().map(|tls| tls.grpc());
    let grpc = Listener::bind(config.grpc, grpc_door, grpc_tls, stopping.clone()).await?;
    let http_door = ("services by HTTP", "--http-listen");
    let http_tls = tls.as_ref().map(|tls| tls.http());
    let http = Listener::bind(config.http, http_door, http_tls, stopping.clone()).await?;
    let (grpc_address, http_address) = (grpc.address(), http.address());

    let picture = control.picture();
    let parts = (router.clone(), control, doorman, depot, metrics);
    let provisioning = Provisioning::open(data_dir, Clock::new().wall())?;
    certificates.add(Arc::<Provisioning>::clone(&provisioning));
    if let Some(tls) = tls {
        certificates.add(Arc::<ServiceCertificates>::clone(&tls));
        tokio::spawn(ask_for_claims(tls, picture));
    }
    let desk = Desk::new(parts, provisioning, stopping.clone(), config.depth_max);
    let enrolling = Enrolling::new(desk.clone());
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut tasks = JoinSet::new();
    tasks.spawn(subscriptions::keep(desk.clone(), stopping.clone()));
    let office = Office::new(router.clone(), desk.doorman.clone());
    tasks.spawn(oversee(office, stopping.clone()));
    tasks.spawn(grpc::serve(desk.clone(), health, grpc, stopping.clone()));
    tasks.spawn(http::serve(desk, http, stopping.clone()));
    tasks.spawn(health::report(router, reporter, stopping));
    Ok(Served { grpc: grpc_address, http: http_address, enrolling, tasks })
}
