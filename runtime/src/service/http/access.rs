//! Principals, tokens, policies and the audit over HTTP: `pollux.v1.Access` as JSON.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::v1;
use pollux_twin::Value;
use pollux_twin::value::Object;

use super::super::access::AccessFault;
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};
use crate::cluster::ControlFault;

type Answer = Result<Response<Body>, Problem>;

impl From<AccessFault> for Problem {
    fn from(fault: AccessFault) -> Self {
        match fault {
            AccessFault::Rejected(rejection) => rejection.into(),
            AccessFault::NotFound(what) => Self::new(StatusCode::NOT_FOUND, "not_found", what),
            AccessFault::Refused(what) => Self::new(StatusCode::CONFLICT, "refused", what),
            AccessFault::TooLarge(what) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", what)
            }
            AccessFault::NoSpace(what) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "out_of_space", what)
            }
            AccessFault::Control(fault) => {
                let (status, reason) = match fault {
                    ControlFault::Refused(_) | ControlFault::NotYet(_) => {
                        (StatusCode::CONFLICT, "refused")
                    }
                    ControlFault::NoAnswer(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                    ControlFault::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
                };
                Self::new(status, reason, fault.to_string())
            }
        }
    }
}

pub(super) fn who_am_i(incoming: &Incoming) -> Answer {
    incoming.arguments(&[])?;
    let who = incoming.desk.who_am_i(incoming.caller()?);
    let members = [
        ("principal", who.principal.into()),
        ("via", who.via.into()),
        ("enforced", Value::Bool(who.enforced)),
        ("until_ms", who.until_ms.into()),
    ];
    Ok(json(StatusCode::OK, &object(members)))
}

pub(super) async fn put_principal(incoming: Incoming, body: Body) -> Answer {
    let mut asked = members(&incoming, body).await?;
    let principal = v1::Principal {
        name: incoming.part("name").unwrap_or_default().to_owned(),
        note: text(&mut asked, "note")?,
        subjects: objects(&mut asked, "subjects")?
            .into_iter()
            .map(|mut one| {
                let subject = v1::PrincipalSubject {
                    issuer: text(&mut one, "issuer")?,
                    subject: text(&mut one, "subject")?,
                };
                none_left(one, "issuer and subject").map(|()| subject)
            })
            .collect::<Result<_, Problem>>()?,
        ..Default::default()
    };
    none_left(asked, "note and subjects")?;
    incoming.desk.put_principal(incoming.caller()?, Some(principal)).await?;
    done()
}

pub(super) async fn remove_principal(incoming: Incoming) -> Answer {
    incoming.arguments(&[])?;
    let name = incoming.part("name").unwrap_or_default().to_owned();
    incoming.desk.remove_principal(incoming.caller()?, name).await?;
    done()
}

pub(super) fn list_principals(incoming: &Incoming) -> Answer {
    incoming.arguments(&[])?;
    let listed = incoming.desk.list_principals(incoming.caller()?)?;
    let principals: Vec<_> = listed.principals.into_iter().map(principal).collect();
    Ok(json(StatusCode::OK, &object([("principals", principals.into())])))
}

pub(super) async fn issue_token(incoming: Incoming, body: Body) -> Answer {
    let mut asked = members(&incoming, body).await?;
    let request = v1::IssueTokenRequest {
        principal: incoming.part("name").unwrap_or_default().to_owned(),
        good_for_ms: number(&mut asked, "good_for_ms")?,
        note: text(&mut asked, "note")?,
    };
    none_left(asked, "good_for_ms and note")?;
    let made = incoming.desk.issue_token(incoming.caller()?, request).await?;
    let members = [
        ("token", made.token.into()),
        ("id", made.id.into()),
        ("expires_ms", made.expires_ms.into()),
    ];
    Ok(json(StatusCode::OK, &object(members)))
}

pub(super) async fn revoke_token(incoming: Incoming) -> Answer {
    incoming.arguments(&[])?;
    let id = incoming.part("token").unwrap_or_default().to_owned();
    incoming.desk.revoke_token(incoming.caller()?, id).await?;
    done()
}

pub(super) async fn put_policy(incoming: Incoming, body: Body) -> Answer {
    let mut asked = members(&incoming, body).await?;
    let policy = v1::Policy {
        name: incoming.part("name").unwrap_or_default().to_owned(),
        deny: match asked.remove("deny") {
            None => false,
            Some(Value::Bool(deny)) => deny,
            Some(_) => return Err(wrong("deny is true or false")),
        },
        principals: texts(&mut asked, "principals")?,
        actions: texts(&mut asked, "actions")?,
        on: texts(&mut asked, "on")?,
        sections: texts(&mut asked, "sections")?,
        filter: text(&mut asked, "filter")?,
    };
    none_left(asked, "deny, principals, actions, on, sections and filter")?;
    incoming.desk.put_policy(incoming.caller()?, Some(policy)).await?;
    done()
}

pub(super) async fn remove_policy(incoming: Incoming) -> Answer {
    incoming.arguments(&[])?;
    let name = incoming.part("name").unwrap_or_default().to_owned();
    incoming.desk.remove_policy(incoming.caller()?, name).await?;
    done()
}

pub(super) fn list_policies(incoming: &Incoming) -> Answer {
    incoming.arguments(&[])?;
    let listed = incoming.desk.list_policies(incoming.caller()?)?;
    let policies: Vec<_> = listed.policies.into_iter().map(policy).collect();
    Ok(json(StatusCode::OK, &object([("policies", policies.into())])))
}

pub(super) async fn check(incoming: Incoming, body: Body) -> Answer {
    let mut asked = members(&incoming, body).await?;
    let request = v1::CheckRequest {
        principal: text(&mut asked, "principal")?,
        action: text(&mut asked, "action")?,
        on: text(&mut asked, "on")?,
        section: text(&mut asked, "section")?,
        filter: text(&mut asked, "filter")?,
    };
    none_left(asked, "principal, action, on, section and filter")?;
    let answer = incoming.desk.check(incoming.caller()?, &request).await?;
    let members = [("allowed", Value::Bool(answer.allowed)), ("why", answer.why.into())];
    Ok(json(StatusCode::OK, &object(members)))
}

pub(super) fn audit(incoming: &Incoming) -> Answer {
    let arguments = incoming.arguments(&["before", "limit"])?;
    let limit = arguments.number("limit")?.unwrap_or(0);
    let request = v1::AuditRequest {
        before: arguments.number("before")?.unwrap_or(0),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let audit = incoming.desk.audit(incoming.caller()?, &request)?;
    let entries = audit.entries.into_iter().map(|entry| {
        object([
            ("number", entry.number.into()),
            ("at_ms", entry.at_ms.into()),
            ("node", entry.node.into()),
            ("who", entry.who.into()),
            ("via", entry.via.into()),
            ("from", entry.from.into()),
            ("what", entry.what.into()),
            ("on", entry.on.into()),
            ("result", entry.result.into()),
        ])
    });
    let entries: Vec<_> = entries.collect();
    Ok(json(StatusCode::OK, &object([("entries", entries.into())])))
}

fn done() -> Answer {
    Ok(json(StatusCode::OK, &object([("done", Value::Bool(true))])))
}

fn principal(one: v1::Principal) -> Value {
    let subjects = one
        .subjects
        .into_iter()
        .map(|one| object([("issuer", one.issuer.into()), ("subject", one.subject.into())]));
    let tokens = one.tokens.into_iter().map(|token| {
        object([
            ("id", token.id.into()),
            ("issued_ms", token.issued_ms.into()),
            ("expires_ms", token.expires_ms.into()),
            ("note", token.note.into()),
        ])
    });
    object([
        ("name", one.name.into()),
        ("note", one.note.into()),
        ("added_ms", one.added_ms.into()),
        ("subjects", Value::Array(subjects.collect())),
        ("tokens", Value::Array(tokens.collect())),
    ])
}

fn policy(one: v1::Policy) -> Value {
    let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    object([
        ("name", one.name.into()),
        ("deny", Value::Bool(one.deny)),
        ("principals", texts(one.principals)),
        ("actions", texts(one.actions)),
        ("on", texts(one.on)),
        ("sections", texts(one.sections)),
        ("filter", one.filter.into()),
    ])
}

async fn members(incoming: &Incoming, body: Body) -> Result<Object, Problem> {
    incoming.arguments(&[])?;
    match incoming.json(body, Form::Json).await? {
        Value::Object(members) => Ok(members),
        _ => Err(wrong("takes an object")),
    }
}

fn wrong(what: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("body: {what}"))
}

fn none_left(members: Object, right: &str) -> Result<(), Problem> {
    match members.into_keys().next() {
        None => Ok(()),
        Some(name) => Err(wrong(format!("there is no {name}; there are {right}"))),
    }
}

fn text(members: &mut Object, name: &str) -> Result<String, Problem> {
    match members.remove(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong(format!("{name} is a text"))),
    }
}

fn number(members: &mut Object, name: &str) -> Result<u64, Problem> {
    match members.remove(name) {
        None => Ok(0),
        Some(Value::Int(number)) if number > 0 => Ok(number.unsigned_abs()),
        Some(_) => Err(wrong(format!("{name} is a whole number, at least 1"))),
    }
}

fn texts(members: &mut Object, name: &str) -> Result<Vec<String>, Problem> {
    let wrong = || wrong(format!("{name} is a list of texts"));
    let text = |item| match item {
        Value::String(text) => Ok(text),
        _ => Err(wrong()),
    };
    match members.remove(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.into_iter().map(text).collect(),
        Some(_) => Err(wrong()),
    }
}

fn objects(members: &mut Object, name: &str) -> Result<Vec<Object>, Problem> {
    let wrong = || wrong(format!("{name} is a list of objects"));
    let one = |item| match item {
        Value::Object(members) => Ok(members),
        _ => Err(wrong()),
    };
    match members.remove(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.into_iter().map(one).collect(),
        Some(_) => Err(wrong()),
    }
}
