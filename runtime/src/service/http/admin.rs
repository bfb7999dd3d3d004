//! Paths for those who run a node: what there is, whether it lives, whether it serves, what it
//! counts.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::incoming::Incoming;
use super::{openapi, text};
use crate::metrics;

/// What a person sees who opens the address in a browser.
const INDEX: &str = "\
pollux: twins of devices, over HTTP and JSON

GET    /v1/twins?prefix=&page_size=&page_token=&view=summary|full   list
GET    /v1/twins/{device}                        the whole twin
PATCH  /v1/twins/{device}                        {\"tags\": {...}} or {\"desired\": {...}}
DELETE /v1/twins/{device}                        delete it
GET    /v1/twins/{device}/tags|desired|reported  one section
PATCH  /v1/twins/{device}/tags|desired           merge patch (RFC 7396); if-match: its etag
PUT    /v1/twins/{device}/tags|desired           replace it
GET    /v1/twins/{device}/watch                  changes, as server-sent events
GET    /v1/watch?prefix=&picture=true            changes of many
POST   /v1/twins/{device}/commands               {\"name\": \"restart\", \"wait\": true}
GET    /v1/twins/{device}/commands               those that are kept
GET    /v1/twins/{device}/commands/{id}          one
DELETE /v1/twins/{device}/commands/{id}          withdraw it while it waits
PUT    /v1/jobs/{name}                           {\"prefix\": \"\", \"desired\": {...}, \"canary\": 5}; GET, DELETE
GET    /v1/jobs                                  all of them
GET    /v1/jobs/{name}/devices?state=            where each of its devices stands
POST   /v1/jobs/{name}/pause|resume|cancel       steer it

The same under /v1/tenants/{tenant}/ for tenants other than `default`.
Writes take the headers pollux-caller (who you are) and idempotency-key (makes a retry harmless).
Where access is enforced, all but /, /healthz, /readyz and /openapi.json take authorization: Bearer TOKEN.

GET    /v1/access/whoami                         who you are there
GET    /v1/access/principals|policies|audit      who there is, what they may, what was changed
PUT    /v1/access/principals/{name}              {\"note\": \"...\"}; DELETE takes it away
POST   /v1/access/principals/{name}/tokens       a further token, shown this once
DELETE /v1/access/tokens/{token}                 make it worth nothing
PUT    /v1/access/policies/{name}                {\"principals\": [...], \"actions\": [...], \"on\": [...]}
POST   /v1/access/check                          what would be decided, and why

GET    /v1/status      this node and its shards
GET    /healthz        the process lives
GET    /readyz         every shard serves
GET    /metrics        numbers for Prometheus
GET    /openapi.json   all this for machines
";

pub(super) fn index() -> Response<Body> {
    text(StatusCode::OK, "text/plain; charset=utf-8", INDEX)
}

pub(super) fn alive() -> Response<Body> {
    text(StatusCode::OK, "text/plain; charset=utf-8", "alive\n")
}

pub(super) fn ready(incoming: &Incoming) -> Response<Body> {
    let readiness = incoming.desk.router.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, "application/json", serialised(&readiness))
}

pub(super) fn status(incoming: &Incoming) -> Response<Body> {
    text(StatusCode::OK, "application/json", serialised(&incoming.desk.router.status()))
}

pub(super) fn metrics(incoming: &Incoming) -> Response<Body> {
    text(StatusCode::OK, metrics::CONTENT_TYPE, incoming.desk.metrics.encode())
}

pub(super) fn openapi() -> Response<Body> {
    text(StatusCode::OK, "application/json", openapi::document().to_string())
}

fn serialised(plain: &impl serde::Serialize) -> String {
    serde_json::to_string(plain).expect("plain structs of numbers and text are JSON")
}
