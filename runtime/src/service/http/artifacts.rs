//! Artifacts over HTTP: their bytes as bodies, with digests (RFC 9530), ranges and tags (RFC 9110), and what they are
//! as JSON.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use pollux_proto::hex::hex;
use pollux_proto::{convert, v1};
use pollux_twin::{Rejection, Value};

use super::super::artifacts::Brought;
use super::super::limits::BODY_TIME_MAX;
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::range::{Part, wanted};
use super::tag;
use super::{json, object};

/// What its SHA-256 must be, or is.
const REPR_DIGEST: &str = "repr-digest";
/// The same; there are no encodings of a body here.
const CONTENT_DIGEST: &str = "content-digest";
/// Its signature in base64, and before it, with a colon, perhaps the key.
const SIGNATURE: &str = "pollux-signature";

/// What is asked about artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    ListArtifacts,
    PutArtifact,
    GetArtifact,
    DescribeArtifact,
    RemoveArtifact,
    ListArtifactKeys,
    PutArtifactKey,
    RemoveArtifactKey,
}

impl Call {
    /// Whether it is about one artifact.
    pub(super) const fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::PutArtifact | Self::GetArtifact | Self::DescribeArtifact | Self::RemoveArtifact
        )
    }
}

/// Carries out a call.
pub(super) async fn call(
    call: Call,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    if call == Call::ListArtifacts {
        return list(&incoming);
    }
    incoming.arguments(&[])?;
    let (desk, caller) = (incoming.desk.clone(), incoming.caller()?.clone());
    let version = incoming.part("version").unwrap_or_default();
    let named = (incoming.tenant(), incoming.name(), version);
    let shown = match call {
        Call::ListArtifacts => return list(&incoming),
        Call::PutArtifact => {
            let brought = brought(&incoming)?;
            let put = desk.put_artifact(&caller, brought, pieces(body));
            convert::artifact_json(&Box::pin(put).await?)
        }
        Call::GetArtifact => return get(&incoming).await,
        Call::DescribeArtifact => convert::artifact_json(&desk.get_artifact(&caller, named).await?),
        Call::RemoveArtifact => {
            Box::pin(desk.remove_artifact(&caller, named)).await?;
            Value::object()
        }
        Call::ListArtifactKeys => {
            let found = desk.list_artifact_keys(&caller, incoming.tenant())?;
            let keys: Vec<_> = found.keys.iter().map(convert::artifact_key_json).collect();
            object([("keys", keys.into())])
        }
        Call::PutArtifactKey => {
            let asked = asked_key(&incoming, body).await?;
            convert::artifact_key_json(&desk.put_artifact_key(&caller, asked).await?)
        }
        Call::RemoveArtifactKey => {
            let name = incoming.name().to_owned();
            desk.remove_artifact_key(&caller, incoming.tenant(), name).await?;
            Value::object()
        }
    };
    Ok(json(StatusCode::OK, &shown))
}

fn list(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(&["prefix", "page_size", "page_token"])?;
    let asked = v1::ListArtifactsRequest {
        tenant: incoming.tenant().to_owned(),
        prefix: arguments.text("prefix").unwrap_or_default().to_owned(),
        page_size: arguments.page_size()?,
        page_token: arguments.text("page_token").unwrap_or_default().to_owned(),
    };
    let found = incoming.desk.list_artifacts(incoming.caller()?, &asked)?;
    let all: Vec<_> = found.artifacts.iter().map(convert::artifact_json).collect();
    let next = match found.next_page_token.as_str() {
        "" => Value::Null,
        token => token.into(),
    };
    Ok(json(StatusCode::OK, &object([("artifacts", all.into()), ("next_page_token", next)])))
}

/// What the path and the headers say of an artifact that comes.
fn brought(incoming: &Incoming) -> Result<Brought, Problem> {
    let size = incoming.header(CONTENT_LENGTH.as_str())?;
    let encoded = incoming.header("content-encoding")?;
    if encoded.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let detail = "content-encoding: an artifact comes as it is to be stored; leave it out";
        return Err(Problem::invalid(detail));
    }
    Ok(Brought {
        tenant: incoming.tenant().to_owned(),
        name: incoming.name().to_owned(),
        version: incoming.part("version").unwrap_or_default().to_owned(),
        media_type: incoming.header(CONTENT_TYPE.as_str())?.unwrap_or_default(),
        sha256: digest(incoming)?,
        signature: signature(incoming)?,
        size: size.and_then(|size| size.parse().ok()),
    })
}

/// The SHA-256 that a request names. Other digests are not looked at, as RFC 9530 has it.
fn digest(incoming: &Incoming) -> Result<Option<[u8; 32]>, Problem> {
    let mut found: Option<[u8; 32]> = None;
    for name in [REPR_DIGEST, CONTENT_DIGEST] {
        let Some(text) = incoming.header(name)? else { continue };
        let wrong = || {
            let right = "takes sha-256=:BASE64: of 32 bytes, as RFC 9530 has it";
            Problem::invalid(format!("{name}: {right}"))
        };
        for item in text.split(',') {
            let (algorithm, value) = item.trim().split_once('=').ok_or_else(wrong)?;
            let value = value.strip_prefix(':').and_then(|value| value.strip_suffix(':'));
            let bytes = value.and_then(|value| STANDARD.decode(value).ok()).ok_or_else(wrong)?;
            if !algorithm.eq_ignore_ascii_case("sha-256") {
                continue;
            }
            let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| wrong())?;
            if found.is_some_and(|known| known != bytes) {
                let detail = format!("{name}: names another digest than before; send one of them");
                return Err(Problem::invalid(detail));
            }
            found = Some(bytes);
        }
    }
    Ok(found)
}

fn signature(incoming: &Incoming) -> Result<Option<(String, [u8; 64])>, Problem> {
    let Some(text) = incoming.header(SIGNATURE)? else { return Ok(None) };
    let (key, value) = text.rsplit_once(':').unwrap_or(("", &text));
    let bytes = STANDARD.decode(value).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| {
        let detail = format!("{SIGNATURE}: takes an Ed25519 signature in base64, or KEY:BASE64");
        Problem::invalid(detail)
    })?;
    Ok(Some((key.to_owned(), bytes)))
}

/// A body as it comes.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, Rejection>> + Send {
    stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        let broken = |why: &str| {
            let reason = format!("body: {why}");
            Some((Err(Rejection::Invalid { reason }), None))
        };
        loop {
            return match tokio::time::timeout(BODY_TIME_MAX, body.frame()).await {
                Ok(None) => None,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Some((Ok(data), Some(body))),
                    // Trailers.
                    Err(_) => continue,
                },
                Ok(Some(Err(_))) => broken("it ended before its end"),
                Err(_) => broken("nothing came for too long"),
            };
        }
    })
}

/// All of an artifact, or a range of it. axum leaves the body away where only the head was asked for.
async fn get(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    let version = incoming.part("version").unwrap_or_default();
    let named = (incoming.tenant(), incoming.name(), version);
    let opened = incoming.desk.open_artifact(incoming.caller()?, named).await?;
    let artifact = &opened.artifact;
    let tag = value(&format!("\"{}\"", hex(&artifact.sha256)));
    if tag::is_known(&incoming.headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, tag);
        return Ok(response);
    }
    let size = artifact.size;
    let (status, range) = match wanted(&incoming.headers, size, &tag) {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::None => {
            let detail =
                format!("range: the artifact has {size} bytes, and none of those asked for");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let problem = Problem::new(status, "range_not_satisfiable", detail);
            return Err(problem.with_header(CONTENT_RANGE, value(&format!("bytes */{size}"))));
        }
    };
    let mut headers = about(artifact, tag);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, value(&text));
    }
    let mut response = Response::new(Body::from_stream(opened.read(range).await?));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What the headers say of an artifact.
fn about(artifact: &v1::Artifact, tag: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
    set(CONTENT_TYPE, value(&artifact.media_type));
    set(ETAG, tag);
    set(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Whoever brings one says what it is: a browser must not take it for a page of this node's.
    set(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let name = format!("attachment; filename=\"{}-{}\"", artifact.name, artifact.version);
    set(CONTENT_DISPOSITION, value(&name));
    let digest = format!("sha-256=:{}:", STANDARD.encode(&artifact.sha256));
    set(HeaderName::from_static(REPR_DIGEST), value(&digest));
    if !artifact.signature.is_empty() {
        let text = format!("{}:{}", artifact.key, STANDARD.encode(&artifact.signature));
        set(HeaderName::from_static(SIGNATURE), value(&text));
    }
    headers
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

async fn asked_key(incoming: &Incoming, body: Body) -> Result<v1::PutArtifactKeyRequest, Problem> {
    let given = incoming.json(body, Form::Json).await?;
    let mut asked = v1::PutArtifactKeyRequest {
        tenant: incoming.tenant().to_owned(),
        name: incoming.name().to_owned(),
        ..Default::default()
    };
    let Value::Object(members) = given else {
        return Err(Problem::invalid("body: takes an object with public_key and, perhaps, note"));
    };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("public_key", Value::String(text)) => {
                asked.public_key = STANDARD.decode(&*text).map_err(|_| {
                    Problem::invalid("public_key: takes the 32 bytes of an Ed25519 key in base64")
                })?;
            }
            ("note", Value::String(text)) => asked.note = text,
            (other, _) => {
                let detail = format!(
                    "body: {other:?} is no text that this takes: it takes public_key and note"
                );
                return Err(Problem::invalid(detail));
            }
        }
    }
    Ok(asked)
}
