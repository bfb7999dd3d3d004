//! `pollux.v1.Twins`.

use pollux_proto::v1::twins_server::Twins;
use pollux_proto::{convert, v1};
use pollux_twin::output::Answer;
use prost::Message;
use tonic::{Request, Response, Status};

use super::super::desk::unexpected;
use super::Grpc;
use super::watch::Events;
use crate::metrics::Method;

#[tonic::async_trait]
impl Twins for Grpc {
    type QueryStream = super::query::Answer;
    type WatchStream = Events;

    async fn get(
        &self,
        request: Request<v1::GetTwinRequest>,
    ) -> Result<Response<v1::GetTwinResponse>, Status> {
        let origin = self.origin(&request);
        let request = request.into_inner();
        self.respond(Method::TwinsGet, async {
            let call = convert::get(&request)?;
            let key = call.key.clone();
            if request.stale {
                let wanted = convert::freshness(&request.min_position, request.max_age_ms)?;
                let (view, stand) =
                    self.desk.stale(&origin.caller?, key.clone(), &wanted, origin.patience).await?;
                return Ok(v1::GetTwinResponse {
                    twin: Some(convert::twin_to_v1(&key, &view)),
                    position: stand.position.to_string(),
                    age_ms: stand.age_ms,
                });
            }
            match self.answer(origin, call).await? {
                Answer::Twin(view) => Ok(v1::GetTwinResponse {
                    twin: Some(convert::twin_to_v1(&key, &view)),
                    ..Default::default()
                }),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    async fn patch(
        &self,
        request: Request<v1::PatchTwinRequest>,
    ) -> Result<Response<v1::PatchTwinResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::TwinsPatch, async {
            let call = convert::patch(request.into_inner(), &self.desk.json)?;
            let answer = self.answer(origin, call).await?;
            convert::written(answer).map_err(|other| unexpected(&other))
        })
        .await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteTwinRequest>,
    ) -> Result<Response<v1::DeleteTwinResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::TwinsDelete, async {
            let call = convert::delete(request.into_inner())?;
            let answer = self.answer(origin, call).await?;
            convert::deleted(answer).map_err(|other| unexpected(&other))
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListTwinsRequest>,
    ) -> Result<Response<v1::ListTwinsResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::TwinsList, async {
            let page = convert::list(request.get_ref())?;
            let full = page.view == v1::ListView::Full;
            let (twins, next, stand) = self
                .desk
                .list(&origin.caller?, &page, |key, view| {
                    let twin = if full {
                        convert::twin_to_v1(key, view)
                    } else {
                        convert::summary(key, view)
                    };
                    let bytes = twin.encoded_len();
                    (twin, bytes)
                })
                .await?;
            let next_page_token = next.as_ref().map(convert::Page::token_after).unwrap_or_default();
            Ok(v1::ListTwinsResponse {
                twins,
                next_page_token,
                position: stand.position.to_string(),
                age_ms: stand.age_ms,
            })
        })
        .await
    }

    async fn query(
        &self,
        request: Request<v1::QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::TwinsQuery, async {
            super::query::answer(&self.desk, &origin.caller?, request.get_ref()).await
        })
        .await
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::TwinsWatch, async {
            super::watch::open(&self.desk, &origin.caller?, request.get_ref()).await
        })
        .await
    }
}
