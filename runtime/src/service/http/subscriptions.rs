//! Subscriptions over HTTP: events as server-sent events, acknowledged by calls beside them.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::sse::Event;
use futures_util::stream;
use pollux_proto::{status, v1};
use pollux_twin::Value;
use pollux_twin::id::DEFAULT_TENANT;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::subscriptions::{Consumption, End, Expects, Record, Tells};
use super::devices::{flag, no_more, object as members, text};
use super::event::{self, with};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object, watch};
use crate::metrics::Method;

/// An event as it goes out.
type Told = Result<Event, Infallible>;

/// What is asked of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    List,
    Put,
    Get,
    Delete,
    Consume,
    Acknowledge,
}

impl Call {
    /// The call that it is counted as.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::List => Method::SubscriptionsList,
            Self::Put => Method::SubscriptionsCreate,
            Self::Get => Method::SubscriptionsGet,
            Self::Delete => Method::SubscriptionsDelete,
            Self::Consume => Method::SubscriptionsConsume,
            Self::Acknowledge => Method::SubscriptionsAcknowledge,
        }
    }
}

/// Carries out a call.
pub(super) async fn call(
    call: Call,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let known: &[&str] = if call == Call::Consume { &["consumer"] } else { &[] };
    let consumer = incoming.arguments(known)?.text("consumer").unwrap_or_default().to_owned();
    let tenant = match incoming.tenant() {
        "" => DEFAULT_TENANT.to_owned(),
        tenant => tenant.to_owned(),
    };
    let caller = incoming.caller()?.clone();
    let (desk, name) = (incoming.desk.clone(), incoming.name().to_owned());
    let record = match call {
        Call::List => {
            let all: Vec<_> = desk
                .subscriptions(&caller, &tenant)
                .await?
                .iter()
                .map(|one| shown(&one.to_v1()))
                .collect();
            return Ok(json(StatusCode::OK, &object([("subscriptions", all.into())])));
        }
        Call::Delete => {
            desk.unsubscribe(&caller, &tenant, &name).await?;
            return Ok(json(StatusCode::OK, &Value::object()));
        }
        Call::Consume => {
            // What is sent is bounded by how fast the caller reads; acknowledgements come beside it.
            let consumption =
                Consumption::open(&desk, &caller, (&tenant, &name), &consumer, u64::MAX).await?;
            return Ok(watch::answer(events(consumption)));
        }
        Call::Put => {
            let asked = asked(incoming.json(body, Form::Json).await?, tenant, name)?;
            desk.subscribe(&caller, Record::from_v1(asked)).await?
        }
        Call::Get => {
            let found = desk.subscription_and_behind(&caller, &tenant, &name).await?;
            return Ok(json(StatusCode::OK, &shown(&found)));
        }
        Call::Acknowledge => {
            let mut given = members(incoming.json(body, Form::Json).await?)?;
            let position = text(&mut given, "position")?.unwrap_or_default();
            let consumer = text(&mut given, "consumer")?.unwrap_or_default();
            no_more(&given, "this call", "position and consumer")?;
            desk.acknowledge(&caller, &tenant, &name, (&position, &consumer)).await?
        }
    };
    Ok(json(StatusCode::OK, &shown(&record.to_v1())))
}

/// `{"device" or "prefix": …, "filter": …, "picture": …, "telemetry": …, "shared": …}`, all of which may be left out.
fn asked(body: Value, tenant: String, name: String) -> Result<v1::Subscription, Problem> {
    use v1::subscription::Whose;
    let mut given = members(body)?;
    let whose = match (text(&mut given, "device")?, text(&mut given, "prefix")?) {
        (Some(device), None) => Some(Whose::Device(device)),
        (None, prefix) => prefix.map(Whose::Prefix),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("body: takes either a device or a prefix"));
        }
    };
    let filter = text(&mut given, "filter")?.unwrap_or_default();
    let mut is = |name| flag(&mut given, name);
    let (picture, telemetry, shared) = (is("picture")?, is("telemetry")?, is("shared")?);
    no_more(&given, "a subscription", "device or prefix, filter, picture, telemetry and shared")?;
    let more = v1::Subscription { picture, telemetry, shared, ..Default::default() };
    Ok(v1::Subscription { tenant, name, whose, filter, ..more })
}

fn shown(one: &v1::Subscription) -> Value {
    use v1::subscription::Whose;
    let whose = match &one.whose {
        Some(Whose::Device(device)) => ("device", device.as_str().into()),
        Some(Whose::Prefix(prefix)) => ("prefix", prefix.as_str().into()),
        None => ("prefix", "".into()),
    };
    let behind = |body, behind: Option<u64>| with(body, "behind", behind.map(Value::from));
    let consumers = one.consumers.iter().map(|one| {
        let known = [("name", one.name.as_str().into()), ("shards", u64::from(one.shards).into())];
        behind(object(known), one.behind)
    });
    let known = object([
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        whose,
        ("filter", one.filter.as_str().into()),
        ("picture", one.picture.into()),
        ("position", one.position.as_str().into()),
        ("turn", one.turn.into()),
        ("telemetry", one.telemetry.into()),
        ("shared", one.shared.into()),
        ("consumers", consumers.collect::<Vec<_>>().into()),
    ]);
    behind(known, one.behind)
}

fn sharing_body(sharing: &v1::Sharing) -> Value {
    let shards: Vec<Value> = sharing.shards.iter().map(|shard| u64::from(*shard).into()).collect();
    object([
        ("consumer", sharing.consumer.as_str().into()),
        ("shards", shards.into()),
        ("of", u64::from(sharing.of).into()),
        ("consumers", u64::from(sharing.consumers).into()),
    ])
}

fn events(consumption: Consumption) -> ReceiverStream<Told> {
    let (events, out) = mpsc::channel(1);
    tokio::spawn(consume(consumption, events));
    ReceiverStream::new(out)
}

/// Tells events at the pace of who takes them, and says at the end why it is one. Who hangs up leaves.
async fn consume(mut consumption: Consumption, events: mpsc::Sender<Told>) {
    let Err(end) = consumption.drive(&events, stream::pending(), written).await else { return };
    // The last event says whether to come back: who was taken over would only take it back.
    let reason = match end {
        End::TakenOver => "taken_over",
        End::Forgotten => "forgotten",
        End::NotAnEvent => "invalid",
        End::Refused(rejection) => status::row(&rejection).reason,
    };
    let body = object([("reason", reason.into())]);
    let _ = events.send(Ok(watch::event(("ended", String::new(), body)))).await;
}

fn written(told: Tells) -> Option<(Told, Expects)> {
    let (name, position, body) = match told {
        Tells::Event(item, shard) => {
            let (name, position, body) = event::of(*item)?;
            (name, position, with(body, "shard", shard.map(|shard| u64::from(shard.0).into())))
        }
        Tells::Sharing(sharing) => ("sharing", String::new(), sharing_body(&sharing)),
    };
    let expects = match name {
        "progress" => Expects::Place(position.clone()),
        "telemetry" | "sharing" => Expects::Nothing,
        _ => Expects::Beside,
    };
    Some((Ok(watch::event((name, position, body))), expects))
}
