//! Watches as server-sent events (the HTML standard's `EventSource`): each event's id is the
//! position to resume from, which a browser sends back by itself as `Last-Event-ID`.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use pollux_proto::{convert, v1};
use pollux_twin::Value;

use super::super::desk::Watching;
use super::super::limits::WATCH_KEEP_ALIVE;
use super::event;
use super::incoming::Incoming;
use super::problem::Problem;

/// What a watch of one twin takes.
const ONE: &[&str] = &["position", "picture", "filter", "telemetry"];
/// What a watch of many takes.
const FLEET: &[&str] = &["prefix", "position", "picture", "filter", "telemetry"];

/// Watches the tenant's twins, or those whose name begins with `?prefix=`.
pub(super) async fn fleet(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    let prefix = incoming.arguments(FLEET)?;
    let prefix = prefix.text("prefix").unwrap_or_default().to_owned();
    open(incoming, v1::watch_request::Whose::Prefix(prefix)).await
}

/// Watches one twin.
pub(super) async fn one(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    incoming.arguments(ONE)?;
    let device = incoming.key()?.device().to_owned();
    open(incoming, v1::watch_request::Whose::Device(device)).await
}

async fn open(
    incoming: &Incoming,
    whose: v1::watch_request::Whose,
) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(FLEET)?;
    // The header is newer than the address, which a browser keeps when it reconnects.
    let position = match incoming.header("last-event-id")? {
        Some(id) if !id.is_empty() => id,
        _ => arguments.text("position").unwrap_or_default().to_owned(),
    };
    let asked = convert::watch(&v1::WatchRequest {
        tenant: incoming.tenant().to_owned(),
        whose: Some(whose),
        position,
        picture: arguments.flag("picture")?,
        filter: arguments.text("filter").unwrap_or_default().to_owned(),
        tell_start: false,
        batch: false,
        telemetry: arguments.flag("telemetry")?,
    })?;
    let watching = incoming.desk.watch(incoming.caller()?, &asked).await?;
    Ok(answer(stream::unfold(watching, next)))
}

/// The answer that goes on with these events.
pub(super) fn answer(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response<Body> {
    let keep_alive = KeepAlive::new().interval(WATCH_KEEP_ALIVE).text("alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back until its buffer is full.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An event of a watch as one of the stream.
pub(super) fn event((name, position, body): (&'static str, String, Value)) -> Event {
    let event = Event::default().event(name).data(body.to_json());
    if position.is_empty() { event } else { event.id(position) }
}

async fn next(mut watching: Watching) -> Option<(Result<Event, Infallible>, Watching)> {
    loop {
        // Where the node stops, or the caller may no longer, the stream ends, and the client comes back with
        // its position.
        let item = watching.next().await?.ok()?;
        if let Some(item) = event::of(item) {
            return Some((Ok(event(item)), watching));
        }
    }
}
