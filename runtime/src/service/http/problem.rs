//! Refusals as `application/problem+json` (RFC 9457). Those of a twin come from proto's one table;
//! those of HTTP itself, which no other door knows, are named here.

use axum::body::Body;
use axum::http::header::{
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use pollux_proto::status;
use pollux_twin::value::Object;
use pollux_twin::{JsonError, Rejection, Value};

/// A refusal: `type`, `title`, `status`, `detail`, and for machines the stable `reason` with its
/// own fields.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    pub(super) reason: &'static str,
    detail: String,
    fields: Object,
    retry_after_ms: Option<u32>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
            fields: Object::new(),
            retry_after_ms: None,
            headers: Vec::new(),
        }
    }

    /// An argument that has no sense.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// A body in another form than the path takes.
    pub(super) fn media_type(given: &str, right: &'static str, header: HeaderName) -> Self {
        let detail = format!("content-type is {given}; send {right}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
            .with_header(header, HeaderValue::from_static(right))
    }

    /// A body that is longer than allowed.
    pub(super) fn too_large(max: usize) -> Self {
        let detail = format!("body is longer than {max} bytes; send less");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            .with_field("max", (max as u64).into())
    }

    /// A body that is not JSON that a twin can keep: says where, for people and for machines.
    pub(super) fn json(body: &[u8], error: JsonError) -> Self {
        let at = error.at.min(body.len());
        let before = &body[..at];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let line_begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |nl| nl + 1);
        let column = 1 + at - line_begin;
        let rejection = pollux_proto::convert::json_rejection("body", body.len(), error);
        let mut problem = Self::from(rejection);
        problem.detail = format!("{} (line {line}, column {column})", problem.detail);
        problem
            .with_field("at", (at as u64).into())
            .with_field("line", (line as u64).into())
            .with_field("column", (column as u64).into())
    }

    /// It came after this was done.
    pub(super) fn after(mut self, done: impl std::fmt::Display) -> Self {
        self.detail = format!("{}; {done}", self.detail);
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn with_field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    fn body(&self) -> Value {
        let mut out = self.fields.clone();
        let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
        set("type", format!("urn:pollux:problem:{}", self.reason).into());
        set("title", self.reason.replace('_', " ").into());
        set("status", u64::from(self.status.as_u16()).into());
        set("detail", self.detail.as_str().into());
        set("reason", self.reason.into());
        out.into()
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let row = status::row(&rejection);
        let status = StatusCode::from_u16(row.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Self::new(status, row.reason, status::message(&rejection));
        problem.retry_after_ms = row.retry_after_ms;
        if let Value::Object(fields) = status::to_value(&rejection) {
            // Both stand in a problem under their own names.
            problem.fields = fields
                .into_iter()
                .filter(|(name, _)| name != "reason" && name != "message")
                .collect();
        }
        if let Rejection::VersionMismatch { section: Some(_), actual, .. } = rejection {
            let tag = super::tag::of_section(actual);
            problem = problem.with_header(ETAG, tag);
        }
        if row.http == 401 {
            // RFC 6750, section 3.
            let ask = HeaderValue::from_static("Bearer realm=\"pollux\"");
            problem = problem.with_header(WWW_AUTHENTICATE, ask);
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body().to_json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(ms) = self.retry_after_ms {
            // Whole seconds only (RFC 9110); the body has milliseconds.
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use pollux_twin::JsonLimits;
    use pollux_twin::change::Section;

    use super::*;

    #[test]
    fn a_problem_says_where_the_json_is_wrong() {
        let body = b"{\"a\": 1,\n  \"a\": 2}";
        let error = Value::from_json(body, &JsonLimits::default()).unwrap_err();
        let problem = Problem::json(body, error).body();
        assert_eq!(problem.get("line"), Some(&Value::Int(2)));
        assert_eq!(problem.get("column"), Some(&Value::Int(3)));
        assert_eq!(problem.get("at"), Some(&Value::Int(11)));
        assert_eq!(problem.get("reason").and_then(Value::as_str), Some("invalid"));
        assert_eq!(problem.get("status"), Some(&Value::Int(400)));
    }

    #[test]
    fn a_mismatch_tells_the_actual_version() {
        let rejection =
            Rejection::VersionMismatch { section: Some(Section::Desired), expected: 3, actual: 5 };
        let response = Problem::from(rejection).into_response();
        assert_eq!(response.status(), 412);
        assert_eq!(response.headers()[ETAG], "\"5\"");
    }

    #[test]
    fn every_rejection_is_a_problem_of_its_row() {
        use Rejection as R;
        let text = String::new;
        for rejection in [
            R::NotFound,
            R::VersionMismatch { section: None, expected: 1, actual: 2 },
            R::NotAnObject,
            R::TooLarge { bytes: 2, max: 1 },
            R::TooDeep { max: 1 },
            R::BadKey { key: text() },
            R::TooMany { what: text(), max: 1 },
            R::Invalid { reason: text() },
            R::DeviceOffline,
            R::UnknownCommand,
            R::CommandOver,
            R::KeyReused,
            R::SessionOver,
            R::OutOfOrder { expected: 1 },
            R::Overloaded { retry_after_ms: 1 },
            R::OutOfSpace,
            R::Quarantined,
            R::NotOwner,
            R::Unknown,
            R::TookTooLong { max_ms: 1 },
            R::Unauthenticated { reason: text() },
            R::Forbidden { action: text(), on: text() },
        ] {
            let row = status::row(&rejection);
            assert!(crate::metrics::REASONS.contains(&row.reason), "{} is counted", row.reason);
            let problem = Problem::from(rejection);
            let body = problem.body();
            assert_eq!(body.get("reason").and_then(Value::as_str), Some(row.reason));
            assert_eq!(body.get("status"), Some(&Value::Int(row.http.into())));
            let response = problem.into_response();
            assert_eq!(response.status(), row.http);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), row.retry_after_ms.is_some());
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds() {
        let response =
            Problem::from(Rejection::Overloaded { retry_after_ms: 1200 }).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let response = Problem::from(Rejection::NotOwner).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
