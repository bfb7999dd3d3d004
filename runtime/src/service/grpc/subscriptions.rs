//! `pollux.v1.Subscriptions`.

use std::future::ready;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::subscriptions_server::Subscriptions;
use pollux_proto::v1::watch_response::Event;
use pollux_twin::Rejection;
use pollux_twin::id::DEFAULT_TENANT;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::super::limits::{UNACKNOWLEDGED, UNACKNOWLEDGED_MAX};
use super::super::subscriptions::{Consumption, End, Expects, Record, Tells};
use super::{Grpc, watch};
use crate::metrics::Method;

/// Who hears a consumer's events.
type Events = mpsc::Sender<Result<v1::WatchResponse, Status>>;

#[tonic::async_trait]
impl Subscriptions for Grpc {
    type ConsumeStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn create(
        &self,
        request: Request<v1::CreateSubscriptionRequest>,
    ) -> Result<Response<v1::Subscription>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsCreate, async {
            let caller = origin.caller?;
            let asked = request.into_inner().subscription.unwrap_or_default();
            Ok(self.desk.subscribe(&caller, Record::from_v1(asked)).await?.to_v1())
        })
        .await
    }

    async fn get(
        &self,
        request: Request<v1::GetSubscriptionRequest>,
    ) -> Result<Response<v1::Subscription>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsGet, async {
            let caller = origin.caller?;
            let v1::GetSubscriptionRequest { tenant, name } = request.into_inner();
            self.desk.subscription_and_behind(&caller, &tenant, &name).await
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListSubscriptionsRequest>,
    ) -> Result<Response<v1::ListSubscriptionsResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsList, async {
            let caller = origin.caller?;
            let tenant = match request.get_ref().tenant.as_str() {
                "" => DEFAULT_TENANT,
                tenant => tenant,
            };
            let found = self.desk.subscriptions(&caller, tenant).await?;
            let subscriptions = found.iter().map(Record::to_v1).collect();
            Ok(v1::ListSubscriptionsResponse { subscriptions })
        })
        .await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteSubscriptionRequest>,
    ) -> Result<Response<v1::DeleteSubscriptionResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsDelete, async {
            let caller = origin.caller?;
            let v1::DeleteSubscriptionRequest { tenant, name } = request.into_inner();
            self.desk.unsubscribe(&caller, &tenant, &name).await?;
            Ok(v1::DeleteSubscriptionResponse {})
        })
        .await
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRequest>,
    ) -> Result<Response<v1::Subscription>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsAcknowledge, async {
            let caller = origin.caller?;
            let v1::AcknowledgeRequest { tenant, name, position, consumer } = request.into_inner();
            let done = (position.as_str(), consumer.as_str());
            Ok(self.desk.acknowledge(&caller, &tenant, &name, done).await?.to_v1())
        })
        .await
    }

    async fn consume(
        &self,
        request: Request<Streaming<v1::ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::SubscriptionsConsume, async {
            let caller = origin.caller?;
            let mut said = request.into_inner();
            let open = opening(&mut said).await?;
            let most = match open.unacknowledged_max {
                0 => UNACKNOWLEDGED,
                most => most.min(UNACKNOWLEDGED_MAX),
            };
            let named = (open.tenant.as_str(), open.name.as_str());
            let consumption =
                Consumption::open(&self.desk, &caller, named, &open.consumer, u64::from(most))
                    .await?;
            let (events, out) = mpsc::channel(1);
            tokio::spawn(consume(consumption, said, events));
            Ok(Box::pin(ReceiverStream::new(out)) as Self::ConsumeStream)
        })
        .await
    }
}

async fn opening(
    said: &mut Streaming<v1::ConsumeRequest>,
) -> Result<v1::OpenSubscription, Rejection> {
    use v1::consume_request::What;
    match said.message().await {
        Ok(Some(v1::ConsumeRequest { what: Some(What::Open(open)) })) => Ok(open),
        _ => Err(Rejection::Invalid {
            reason: "the first message of a consumer opens a subscription; set `open`".to_owned(),
        }),
    }
}

async fn consume(
    mut consumption: Consumption,
    said: Streaming<v1::ConsumeRequest>,
    events: Events,
) {
    use v1::consume_request::What;
    let acknowledged = said.take_while(|said| ready(said.is_ok())).map(|said| match said {
        Ok(v1::ConsumeRequest { what: Some(What::Acknowledge(position)) }) => Ok(position),
        _ => Err(End::NotAnEvent),
    });
    let ended = consumption.drive(&events, acknowledged, written).await;
    // What was acknowledged last is remembered too, if the turn is still its own.
    let ended = match ended {
        Ok(()) | Err(End::NotAnEvent) => consumption.finish().await.and(ended),
        over => over,
    };
    if let Err(end) = ended {
        let _ = events.send(Err(status(end))).await;
    }
}

fn written(told: Tells) -> Option<(Result<v1::WatchResponse, Status>, Expects)> {
    let response = match told {
        Tells::Event(item, shard) => {
            let shard = shard.map(|shard| u32::from(shard.0));
            v1::WatchResponse { shard, ..watch::response(*item)? }
        }
        Tells::Sharing(sharing) => {
            v1::WatchResponse { event: Some(Event::Sharing(sharing)), ..Default::default() }
        }
    };
    let position = || response.position.clone();
    let expects = match &response.event {
        Some(Event::Progress(_)) => Expects::Place(position()),
        Some(Event::Telemetry(_) | Event::Sharing(_)) => Expects::Nothing,
        _ => Expects::Acknowledgement(position()),
    };
    Some((Ok(response), expects))
}

fn status(end: End) -> Status {
    match end {
        End::TakenOver => Status::aborted(
            "another consumer has the subscription now, or it was deleted; open it again to take it back",
        ),
        End::Forgotten => Status::unavailable(
            "the consumer was not heard of for a while, and what it held is others'; open it again",
        ),
        End::NotAnEvent => Status::invalid_argument(
            "acknowledge: not the position of an event that came; give it unchanged, and each once",
        ),
        End::Refused(rejection) => to_status(&rejection),
    }
}
