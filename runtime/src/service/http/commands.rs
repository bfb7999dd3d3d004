//! Commands over HTTP.

use axum::body::Body;
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{Response, StatusCode};
use pollux_proto::json_view;
use pollux_proto::limits::COMMAND_DEADLINE_MS;
use pollux_twin::Value;
use pollux_twin::change::Command;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;

use super::devices::flag;
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object, unexpected};

/// Sends a command: 200 when it is over, 202 while it is not.
pub(super) async fn send(incoming: Incoming, body: Body) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let key = incoming.key()?;
    let request = request(incoming.json(body, Form::Json).await?)?;
    let command = command(incoming.call(key.clone(), request).await?)?;
    let status = if command.state.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, &json_view::command(&command));
    let path = format!(
        "/v1/tenants/{}/twins/{}/commands/{}",
        encoded(key.tenant()),
        encoded(key.device()),
        command.id
    );
    let path = HeaderValue::from_str(&path).expect("what is not plain in an id is encoded");
    response.headers_mut().insert(LOCATION, path);
    Ok(response)
}

/// A command as it stands.
pub(super) async fn get(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let id = incoming.command_id()?;
    answer(&incoming, Request::GetCommand { id }).await
}

/// Withdraws a command that waits.
pub(super) async fn cancel(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let id = incoming.command_id()?;
    answer(&incoming, Request::CancelCommand { id }).await
}

/// The commands of a twin that are kept.
pub(super) async fn list(incoming: Incoming) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    match incoming.call(incoming.key()?, Request::Get).await? {
        Answer::Twin(view) => {
            let commands: Vec<_> = view.commands.iter().map(json_view::command).collect();
            Ok(json(StatusCode::OK, &object([("commands", commands.into())])))
        }
        other => Err(unexpected(&other)),
    }
}

async fn answer(incoming: &Incoming, request: Request) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let command = command(incoming.call(incoming.key()?, request).await?)?;
    Ok(json(StatusCode::OK, &json_view::command(&command)))
}

fn command(answer: Answer) -> Result<Command, Problem> {
    match answer {
        Answer::Command(command) => Ok(*command),
        other => Err(unexpected(&other)),
    }
}

/// `{"name": …, "payload": …, "deadline_ms": …, "queue": …, "wait": …}`; all but the name may be
/// left out.
fn request(body: Value) -> Result<Request, Problem> {
    let Value::Object(mut members) = body else {
        return Err(Problem::invalid("body: takes an object with the command's name"));
    };
    let Some(Value::String(name)) = members.remove("name") else {
        return Err(Problem::invalid("body: name is missing; it says what to do, as a string"));
    };
    let payload = members.remove("payload").unwrap_or_default();
    let deadline_ms = match members.remove("deadline_ms") {
        None => COMMAND_DEADLINE_MS,
        Some(Value::Int(ms)) if ms > 0 => ms.unsigned_abs(),
        Some(_) => {
            let detail = "body: deadline_ms takes a whole number of milliseconds, at least 1";
            return Err(Problem::invalid(detail));
        }
    };
    let queue = flag(&mut members, "queue")?;
    let wait = flag(&mut members, "wait")?;
    if let Some((name, _)) = members.pop_first() {
        let detail = format!(
            "body: a command has no member {name:?}; it takes name, payload, deadline_ms, queue \
             and wait"
        );
        return Err(Problem::invalid(detail));
    }
    Ok(Request::Command { name, payload, deadline_ms, queue, wait })
}

/// An id as a segment of a path.
fn encoded(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!&'()*,;=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use pollux_twin::JsonLimits;

    use super::*;

    fn parsed(text: &str) -> Result<Request, Problem> {
        request(Value::from_json(text, &JsonLimits::default()).unwrap())
    }

    #[test]
    fn a_command_needs_a_name_only() {
        let expected = Request::Command {
            name: "restart".to_owned(),
            payload: Value::Null,
            deadline_ms: COMMAND_DEADLINE_MS,
            queue: false,
            wait: false,
        };
        assert_eq!(parsed(r#"{"name":"restart"}"#).unwrap(), expected);
        for bad in [
            "[]",
            "{}",
            r#"{"name":1}"#,
            r#"{"name":"a","deadline_ms":0}"#,
            r#"{"name":"a","deadline_ms":1.5}"#,
            r#"{"name":"a","queue":"yes"}"#,
            r#"{"name":"a","wiat":true}"#,
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_encoded_in_paths() {
        assert_eq!(encoded("pump-1"), "pump-1");
        assert_eq!(encoded("a%b?\"c"), "a%25b%3F%22c");
    }
}
