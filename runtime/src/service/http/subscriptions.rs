//! Subscriptions over HTTP: events as server-sent events, acknowledged by calls beside them.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::sse::Event;
use futures_util::{Stream, stream};
use pollux_proto::{status, v1};
use pollux_twin::Value;
use pollux_twin::id::DEFAULT_TENANT;

use super::super::subscriptions::{Consumption, End, Next, Record};
use super::devices::{no_more, object as members, text};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{event, json, object, watch};
use crate::metrics::Method;

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
    incoming.arguments(&[])?;
    let tenant = match incoming.tenant() {
        "" => DEFAULT_TENANT.to_owned(),
        tenant => tenant.to_owned(),
    };
    let caller = incoming.caller()?.clone();
    let (desk, name) = (incoming.desk.clone(), incoming.name().to_owned());
    let record = match call {
        Call::List => {
            let all: Vec<_> =
                desk.subscriptions(&caller, &tenant).await?.iter().map(shown).collect();
            return Ok(json(StatusCode::OK, &object([("subscriptions", all.into())])));
        }
        Call::Delete => {
            desk.unsubscribe(&caller, &tenant, &name).await?;
            return Ok(json(StatusCode::OK, &Value::object()));
        }
        Call::Consume => {
            // What is sent is bounded by how fast the caller reads; acknowledgements come beside it.
            let consumption = Consumption::open(&desk, &caller, &tenant, &name, u64::MAX).await?;
            return Ok(watch::answer(events(consumption)));
        }
        Call::Put => {
            let asked = asked(incoming.json(body, Form::Json).await?, tenant, name)?;
            desk.subscribe(&caller, Record::from_v1(asked)).await?
        }
        Call::Get => desk.subscription(&caller, &tenant, &name).await?.record,
        Call::Acknowledge => {
            let mut given = members(incoming.json(body, Form::Json).await?)?;
            let position = text(&mut given, "position")?.unwrap_or_default();
            no_more(&given, "this call", "position")?;
            desk.acknowledge(&caller, &tenant, &name, &position).await?
        }
    };
    Ok(json(StatusCode::OK, &shown(&record)))
}

/// `{"device" or "prefix": …, "filter": …, "picture": …}`, all of which may be left out.
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
    let picture = match given.remove("picture") {
        None => false,
        Some(Value::Bool(picture)) => picture,
        Some(_) => return Err(Problem::invalid("body: picture takes true or false")),
    };
    no_more(&given, "a subscription", "device or prefix, filter and picture")?;
    Ok(v1::Subscription { tenant, name, whose, filter, picture, ..Default::default() })
}

fn shown(record: &Record) -> Value {
    let whose = match &record.device {
        Some(device) => ("device", device.as_str().into()),
        None => ("prefix", record.prefix.as_str().into()),
    };
    object([
        ("tenant", record.tenant.as_str().into()),
        ("name", record.name.as_str().into()),
        whose,
        ("filter", record.filter.as_str().into()),
        ("picture", record.picture.into()),
        ("position", record.position.as_str().into()),
        ("turn", record.turn.into()),
    ])
}

fn events(consumption: Consumption) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(Some(consumption), |consumption| async {
        let mut consumption = consumption?;
        loop {
            let ended = match consumption.next().await {
                Next::Event(item) => {
                    if let Some(event) = event::of(*item).map(watch::event) {
                        return Some((Ok(event), Some(consumption)));
                    }
                    continue;
                }
                Next::Keep => match consumption.keep().await {
                    Ok(()) => continue,
                    Err(end) => end,
                },
                Next::Over(rejection) => End::Refused(rejection),
            };
            // The last event says whether to come back: who was taken over would only take it back.
            let reason = match ended {
                End::TakenOver => "taken_over",
                End::NotAnEvent => "invalid",
                End::Refused(rejection) => status::row(&rejection).reason,
            };
            let body = object([("reason", reason.into())]);
            return Some((Ok(watch::event(("ended", String::new(), body))), None));
        }
    })
}
