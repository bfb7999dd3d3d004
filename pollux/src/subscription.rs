//! `pollux subscription …`: calls of the Subscriptions service.

use pollux_client::{Event, Watch};
use pollux_proto::v1;
use serde_json::{Value, json};

use crate::args::{CreateArgs, NamedFlags, Output, SubscriptionCommand, TenantFlags};
use crate::client::Client;
use crate::exit::Failure;
use crate::start::Signals;
use crate::twin::watch_line;
use crate::{print, render};

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: SubscriptionCommand) -> Result<(), Failure> {
    match command {
        SubscriptionCommand::Create(args) => create(output, args).await,
        SubscriptionCommand::List(TenantFlags { tenant, client }) => {
            let client = Client::connect(&client).await?;
            let found = client.calls().subscriptions().list(&tenant).await?;
            let mut lines: Vec<_> = found.iter().map(text).collect();
            if lines.is_empty() {
                lines.push("no subscriptions".to_owned());
            }
            let all: Vec<_> = found.iter().map(shown).collect();
            print::result(output, &lines.join("\n"), &json!({ "subscriptions": all }))
        }
        SubscriptionCommand::Get(NamedFlags { name, tenant, client }) => {
            let client = Client::connect(&client).await?;
            let found = client.calls().subscriptions().get(&of(&tenant, &name)).await?;
            print::result(output, &text(&found), &shown(&found))
        }
        SubscriptionCommand::Delete(NamedFlags { name, tenant, client }) => {
            let client = Client::connect(&client).await?;
            client.calls().subscriptions().delete(&of(&tenant, &name)).await?;
            print::result(output, &format!("subscription {name} is forgotten"), &json!({}))
        }
        SubscriptionCommand::Consume { named, consumer, count } => {
            consume(output, named, &consumer, count).await
        }
    }
}

async fn create(output: Output, args: CreateArgs) -> Result<(), Failure> {
    let NamedFlags { name, tenant, client } = args.named;
    let client = Client::connect(&client).await?;
    let watch = args.device.map_or_else(|| Watch::prefix(args.prefix), Watch::device);
    let watch = watch.of_tenant(tenant).filter(args.filter);
    let watch = if args.picture { watch.picture() } else { watch };
    let watch = if args.telemetry { watch.telemetry() } else { watch };
    let all = client.calls().subscriptions();
    let made = match args.shared {
        true => all.create_shared(&name, &watch).await?,
        false => all.create(&name, &watch).await?,
    };
    print::result(output, &text(&made), &shown(&made))
}

async fn consume(
    output: Output,
    named: NamedFlags,
    consumer: &str,
    count: Option<u64>,
) -> Result<(), Failure> {
    let NamedFlags { name, tenant, client } = named;
    let client = Client::connect(&client).await?;
    let all = client.calls().subscriptions();
    let mut consumer = all.consume_as(&of(&tenant, &name), consumer, 0).await?;
    let mut left = count.unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    while left > 0 {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery?,
            () = signals.next() => break,
        };
        // What it holds is told, and none of the events that are counted.
        left -= u64::from(!matches!(delivery.event, Event::Sharing(_)));
        let mut document = render::event(&delivery.event, &delivery.position);
        if let Some(shard) = delivery.shard {
            document["shard"] = shard.into();
        }
        print::result(output, &watch_line(&delivery.event, &document), &document)?;
        consumer.acknowledge(&delivery);
    }
    Ok(consumer.finish().await?)
}

/// A subscription by its tenant and name.
fn of(tenant: &str, name: &str) -> String {
    format!("{tenant}/{name}")
}

fn shown(one: &v1::Subscription) -> Value {
    use v1::subscription::Whose;
    let mut out = json!({
        "tenant": one.tenant, "name": one.name, "filter": one.filter, "picture": one.picture,
        "position": one.position, "turn": one.turn, "telemetry": one.telemetry,
        "shared": one.shared,
        "consumers": one.consumers.iter().map(consumer_shown).collect::<Vec<_>>(),
    });
    if let Some(behind) = one.behind {
        out["behind"] = behind.into();
    }
    match &one.whose {
        Some(Whose::Device(device)) => out["device"] = device.as_str().into(),
        Some(Whose::Prefix(prefix)) => out["prefix"] = prefix.as_str().into(),
        None => {}
    }
    out
}

fn consumer_shown(one: &v1::SubscriptionConsumer) -> Value {
    let mut out = json!({ "name": one.name, "shards": one.shards });
    if let Some(behind) = one.behind {
        out["behind"] = behind.into();
    }
    out
}

fn text(one: &v1::Subscription) -> String {
    use v1::subscription::Whose;
    let whose = match &one.whose {
        Some(Whose::Device(device)) => format!("device {device}"),
        Some(Whose::Prefix(prefix)) if !prefix.is_empty() => format!("devices {prefix}…"),
        _ => "all devices".to_owned(),
    };
    let filter = match one.filter.as_str() {
        "" => String::new(),
        filter => format!(" where {filter}"),
    };
    // Positions are for programs.
    let stands = match one.position.as_str() {
        "" => "a picture comes first",
        _ => "it stands at what was acknowledged",
    };
    let behind = |behind: Option<u64>| {
        behind.map(|count| format!(", {count} entries behind")).unwrap_or_default()
    };
    let shared = match one.consumers.len() {
        _ if !one.shared => String::new(),
        0 => "; shared, by nobody now".to_owned(),
        count => format!("; shared by {count}"),
    };
    let each = one
        .consumers
        .iter()
        .map(|of| format!("\n  {}  {} shards{}", of.name, of.shards, behind(of.behind)));
    let telemetry = if one.telemetry { ", and telemetry as it comes" } else { "" };
    format!(
        "{}/{}  {whose}{filter}{telemetry}; {stands}{}{shared}{}",
        one.tenant,
        one.name,
        behind(one.behind),
        each.collect::<String>()
    )
}
