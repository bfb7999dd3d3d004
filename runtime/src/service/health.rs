//! Carries what the node says of its readiness to gRPC's health service.

use pollux_proto::v1::commands_server::CommandsServer;
use pollux_proto::v1::twins_server::TwinsServer;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::grpc::Grpc;
use super::limits::HEALTH_PERIOD;
use crate::router::Router;

/// What is reported on; the empty name stands for the node.
const NAMES: [&str; 3] =
    ["", <TwinsServer<Grpc> as NamedService>::NAME, <CommandsServer<Grpc> as NamedService>::NAME];

/// Reports until the node stops: then, once more, that it does not serve.
pub(super) async fn report(router: Router, reporter: HealthReporter, stopping: CancellationToken) {
    let mut known = None;
    loop {
        let ready = router.readiness().ready && !stopping.is_cancelled();
        if known != Some(ready) {
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in NAMES {
                reporter.set_service_status(name, status).await;
            }
            known = Some(ready);
        }
        if stopping.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(HEALTH_PERIOD) => {}
        }
    }
}
