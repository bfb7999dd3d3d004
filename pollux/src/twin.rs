//! `pollux twin …`: calls of the Twins service.

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
            let request = v1::GetTwinRequest {
                tenant: key.tenant().to_owned(),
                device: key.device().to_owned(),
                ..Default::default()
            };
            let answer = client.twins().get(client.request(request)).await?.into_inner();
            let twin = answer.twin.unwrap_or_default();
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
            let request = v1::DeleteTwinRequest {
                tenant: key.tenant().to_owned(),
                device: key.device().to_owned(),
                expected_version: expect,
                idempotency_key,
            };
            let answer = client.twins().delete(client.request(request)).await?.into_inner();
            let said = format!("{key} deleted at version {}", answer.version);
            print::result(output, &said, &json!({"version": answer.version}))
        }
    }
}

async fn patch(output: Output, args: PatchArgs) -> Result<(), Failure> {
    let key = client::key(&args.device)?;
    let json = client::json(&args.json)?;
    let client = Client::connect(&args.client).await?;
    let section = match args.section {
        SectionName::Tags => v1::Section::Tags,
        SectionName::Desired => v1::Section::Desired,
    };
    let change = match args.replace {
        true => v1::patch_twin_request::Change::WholeJson(json),
        false => v1::patch_twin_request::Change::MergeJson(json),
    };
    let request = v1::PatchTwinRequest {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        section: section.into(),
        change: Some(change),
        expected_version: args.expect,
        idempotency_key: args.key,
    };
    let answer = client.twins().patch(client.request(request)).await?.into_inner();
    let section = render::section(answer.section);
    let said = format!("{key} {section} is at version {}", answer.version);
    print::result(output, &said, &json!({"section": section, "version": answer.version}))
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
        let page = client.twins().list(client.request(request.clone())).await?.into_inner();
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
    let (tenant, whose) = match &args.device {
        Some(device) => {
            let key = client::key(device)?;
            let device = v1::watch_request::Whose::Device(key.device().to_owned());
            (key.tenant().to_owned(), device)
        }
        None => (args.tenant, v1::watch_request::Whose::Prefix(args.prefix)),
    };
    let client = Client::connect(&args.client).await?;
    let request = v1::WatchRequest {
        tenant,
        whose: Some(whose),
        position: args.from,
        picture: args.picture,
        filter: args.filter,
    };
    // No time limit: a watch ends when its caller does.
    let mut events = client.twins().watch(client.lasting_request(request)).await?.into_inner();
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    let mut position = String::new();
    let ended = loop {
        if left == 0 {
            break Ok(());
        }
        let event = tokio::select! {
            event = events.message() => event,
            () = signals.next() => break Ok(()),
        };
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => break Ok(()),
            Err(status) => break Err(status.into()),
        };
        if !event.position.is_empty() {
            position.clone_from(&event.position);
        }
        if output == Output::Text
            && matches!(event.event, Some(v1::watch_response::Event::Progress(_)))
        {
            continue;
        }
        left -= 1;
        let document = render::event(&event);
        print::result(output, &watch_line(&event, &document), &document)?;
    };
    // In JSON each event has its own.
    if output == Output::Text && !position.is_empty() {
        print::note(&format!("go on after this with --from {position}"));
    }
    ended
}

pub(crate) fn watch_line(event: &v1::WatchResponse, document: &Value) -> String {
    use v1::watch_response::Event;
    match &event.event {
        Some(Event::Twin(twin)) => text::twin(twin),
        Some(Event::Changed(changed)) => {
            let mut body = document.clone();
            let hidden =
                ["position", "event", "tenant", "device", "version", "at_ms", "match", "twin"];
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
        Some(Event::PictureComplete(_)) => "-- that was the picture; changes follow".into(),
        Some(Event::PositionLost(_)) => {
            "-- the position is no longer kept; a whole picture follows".into()
        }
        _ => document.to_string(),
    }
}
