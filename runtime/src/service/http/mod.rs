//! The HTTP door: the calls of `pollux.v1` as JSON, watches as server-sent events, and the paths
//! for operators. `routes` is the one table of what there is; `openapi` describes that table.

mod access;
mod admin;
mod artifacts;
mod commands;
mod devices;
mod enrolments;
mod event;
mod fleet;
mod import;
mod incoming;
mod jobs;
mod openapi;
mod problem;
mod query;
mod range;
mod routes;
mod subscriptions;
mod tag;
mod tenants;
mod twins;
mod watch;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use pollux_twin::Value;
use tokio_util::sync::CancellationToken;

use self::problem::Problem;
use super::desk::Desk;
use super::listen::{Listener, Peer};

/// Serves until the node stops.
pub(super) async fn serve(desk: Desk, listener: Listener, stopping: CancellationToken) {
    let served =
        axum::serve(listener, routes::router(desk).into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(stopping.cancelled_owned())
            .await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP door closed");
    }
}

/// An answer in JSON.
fn json(status: StatusCode, body: &Value) -> Response<Body> {
    text(status, "application/json", body.to_json())
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An object of these members.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What is on a page, and where to go on, if that is not the end.
fn page(what: &str, all: Vec<Value>, next: String) -> Value {
    event::with(
        object([(what, all.into())]),
        "next_page_token",
        (!next.is_empty()).then(|| next.into()),
    )
}

/// An answer of another kind than was asked for.
fn unexpected(answer: &pollux_twin::output::Answer) -> Problem {
    super::desk::unexpected(answer).into()
}

async fn no_such_path() -> impl IntoResponse {
    let detail = "there is no such path; / lists those there are, /openapi.json describes them";
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail)
}

async fn method_not_allowed() -> impl IntoResponse {
    let detail = "this path does not take that method; the header allow lists those it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
