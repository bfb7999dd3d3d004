//! The gRPC door: `pollux.v1`, health and reflection. Its messages and refusals are proto's.

mod access;
mod artifacts;
mod cluster;
mod commands;
mod devices;
mod enrolments;
mod fleet;
mod jobs;
mod query;
mod subscriptions;
mod tenants;
mod twins;
mod watch;

use std::time::Duration;

use pollux_proto::convert;
use pollux_proto::status::to_status;
use pollux_proto::v1::FILE_DESCRIPTOR_SET;
use pollux_proto::v1::access_server::AccessServer;
use pollux_proto::v1::artifacts_server::ArtifactsServer;
use pollux_proto::v1::cluster_server::ClusterServer;
use pollux_proto::v1::commands_server::CommandsServer;
use pollux_proto::v1::devices_server::DevicesServer;
use pollux_proto::v1::enrolments_server::EnrolmentsServer;
use pollux_proto::v1::groups_server::GroupsServer;
use pollux_proto::v1::jobs_server::JobsServer;
use pollux_proto::v1::subscriptions_server::SubscriptionsServer;
use pollux_proto::v1::tenants_server::TenantsServer;
use pollux_proto::v1::twins_server::TwinsServer;
use pollux_proto::v1::types_server::TypesServer;
use pollux_twin::Rejection;
use pollux_twin::input::CallKey;
use pollux_twin::output::Answer;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};

use super::desk::{Desk, reason};
use super::limits::{
    ANSWER_MARGIN, HEADERS_BYTES_MAX, PROBE_PERIOD, REQUEST_BYTES_MAX, STREAMS_MAX,
};
use super::listen::{Listener, Peer};
use super::origin;
use crate::access::Caller;
use crate::metrics::{Door, Method};
use crate::router::Call;

/// The services of `pollux.v1`.
#[derive(Clone)]
pub(super) struct Grpc {
    desk: Desk,
}

/// Serves until the node stops.
pub(super) async fn serve(
    desk: Desk,
    health: HealthServer<impl Health>,
    listener: Listener,
    stopping: CancellationToken,
) {
    let grpc = Grpc { desk };
    let reflection = |builder: tonic_reflection::server::Builder<'static>| {
        builder
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection(tonic_reflection::server::Builder::configure()).build_v1();
    let v1alpha = reflection(tonic_reflection::server::Builder::configure()).build_v1alpha();
    let twins = TwinsServer::new(grpc.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let cluster = ClusterServer::new(cluster::ClusterDoor(grpc.desk.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let access = AccessServer::new(access::AccessDoor(grpc.desk.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let artifacts = ArtifactsServer::new(artifacts::ArtifactsDoor(grpc.desk.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let fleet = fleet::FleetDoor(grpc.desk.clone());
    let types = TypesServer::new(fleet.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let enrolments =
        EnrolmentsServer::new(fleet.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let tenants = TenantsServer::new(fleet.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let groups = GroupsServer::new(fleet).max_decoding_message_size(REQUEST_BYTES_MAX);
    let devices = DevicesServer::new(grpc.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let subscriptions =
        SubscriptionsServer::new(grpc.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let jobs = JobsServer::new(grpc.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let commands = CommandsServer::new(grpc).max_decoding_message_size(REQUEST_BYTES_MAX);
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(PROBE_PERIOD))
        .http2_keepalive_timeout(Some(PROBE_PERIOD))
        .add_service(twins)
        .add_service(commands)
        .add_service(devices)
        .add_service(types)
        .add_service(groups)
        .add_service(enrolments)
        .add_service(tenants)
        .add_service(subscriptions)
        .add_service(artifacts)
        .add_service(jobs)
        .add_service(cluster)
        .add_service(access)
        .add_service(health)
        .add_service(v1.expect("the descriptors were made by the build"))
        .add_service(v1alpha.expect("the descriptors were made by the build"))
        .serve_with_incoming_shutdown(listener.into_stream(), stopping.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the gRPC door closed");
    }
}

/// Who calls and for how long, as the metadata says.
struct Origin {
    caller: Result<Caller, Rejection>,
    patience: Option<Duration>,
}

impl Origin {
    fn of<T>(desk: &Desk, request: &Request<T>) -> Self {
        let metadata = request.metadata();
        let caller = caller(desk, request);
        let timeout = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let patience = timeout
            .and_then(origin::grpc_timeout)
            .map(|timeout| timeout.saturating_sub(ANSWER_MARGIN.min(timeout / 4)));
        Self { caller, patience }
    }
}

/// Who makes a request.
fn caller<T>(desk: &Desk, request: &Request<T>) -> Result<Caller, Rejection> {
    let value = |name| request.metadata().get(name).map(|value| value.as_bytes());
    let from = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let named = || origin::caller(value(origin::CALLER));
    desk.doorman.authenticate(value("authorization"), from, named)
}

impl Grpc {
    fn origin<T>(&self, request: &Request<T>) -> Origin {
        Origin::of(&self.desk, request)
    }

    /// Carries out one call to one twin.
    async fn answer(&self, origin: Origin, call: convert::Call) -> Result<Answer, Rejection> {
        let convert::Call { key, idempotency_key, request } = call;
        let timeout = origin::timeout(&request, origin.patience);
        let who = origin.caller?;
        let idempotency_key = idempotency_key.map(CallKey::Own);
        let caller = who.name.to_string();
        self.desk.call(&who, Call { key, caller, idempotency_key, request, timeout }).await
    }

    async fn respond<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, Rejection>>,
    ) -> Result<Response<T>, Status> {
        let result = self.desk.measured(Door::Grpc, method, reason, call).await;
        result.map(Response::new).map_err(|rejection| to_status(&rejection))
    }
}
