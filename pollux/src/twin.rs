//! `pollux twin …`: calls of the Twins service.

use pollux_client::{Event, Section, Watch, Write};
use pollux_proto::v1;
use serde_json::{Value, json};

use crate::args::{Output, PatchArgs, SectionName, TwinCommand, WatchArgs};
use crate::client::{self, Client};
use crate::exit::Failure;
use crate::start::Signals;
use crate::{print, query, render, text};

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: TwinCommand) -> Result<(), Failure> {
    match command {
        TwinCommand::Get { device, client } => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let twin = client.calls().twins().get(key.as_str()).await?;
            print::result(output, &text::twin(&twin), &render::twin(&twin))
        }
        TwinCommand::Patch(args) => patch(output, args).await,
        TwinCommand::List { tenant, prefix, limit, after, full, client } => {
            let client = Client::connect(&client).await?;
            let view = if full { v1::ListView::Full } else { v1::ListView::Summary };
            let request = v1::ListTwinsRequest {
                tenant,
                prefix,
                page_size: limit,
                page_token: after,
                view: view.into(),
                ..Default::default()
            };
            list(output, &client, request).await
        }
        TwinCommand::Query(args) => query::run(output, args).await,
        TwinCommand::Watch(args) => watch(output, args).await,
        TwinCommand::Delete { device, expect, key: idempotency_key, client } => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let idempotency_key = client::own_key(idempotency_key);
            let twins = client.calls().twins();
            let version = twins.delete(key.as_str(), expect, idempotency_key).await?;
            let said = format!("{key} deleted at version {version}");
            print::result(output, &said, &json!({ "version": version }))
        }
    }
}

async fn patch(output: Output, args: PatchArgs) -> Result<(), Failure> {
    let key = client::key(&args.device)?;
    let json = client::json(&args.json)?;
    let client = Client::connect(&args.client).await?;
    let section = match args.section {
        SectionName::Tags => Section::Tags,
        SectionName::Desired => Section::Desired,
    };
    let mut write = match args.replace {
        true => Write::whole_json(key.as_str(), section, json),
        false => Write::merge_json(key.as_str(), section, json),
    };
    if let Some(version) = args.expect {
        write = write.expected_version(version);
    }
    if let Some(key) = client::own_key(args.key) {
        write = write.key(key);
    }
    let written = client.calls().twins().write(write).await?;
    let (section, version) = (section.name(), written.version);
    let said = format!("{key} {section} is at version {version}");
    print::result(output, &said, &json!({"section": section, "version": version}))
}

/// Follows pages until `page_size` twins were printed or there are no more.
async fn list(
    output: Output,
    client: &Client,
    mut request: v1::ListTwinsRequest,
) -> Result<(), Failure> {
    let full = request.view == i32::from(v1::ListView::Full);
    let (mut lines, mut twins) = (Vec::new(), Vec::new());
    let next = loop {
        let page = client.calls().twins().list(request.clone()).await?;
        for twin in &page.twins {
            lines.push(if full { text::twin(twin) } else { text::summary(twin) });
            twins.push(if full { render::twin(twin) } else { render::summary(twin) });
        }
        let count = u32::try_from(page.twins.len()).unwrap_or(u32::MAX);
        request.page_size = request.page_size.saturating_sub(count);
        if request.page_size == 0 || page.next_page_token.is_empty() {
            break page.next_page_token;
        }
        request.page_token = page.next_page_token;
    };
    if twins.is_empty() {
        lines.push("no twins".into());
    }
    if !next.is_empty() {
        lines.push(format!("there are more: --after {next}"));
    }
    let next = if next.is_empty() { Value::Null } else { next.into() };
    print::result(output, &lines.join("\n"), &json!({"twins": twins, "next": next}))
}

async fn watch(output: Output, args: WatchArgs) -> Result<(), Failure> {
    let watch = match &args.device {
        Some(device) => Watch::device(client::key(device)?.as_str()),
        None => Watch::prefix(args.prefix).of_tenant(args.tenant),
    };
    let watch = watch.filter(args.filter).after(args.from);
    let watch = if args.picture { watch.picture() } else { watch };
    let watch = if args.telemetry { watch.telemetry() } else { watch };
    let client = Client::connect(&args.client).await?;
    let mut watching = client.calls().twins().watch(&watch).await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    let ended = loop {
        if left == 0 {
            break Ok(());
        }
        let event = tokio::select! {
            event = watching.next() => event,
            () = signals.next() => break Ok(()),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => break Err(error.into()),
        };
        if output == Output::Text && event == Event::Progress {
            continue;
        }
        left -= 1;
        let document = render::event(&event, watching.told());
        print::result(output, &watch_line(&event, &document), &document)?;
    };
    // In JSON each event has its own.
    let position = watching.position();
    if output == Output::Text && !position.is_empty() {
        print::note(&format!("go on after this with --from {position}"));
    }
    ended
}

pub(crate) fn watch_line(event: &Event, document: &Value) -> String {
    match event {
        Event::Twin(twin) => text::twin(twin),
        Event::Changed(changed) => {
            let mut body = document.clone();
            let hidden = [
                "position", "event", "tenant", "device", "version", "at_ms", "match", "twin",
                "shard",
            ];
            if let Some(members) = body.as_object_mut() {
                members.retain(|name, _| !hidden.contains(&name.as_str()));
            }
            let kind = document["event"].as_str().unwrap_or_default();
            let fit = document["match"].as_str().map(|fit| format!("{fit}: ")).unwrap_or_default();
            format!(
                "{}/{}  v{} {fit}{kind} {body}",
                changed.tenant, changed.device, changed.version
            )
        }
        Event::PictureComplete => "-- that was the picture; changes follow".into(),
        Event::PositionLost => "-- the position is no longer kept; a whole picture follows".into(),
        Event::Telemetry(heard) => {
            let left_out = match heard.left_out {
                0 => String::new(),
                count => format!(", {count} before it left out"),
            };
            let values = &document["values"];
            format!("{}/{}  telemetry {values}{left_out}", heard.tenant, heard.device)
        }
        Event::Sharing(sharing) => {
            let v1::Sharing { consumer, shards, of, consumers } = sharing;
            let held = match shards.len() {
                0 => "nothing yet; waits for a shard".to_owned(),
                count => format!("{count} of {of} shards"),
            };
            format!("-- {consumer}, one of {consumers}, holds {held}")
        }
        _ => document.to_string(),
    }
}
