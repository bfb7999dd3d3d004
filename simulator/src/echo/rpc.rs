//! The bare gRPC server: answers every read with the same twin. No lookup, no barrier.

use std::net::SocketAddr;

use pollux_proto::v1::twins_server::{Twins, TwinsServer};
use pollux_proto::v1::{
    DeleteTwinRequest, DeleteTwinResponse, GetTwinRequest, GetTwinResponse, ListTwinsRequest,
    ListTwinsResponse, PatchTwinRequest, PatchTwinResponse, Presence, QueryRequest, QueryResponse,
    SectionContent, Twin, WatchRequest, WatchResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::fault::Fault;
use crate::options::Options;
use crate::shape::mix;

/// Serves reads on `address` until dropped, each answered with a twin as one report of `options`
/// leaves it. `ready` hears the address it listens on.
pub async fn serve_reads(
    address: SocketAddr,
    options: &Options,
    ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), Fault> {
    let broken = |error: &dyn std::fmt::Display| Fault::Echo(error.to_string());
    let patch = options.shape.patch(1_000, options.report_bytes, mix(options.seed));
    let section = |json: String, version| SectionContent { json, version, ..Default::default() };
    let twin = Twin {
        tenant: options.tenant.clone(),
        device: options.name(0),
        version: 2,
        tags: Some(section("{}".to_owned(), 0)),
        desired: Some(section("{}".to_owned(), 0)),
        reported: Some(section(patch.to_json(), 1)),
        delta_json: "{}".to_owned(),
        presence: Some(Presence { connected: true, ..Default::default() }),
        ..Default::default()
    };
    let listener = TcpListener::bind(address).await.map_err(|error| broken(&error))?;
    ready(listener.local_addr().map_err(|error| broken(&error))?);
    Server::builder()
        .add_service(TwinsServer::new(Same { twin }))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .map_err(|error| broken(&error))
}

struct Same {
    twin: Twin,
}

fn only_reads<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this server only answers reads"))
}

#[tonic::async_trait]
impl Twins for Same {
    async fn get(&self, _: Request<GetTwinRequest>) -> Result<Response<GetTwinResponse>, Status> {
        Ok(Response::new(GetTwinResponse { twin: Some(self.twin.clone()), ..Default::default() }))
    }

    async fn patch(
        &self,
        _: Request<PatchTwinRequest>,
    ) -> Result<Response<PatchTwinResponse>, Status> {
        only_reads()
    }

    async fn delete(
        &self,
        _: Request<DeleteTwinRequest>,
    ) -> Result<Response<DeleteTwinResponse>, Status> {
        only_reads()
    }

    async fn list(
        &self,
        _: Request<ListTwinsRequest>,
    ) -> Result<Response<ListTwinsResponse>, Status> {
        only_reads()
    }

    type QueryStream = tokio_stream::Empty<Result<QueryResponse, Status>>;

    async fn query(&self, _: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        only_reads()
    }

    type WatchStream = tokio_stream::Empty<Result<WatchResponse, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        only_reads()
    }
}
