//! Reading, writing, deleting and listing twins over HTTP.

use axum::body::Body;
use axum::http::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, json_view, v1};
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::{TwinKey, Value, View};

use super::super::stale::Stand;
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object, tag, text, unexpected};

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A JSON merge patch (RFC 7396).
    Merge,
    /// The whole new content.
    Replace,
}

/// The whole twin.
pub(super) async fn get(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let key = incoming.key()?;
    let (view, stand) = view(&incoming, key.clone()).await?;
    let document = json_view::document(&key, &view).to_json();
    let tag = tag::of_twin(view.version, &document);
    Ok(standing(tagged(&incoming, tag, document), stand.as_ref()))
}

/// The content of one section.
pub(super) async fn get_section(
    incoming: Incoming,
    section: Section,
) -> Result<Response<Body>, Problem> {
    let (view, stand) = view(&incoming, incoming.key()?).await?;
    let section = match section {
        Section::Tags => &view.tags,
        Section::Desired => &view.desired,
        Section::Reported => &view.reported,
    };
    let response = tagged(&incoming, tag::of_section(section.version), section.value.to_json());
    Ok(standing(response, stand.as_ref()))
}

/// Writes one section.
pub(super) async fn write_section(
    incoming: Incoming,
    body: Body,
    section: Section,
    how: How,
) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let patch = incoming.json(body, how.form()).await?;
    let expected = tag::expected(&incoming.headers)?;
    write(&incoming, section, how, patch, expected).await
}

/// Writes the one section that the body names: `{"desired": {…}}`.
pub(super) async fn write_one(
    incoming: Incoming,
    body: Body,
    how: How,
) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let body = incoming.json(body, how.form()).await?;
    // A twin's tag stands for all sections, and a write expects the version of one.
    for name in [IF_MATCH, IF_NONE_MATCH] {
        if incoming.headers.contains_key(&name) {
            let detail =
                format!("{name}: a version is of one section; use the path of tags or desired");
            return Err(Problem::invalid(detail));
        }
    }
    let mut members = match body {
        Value::Object(members) => members.into_iter(),
        _ => return Err(Problem::invalid(ONE_SECTION)),
    };
    let (Some((name, patch)), None) = (members.next(), members.next()) else {
        return Err(Problem::invalid(ONE_SECTION));
    };
    let section = match name.as_str() {
        "tags" => Section::Tags,
        "desired" => Section::Desired,
        "reported" => {
            return Err(Problem::invalid("body: reported is written by the device"));
        }
        _ => return Err(Problem::invalid(ONE_SECTION)),
    };
    write(&incoming, section, how, patch, None).await
}

/// Two sections are two writes, of which one can be refused: that is for the caller to sort out.
const ONE_SECTION: &str =
    "body: takes an object with one member, tags or desired; write each with a call of its own";

async fn write(
    incoming: &Incoming,
    section: Section,
    how: How,
    patch: Value,
    expected: Option<u64>,
) -> Result<Response<Body>, Problem> {
    let whole = how == How::Replace;
    let patch = Request::Patch { section, patch, whole, expected };
    match incoming.call(incoming.key()?, patch).await? {
        Answer::Written { section, version } => {
            let name = section.name();
            let body = object([("section", name.into()), ("version", version.into())]);
            let mut response = json(StatusCode::OK, &body);
            response.headers_mut().insert(ETAG, tag::of_section(version));
            Ok(response)
        }
        other => Err(unexpected(&other)),
    }
}

/// Deletes the twin.
pub(super) async fn delete(incoming: Incoming) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let expected = tag::expected(&incoming.headers)?;
    match incoming.call(incoming.key()?, Request::Delete { expected }).await? {
        Answer::Deleted { version } => {
            Ok(json(StatusCode::OK, &object([("version", version.into())])))
        }
        other => Err(unexpected(&other)),
    }
}

/// A page of twins.
pub(super) async fn list(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(&[
        "prefix",
        "page_size",
        "page_token",
        "view",
        "min_position",
        "max_age_ms",
    ])?;
    let text_of = |name| arguments.text(name).unwrap_or_default().to_owned();
    let page_size = arguments.page_size()?;
    let view = match arguments.text("view") {
        None | Some("summary") => v1::ListView::Summary,
        Some("full") => v1::ListView::Full,
        Some(_) => return Err(Problem::invalid("query: view takes summary or full")),
    };
    let page = convert::list(&v1::ListTwinsRequest {
        tenant: incoming.tenant().to_owned(),
        prefix: text_of("prefix"),
        page_size,
        page_token: text_of("page_token"),
        view: view.into(),
        min_position: text_of("min_position"),
        max_age_ms: arguments.number("max_age_ms")?,
    })?;
    let show = |key: &TwinKey, shown: &View| {
        let document = match view {
            v1::ListView::Full => json_view::document(key, shown),
            _ => json_view::summary(key, shown),
        };
        let json = document.to_json();
        let bytes = json.len();
        (json, bytes)
    };
    let (twins, next, stand) = incoming.desk.list(incoming.caller()?, &page, show).await?;
    let token = match &next {
        Some(key) => Value::from(convert::Page::token_after(key)).to_json(),
        None => "null".to_owned(),
    };
    let body = format!("{{\"twins\":[{}],\"next_page_token\":{token}}}", twins.join(","));
    Ok(standing(text(StatusCode::OK, "application/json", body), Some(&stand)))
}

/// The twin as its owner has it, or with `?stale` as any replica has it.
/// Then with what it stands for.
async fn view(incoming: &Incoming, key: TwinKey) -> Result<(View, Option<Stand>), Problem> {
    let arguments = incoming.arguments(&["stale", "min_position", "max_age_ms"])?;
    // What is no position is refused where it is not needed, too: the owner's answer is as fresh as can be asked.
    let wanted = arguments.freshness()?;
    if arguments.flag("stale")? {
        let (view, stand) = incoming.desk.stale(incoming.caller()?, key, &wanted, None).await?;
        return Ok((view, Some(stand)));
    }
    match incoming.call(key, Request::Get).await? {
        Answer::Twin(view) => Ok((*view, None)),
        other => Err(unexpected(&other)),
    }
}

/// Says what an answer from applied tables stands for.
fn standing(mut response: Response<Body>, stand: Option<&Stand>) -> Response<Body> {
    if let Some(Stand { position, age_ms }) = stand {
        let position = HeaderValue::try_from(position.to_string());
        let headers = response.headers_mut();
        headers.insert("pollux-position", position.expect("hex digits, dots and dashes"));
        headers.insert("pollux-age-ms", HeaderValue::from(*age_ms));
    }
    response
}

/// An answer with its tag, or "not modified" to a caller who has it.
fn tagged(incoming: &Incoming, tag: HeaderValue, body: String) -> Response<Body> {
    let mut response = if tag::is_known(&incoming.headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        text(StatusCode::OK, "application/json", body)
    };
    response.headers_mut().insert(ETAG, tag);
    response
}

impl How {
    const fn form(self) -> Form {
        match self {
            Self::Merge => Form::MergePatch,
            Self::Replace => Form::Json,
        }
    }
}
