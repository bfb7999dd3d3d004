//! `pollux access …`: who may do what, for people and for scripts.

use pollux_proto::v1;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{
    AccessCommand, BootstrapArgs, ClientFlags, Output, PolicyArgs, PolicyCommand, PrincipalCommand,
};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print;

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: AccessCommand) -> Result<(), Failure> {
    match command {
        AccessCommand::Bootstrap(args) => bootstrap(output, args).await,
        AccessCommand::Whoami(flags) => who_am_i(output, &flags).await,
        AccessCommand::Principal(command) => principal(output, command).await,
        AccessCommand::Policy(command) => policy(output, command).await,
        AccessCommand::Audit { limit, before, client } => {
            audit(output, &client, v1::AuditRequest { before, limit }).await
        }
    }
}

/// Makes the first operator with the secret of the node's data directory.
async fn bootstrap(output: Output, args: BootstrapArgs) -> Result<(), Failure> {
    let path = args.data_dir.join(pollux_runtime::ROOT_TOKEN_FILE);
    let root = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display())).next(
            "name the data directory of a node of this machine that was started with \
             access.mode = \"enforced\", and run this as the user that it runs as",
        )
    })?;
    let flags = ClientFlags { token: Some(root.trim().to_owned()), ..args.client };
    let client = Client::connect(&flags).await?;
    let note = "made by pollux access bootstrap".to_owned();
    let access = client.calls().access();
    if !access.list_principals().await?.iter().any(|one| one.name == args.name) {
        let principal =
            v1::Principal { name: args.name.clone(), note: note.clone(), ..Default::default() };
        access.put_principal(principal).await?;
    }
    let all = || vec!["*".to_owned()];
    let policy = v1::Policy {
        name: format!("bootstrap-{}", args.name),
        principals: vec![args.name.clone()],
        actions: all(),
        on: all(),
        ..Default::default()
    };
    access.put_policy(policy).await?;
    issue(output, &client, args.name, args.good_for, note).await
}

async fn issue(
    output: Output,
    client: &Client,
    principal: String,
    good_for: std::time::Duration,
    note: String,
) -> Result<(), Failure> {
    let good_for_ms = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX);
    let asked = v1::IssueTokenRequest { principal: principal.clone(), good_for_ms, note };
    let made = client.calls().access().issue_token(asked).await?;
    if output == Output::Text {
        print::note(&format!(
            "token {} of {principal}, good until {}; it is not shown again. Use it with --token-file, or as \
             POLLUX_TOKEN",
            made.id,
            when(made.expires_ms)
        ));
    }
    let json = json!({
        "principal": principal, "token": made.token, "id": made.id, "expires_ms": made.expires_ms,
    });
    print::result(output, &made.token, &json)
}

async fn who_am_i(output: Output, flags: &ClientFlags) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let who = client.calls().who_am_i().await?;
    let text = match who.enforced {
        true => format!("{}, by {}", who.principal, who.via),
        false => format!("{}; nobody is checked there: access is open", who.principal),
    };
    let json = json!({
        "principal": who.principal, "via": who.via, "enforced": who.enforced, "until_ms": who.until_ms,
    });
    print::result(output, &text, &json)
}

async fn principal(output: Output, command: PrincipalCommand) -> Result<(), Failure> {
    match command {
        PrincipalCommand::Add { name, note, subject, client } => {
            let subjects =
                subject.iter().map(|text| one_subject(text)).collect::<Result<_, _>>()?;
            let client = Client::connect(&client).await?;
            let principal =
                v1::Principal { name: name.clone(), note, subjects, ..Default::default() };
            client.calls().access().put_principal(principal).await?;
            let text = format!(
                "principal {name} is there; give it a token with `pollux access principal token {name}`, and \
                 rights with `pollux access policy put`"
            );
            print::result(output, &text, &json!({"principal": name}))
        }
        PrincipalCommand::List(flags) => {
            let client = Client::connect(&flags).await?;
            let listed = client.calls().access().list_principals().await?;
            let rows = listed.iter().map(|one| {
                let tokens: Vec<_> = one.tokens.iter().map(token).collect();
                let subjects = one.subjects.iter();
                let subjects: Vec<_> =
                    subjects.map(|one| format!("{}={}", one.issuer, one.subject)).collect();
                vec![one.name.clone(), one.note.clone(), subjects.join(" "), tokens.join(", ")]
            });
            let text = table(&["PRINCIPAL", "NOTE", "SUBJECTS", "TOKENS"], rows.collect());
            let json = json!({"principals": listed.iter().map(document).collect::<Vec<_>>()});
            print::result(output, &text, &json)
        }
        PrincipalCommand::Remove { name, client } => {
            let client = Client::connect(&client).await?;
            client.calls().access().remove_principal(&name).await?;
            let text = format!("principal {name} is gone, with its tokens");
            print::result(output, &text, &json!({"principal": name, "removed": true}))
        }
        PrincipalCommand::Token { revoke: Some(id), client, .. } => {
            let client = Client::connect(&client).await?;
            client.calls().access().revoke_token(&id).await?;
            let text = format!("token {id} is worth nothing from now on");
            print::result(output, &text, &json!({"id": id, "revoked": true}))
        }
        PrincipalCommand::Token { name, good_for, note, client, .. } => {
            let client = Client::connect(&client).await?;
            issue(output, &client, name.unwrap_or_default(), good_for, note).await
        }
    }
}

async fn policy(output: Output, command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Put(args) => put(output, args).await,
        PolicyCommand::List(flags) => {
            let client = Client::connect(&flags).await?;
            let listed = client.calls().access().list_policies().await?;
            let rows = listed.iter().map(|one| {
                let effect = if one.deny { "deny" } else { "allow" };
                let lists = [&one.principals, &one.actions, &one.on, &one.sections];
                let mut row = vec![one.name.clone(), effect.to_owned()];
                row.extend(lists.map(|texts| texts.join(",")));
                row.push(one.filter.clone());
                row
            });
            let head = &["POLICY", "EFFECT", "TO", "ACTIONS", "ON", "SECTIONS", "FILTER"];
            let json = listed.iter().map(|one| {
                json!({
                    "name": one.name, "deny": one.deny, "principals": one.principals,
                    "actions": one.actions, "on": one.on, "sections": one.sections,
                    "filter": one.filter,
                })
            });
            let json = json!({"policies": json.collect::<Vec<_>>()});
            print::result(output, &table(head, rows.collect()), &json)
        }
        PolicyCommand::Remove { name, client } => {
            let client = Client::connect(&client).await?;
            client.calls().access().remove_policy(&name).await?;
            print::result(
                output,
                &format!("policy {name} is gone"),
                &json!({"policy": name, "removed": true}),
            )
        }
        PolicyCommand::Check { principal, action, on, section, filter, client } => {
            let client = Client::connect(&client).await?;
            let asked = v1::CheckRequest { principal, action, on, section, filter };
            let answer = client.calls().access().check(asked).await?;
            let text = match answer.allowed {
                true => answer.why.clone(),
                false => format!("refused: {}", answer.why),
            };
            let json = json!({"allowed": answer.allowed, "why": answer.why});
            print::result(output, &text, &json)?;
            match answer.allowed {
                true => Ok(()),
                false => Err(Failure::new(Exit::Refused, "it would be refused")),
            }
        }
    }
}

async fn put(output: Output, args: PolicyArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.client).await?;
    let policy = v1::Policy {
        name: args.name.clone(),
        deny: args.deny,
        principals: args.to,
        actions: args.action,
        on: args.on,
        sections: args.section,
        filter: narrowed_to(args.group.as_deref(), args.filter)?,
    };
    client.calls().access().put_policy(policy).await?;
    print::result(
        output,
        &format!("policy {} is in force", args.name),
        &json!({"policy": args.name}),
    )
}

/// A filter that holds only for devices of a group, if one is given.
fn narrowed_to(group: Option<&str>, filter: String) -> Result<String, Failure> {
    let Some(group) = group else { return Ok(filter) };
    if group.is_empty() || !group.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    {
        let wrong = format!("--group {group:?} is the name of no group");
        return Err(
            Failure::new(Exit::Usage, wrong).next("`pollux group list` shows those there are")
        );
    }
    Ok(match filter.as_str() {
        "" => format!("\"{group}\" in groups"),
        filter => format!("\"{group}\" in groups && ({filter})"),
    })
}

async fn audit(
    output: Output,
    flags: &ClientFlags,
    asked: v1::AuditRequest,
) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let entries = client.calls().access().audit_page(asked).await?;
    let rows = entries.iter().map(|entry| {
        let who = format!("{} ({})", entry.who, entry.via);
        let from = format!("{} at node {}", entry.from, entry.node);
        let what = format!("{} {}", entry.what, entry.on);
        vec![entry.number.to_string(), when(entry.at_ms), who, from, what, entry.result.clone()]
    });
    let text = table(&["NUMBER", "AT", "WHO", "FROM", "WHAT", "RESULT"], rows.collect());
    let json = entries.iter().map(|entry| {
        json!({
            "number": entry.number, "at_ms": entry.at_ms, "node": entry.node, "who": entry.who,
            "via": entry.via, "from": entry.from, "what": entry.what, "on": entry.on,
            "result": entry.result,
        })
    });
    print::result(output, &text, &json!({"entries": json.collect::<Vec<_>>()}))
}

fn one_subject(text: &str) -> Result<v1::PrincipalSubject, Failure> {
    let parts =
        text.rsplit_once('=').filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
    let (issuer, subject) = parts.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("--subject {text:?} names no issuer and subject"))
            .next("write it as https://id.example=248289761001")
    })?;
    Ok(v1::PrincipalSubject { issuer: issuer.to_owned(), subject: subject.to_owned() })
}

fn token(one: &v1::PrincipalToken) -> String {
    let note = if one.note.is_empty() { String::new() } else { format!(" ({})", one.note) };
    format!("{} until {}{note}", one.id, when(one.expires_ms))
}

fn document(one: &v1::Principal) -> Value {
    let tokens = one.tokens.iter().map(|token| {
        json!({
            "id": token.id, "issued_ms": token.issued_ms, "expires_ms": token.expires_ms,
            "note": token.note,
        })
    });
    let subjects = one.subjects.iter();
    let subjects = subjects.map(|one| json!({"issuer": one.issuer, "subject": one.subject}));
    json!({
        "name": one.name, "note": one.note, "added_ms": one.added_ms,
        "subjects": subjects.collect::<Vec<_>>(), "tokens": tokens.collect::<Vec<_>>(),
    })
}

/// A moment for people, to the second.
pub(crate) fn when(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string())
}

/// Columns under a head, as wide as what is in them; `-` for what is empty.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|text| (*text).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].len().max(1)).max().unwrap_or(1);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let cell = if cell.is_empty() { "-" } else { cell };
            format!("{cell:<width$}")
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows =
            vec![vec!["a".to_owned(), String::new()], vec!["long name".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "N"], rows), "NAME       N\na          -\nlong name  x");
    }

    #[test]
    fn subjects_are_read_and_moments_shown() {
        let subject = one_subject("https://id.example?a=b=248").expect("it is one");
        assert_eq!(
            (subject.issuer.as_str(), subject.subject.as_str()),
            ("https://id.example?a=b", "248")
        );
        for bad in ["", "x", "=x", "x="] {
            assert!(one_subject(bad).is_err(), "{bad}");
        }
        assert_eq!(when(1_700_000_000_999), "2023-11-14T22:13:20Z");
    }
}
