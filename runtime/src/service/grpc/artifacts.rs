//! `pollux.v1.Artifacts`.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::artifacts_server::Artifacts;
use pollux_proto::v1::{get_artifact_response as got, put_artifact_request as put};
use pollux_twin::Rejection;
use tonic::{Request, Response, Status, Streaming};

use super::super::access::AccessFault;
use super::super::artifacts::Brought;
use super::super::desk::{Desk, reason};
use super::super::limits::BODY_TIME_MAX;
use super::access::status;
use super::caller;
use crate::access::Caller;

/// The service over what both doors share.
#[derive(Clone)]
pub(super) struct ArtifactsDoor(pub(super) Desk);

type Answer<T> = Result<Response<T>, Status>;

impl ArtifactsDoor {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        caller(&self.0, request).map_err(|rejection| {
            self.0.metrics.rejections_total.of(reason(&rejection)).inc();
            to_status(&rejection)
        })
    }
}

fn invalid(reason: &str) -> Rejection {
    Rejection::Invalid { reason: reason.to_owned() }
}

/// What the first message says of what comes.
fn brought(asked: v1::NewArtifact) -> Result<Brought, Rejection> {
    let v1::NewArtifact { tenant, name, version, media_type, sha256, signature, key, size } = asked;
    let wrong = |_| invalid("sha256: takes 32 bytes");
    let sha256 = Some(sha256).filter(|bytes| !bytes.is_empty()).map(<[u8; 32]>::try_from);
    let sha256 = sha256.transpose().map_err(wrong)?;
    let wrong = |_| invalid("signature: takes the 64 bytes of an Ed25519 signature");
    let signature = Some(signature).filter(|bytes| !bytes.is_empty()).map(<[u8; 64]>::try_from);
    let signature = signature.transpose().map_err(wrong)?.map(|bytes| (key, bytes));
    let size = Some(size).filter(|size| *size > 0);
    Ok(Brought { tenant, name, version, media_type, sha256, signature, size })
}

/// The bytes that come after it.
fn pieces(
    messages: Streaming<v1::PutArtifactRequest>,
) -> impl Stream<Item = Result<Bytes, Rejection>> + Send {
    stream::unfold(Some(messages), |messages| async move {
        let mut messages = messages?;
        let broken = |why| Some((Err(invalid(why)), None));
        match tokio::time::timeout(BODY_TIME_MAX, messages.message()).await {
            Ok(Ok(None)) => None,
            Ok(Ok(Some(v1::PutArtifactRequest { part: Some(put::Part::Data(data)) }))) => {
                Some((Ok(Bytes::from(data)), Some(messages)))
            }
            Ok(Ok(Some(_))) => broken("stream: only its first message says what comes"),
            Ok(Err(_)) => broken("stream: it ended before its end"),
            Err(_) => broken("stream: nothing came for too long"),
        }
    })
}

#[tonic::async_trait]
impl Artifacts for ArtifactsDoor {
    async fn put(
        &self,
        request: Request<Streaming<v1::PutArtifactRequest>>,
    ) -> Answer<v1::Artifact> {
        let caller = self.caller(&request)?;
        let mut messages = request.into_inner();
        let first = tokio::time::timeout(BODY_TIME_MAX, messages.message()).await;
        let first = first.ok().and_then(Result::ok).flatten().and_then(|first| first.part);
        let Some(put::Part::Artifact(asked)) = first else {
            return Err(to_status(&invalid("stream: its first message says what comes")));
        };
        let brought = brought(asked).map_err(|rejection| to_status(&rejection))?;
        let put = self.0.put_artifact(&caller, brought, pieces(messages));
        Box::pin(put).await.map(Response::new).map_err(status)
    }

    type GetStream = Pin<Box<dyn Stream<Item = Result<v1::GetArtifactResponse, Status>> + Send>>;

    async fn get(&self, request: Request<v1::GetArtifactRequest>) -> Answer<Self::GetStream> {
        let caller = self.caller(&request)?;
        let v1::GetArtifactRequest { tenant, name, version, offset } = request.into_inner();
        let opened = self.0.open_artifact(&caller, (&tenant, &name, &version)).await;
        let opened = opened.map_err(status)?;
        let size = opened.artifact.size;
        if offset > size {
            let reason = format!("offset: {offset}; the artifact has {size} bytes");
            return Err(to_status(&Rejection::Invalid { reason }));
        }
        let read = opened.read(offset..size).await.map_err(status)?;
        let of = |part| v1::GetArtifactResponse { part: Some(part) };
        let first = of(got::Part::Artifact(opened.artifact));
        let rest = read.map(move |piece| match piece {
            Ok(piece) => Ok(of(got::Part::Data(piece.into()))),
            Err(fault) => Err(status(AccessFault::from(fault))),
        });
        Ok(Response::new(stream::iter([Ok(first)]).chain(rest).boxed()))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeArtifactRequest>,
    ) -> Answer<v1::Artifact> {
        let caller = self.caller(&request)?;
        let v1::DescribeArtifactRequest { tenant, name, version } = request.get_ref();
        let found = self.0.get_artifact(&caller, (tenant, name, version)).await;
        found.map(Response::new).map_err(status)
    }

    async fn list(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Answer<v1::ListArtifactsResponse> {
        let caller = self.caller(&request)?;
        self.0.list_artifacts(&caller, request.get_ref()).map(Response::new).map_err(status)
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveArtifactRequest>,
    ) -> Answer<v1::RemoveArtifactResponse> {
        let caller = self.caller(&request)?;
        let v1::RemoveArtifactRequest { tenant, name, version } = request.get_ref();
        let removed = self.0.remove_artifact(&caller, (tenant, name, version));
        let removed = Box::pin(removed).await;
        removed.map(|()| Response::new(v1::RemoveArtifactResponse {})).map_err(status)
    }

    async fn put_key(
        &self,
        request: Request<v1::PutArtifactKeyRequest>,
    ) -> Answer<v1::ArtifactKey> {
        let caller = self.caller(&request)?;
        let put = self.0.put_artifact_key(&caller, request.into_inner()).await;
        put.map(Response::new).map_err(status)
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListArtifactKeysRequest>,
    ) -> Answer<v1::ListArtifactKeysResponse> {
        let caller = self.caller(&request)?;
        let found = self.0.list_artifact_keys(&caller, &request.get_ref().tenant);
        found.map(Response::new).map_err(status)
    }

    async fn remove_key(
        &self,
        request: Request<v1::RemoveArtifactKeyRequest>,
    ) -> Answer<v1::RemoveArtifactKeyResponse> {
        let caller = self.caller(&request)?;
        let v1::RemoveArtifactKeyRequest { tenant, name } = request.into_inner();
        let removed = self.0.remove_artifact_key(&caller, &tenant, name).await;
        removed.map(|()| Response::new(v1::RemoveArtifactKeyResponse {})).map_err(status)
    }
}
