//! A request as the calls see it: names from the path, checked arguments, a bounded body.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
};
use axum::http::request::Parts;
use http_body_util::{BodyExt, Limited};
use pollux_cluster::access::{Action, On};
use pollux_proto::convert;
use pollux_twin::input::{CallKey, Request as Asked};
use pollux_twin::json::JsonErrorKind;
use pollux_twin::output::Answer;
use pollux_twin::{JsonLimits, Rejection, TwinKey, Value};

use super::super::desk::Desk;
use super::super::limits::{BODY_TIME_MAX, REQUEST_BYTES_MAX};
use super::super::listen::{Peer, Shown};
use super::super::origin;
use super::problem::Problem;
use crate::access::Caller;
use crate::router::Call;

/// What a body may say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/json`.
    Json,
    /// `application/merge-patch+json`, or `application/json` which means the same here.
    MergePatch,
    /// `application/x-ndjson`: a line of JSON for each of many.
    Lines,
}

/// A request without its body.
pub(super) struct Incoming {
    pub(super) desk: Desk,
    pub(super) headers: HeaderMap,
    caller: Result<Caller, Rejection>,
    /// The certificates that the caller showed.
    pub(super) shown: Shown,
    path: Vec<(String, String)>,
    query: Option<String>,
}

impl FromRequestParts<Desk> for Incoming {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Infallible> {
        // A path that is not UTF-8 has no names, which is said where one is asked for.
        let path = RawPathParams::from_request_parts(parts, desk).await.map_or_else(
            |_| Vec::new(),
            |path| path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        );
        let query = parts.uri.query().map(str::to_owned);
        let headers = std::mem::take(&mut parts.headers);
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().map(|info| &info.0);
        let from = peer.map(|peer| peer.address.ip());
        let shown = peer.map(|peer| Arc::clone(&peer.shown)).unwrap_or_default();
        let value = |name: HeaderName| headers.get(name).map(|value| value.as_bytes());
        let named = || origin::caller(value(HeaderName::from_static(origin::CALLER)));
        let caller = desk.doorman.authenticate(value(AUTHORIZATION), from, named);
        Ok(Self { desk: desk.clone(), caller, shown, headers, path, query })
    }
}

impl Incoming {
    /// Who calls.
    pub(super) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().map_err(|rejection| rejection.clone().into())
    }

    /// Whether the caller may do something to the cluster.
    pub(super) fn allowed(&self, action: Action) -> Result<&Caller, Problem> {
        let caller = self.caller()?;
        self.desk.doorman.check(caller, action, On::Cluster)?;
        Ok(caller)
    }

    /// The tenant in the path; empty for the default one.
    pub(super) fn tenant(&self) -> &str {
        self.part("tenant").unwrap_or_default()
    }

    /// The twin in the path.
    pub(super) fn key(&self) -> Result<TwinKey, Problem> {
        Ok(convert::key(self.tenant(), self.part("device").unwrap_or_default())?)
    }

    /// The command in the path.
    pub(super) fn command_id(&self) -> Result<u64, Problem> {
        let text = self.part("id").unwrap_or_default();
        text.parse().map_err(|_| {
            Problem::invalid("command id is not a number; use the `id` of a command that was sent")
        })
    }

    /// The name of a credential or a subscription in the path.
    pub(super) fn name(&self) -> &str {
        self.part("name").unwrap_or_default()
    }

    pub(super) fn part(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The arguments after `?`, of which only `known` ones are taken, each once.
    pub(super) fn arguments(&self, known: &[&'static str]) -> Result<Arguments, Problem> {
        let mut values: Vec<(&'static str, String)> = Vec::new();
        let text = self.query.as_deref().unwrap_or_default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(Problem::invalid("query is not percent-encoded UTF-8"));
            };
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                let right = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail =
                    format!("query: no argument is called {name:?}; this path takes {right}");
                return Err(Problem::invalid(detail));
            };
            if values.iter().any(|(known, _)| *known == name) {
                return Err(Problem::invalid(format!("query: {name} is given twice")));
            }
            values.push((name, value));
        }
        Ok(Arguments(values))
    }

    /// A header as text; what is not text is refused.
    pub(super) fn header(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| {
            Problem::invalid(format!("{name}: has characters that are not allowed; use ASCII"))
        })?;
        Ok(Some(text.to_owned()))
    }

    /// Carries out one call to one twin.
    pub(super) async fn call(&self, key: TwinKey, request: Asked) -> Result<Answer, Problem> {
        let who = self.caller()?;
        let caller = who.name.to_string();
        let idempotency_key = self.header("idempotency-key")?.filter(|key| !key.is_empty());
        let idempotency_key = idempotency_key.map(|key| CallKey::Own(key.to_owned()));
        let timeout = origin::timeout(&request, None);
        Ok(self.desk.call(who, Call { key, caller, idempotency_key, request, timeout }).await?)
    }

    /// The JSON of the body.
    pub(super) async fn json(&self, body: Body, form: Form) -> Result<Value, Problem> {
        let JsonLimits { bytes_max, depth_max } = self.desk.json;
        // Some bodies have the value of a twin as a member.
        self.json_within(body, form, JsonLimits { bytes_max, depth_max: depth_max + 1 }).await
    }

    /// The JSON of a body whose members may be as deep as that, less one.
    pub(super) async fn json_within(
        &self,
        body: Body,
        form: Form,
        limits: JsonLimits,
    ) -> Result<Value, Problem> {
        form.check(&self.headers)?;
        let bytes = self.bytes(body).await?;
        Value::from_json(&bytes, &limits).map_err(|mut error| {
            if let JsonErrorKind::TooDeep { max } = &mut error.kind {
                *max = limits.depth_max - 1;
            }
            Problem::json(&bytes, error)
        })
    }

    async fn bytes(&self, body: Body) -> Result<bytes::Bytes, Problem> {
        let claimed = self.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let claimed = claimed.and_then(|text| text.parse::<u64>().ok());
        if claimed.is_some_and(|bytes| bytes > REQUEST_BYTES_MAX as u64) {
            return Err(Problem::too_large(REQUEST_BYTES_MAX));
        }
        let body = Limited::new(body, REQUEST_BYTES_MAX);
        match tokio::time::timeout(BODY_TIME_MAX, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Problem::too_large(REQUEST_BYTES_MAX))
            }
            Ok(Err(_)) => Err(Problem::invalid("body ended before its end")),
            Err(_) => {
                let detail =
                    format!("body took longer than {} s to arrive", BODY_TIME_MAX.as_secs());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
            }
        }
    }
}

impl Form {
    pub(super) fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers
            .get(CONTENT_TYPE)
            .map_or("missing", |value| value.to_str().unwrap_or("not ASCII"));
        let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let taken = match self {
            Self::Json => essence == "application/json",
            Self::Lines => essence == "application/x-ndjson",
            Self::MergePatch => {
                essence == "application/json" || essence == "application/merge-patch+json"
            }
        };
        let charset = parameters.trim().to_ascii_lowercase();
        let utf8 = ["", "charset=utf-8", "charset=\"utf-8\""].contains(&charset.as_str());
        if taken && utf8 {
            return Ok(());
        }
        let (right, header) = match self {
            Self::Json => ("application/json", ACCEPT),
            Self::Lines => ("application/x-ndjson", ACCEPT),
            // RFC 5789 has a header of its own for it.
            Self::MergePatch => (
                "application/merge-patch+json, application/json",
                HeaderName::from_static("accept-patch"),
            ),
        };
        Err(Problem::media_type(given, right, header))
    }
}

/// Arguments after `?`.
#[derive(Debug)]
pub(super) struct Arguments(Vec<(&'static str, String)>);

impl Arguments {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let invalid = |_| Problem::invalid(format!("query: {name} takes a whole number"));
        self.text(name).map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Rows of a page; 0: as many as usual.
    pub(super) fn page_size(&self) -> Result<u32, Problem> {
        let Some(given) = self.number("page_size")? else { return Ok(0) };
        let size = u32::try_from(given).ok().filter(|size| *size > 0);
        size.ok_or_else(|| Problem::invalid("query: page_size takes a whole number, at least 1"))
    }

    /// How fresh a stale answer must be.
    pub(super) fn freshness(&self) -> Result<convert::Freshness, Problem> {
        let least = self.text("min_position").unwrap_or_default();
        Ok(convert::freshness(least, self.number("max_age_ms")?)?)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            // `?stale` alone says it too.
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(Problem::invalid(format!("query: {name} takes true or false"))),
        }
    }
}

/// Percent-decoding as forms do it: `+` is a space. `None`: not well-formed, or not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
                let code = digits.collect::<Option<Vec<_>>>()?;
                out.push(u8::try_from(code[0] * 16 + code[1]).ok()?);
                rest = after;
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forms() {
        let of = |value| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
        for good in ["application/json", "Application/JSON; charset=UTF-8"] {
            assert!(Form::Json.check(&of(good)).is_ok(), "{good}");
            assert!(Form::MergePatch.check(&of(good)).is_ok(), "{good}");
        }
        let merge = of("application/merge-patch+json");
        assert!(Form::MergePatch.check(&merge).is_ok());
        assert!(Form::Json.check(&merge).is_err());
        for bad in ["text/plain", "application/json; charset=latin1", "application/json-patch+json"]
        {
            assert!(Form::MergePatch.check(&of(bad)).is_err(), "{bad}");
        }
        assert!(Form::Json.check(&HeaderMap::new()).is_err(), "none at all");
    }

    #[test]
    fn percent_decoding() {
        assert_eq!(decoded("a%2Fb+c%C3%A4").as_deref(), Some("a/b cä"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
