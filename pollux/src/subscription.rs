//! `pollux subscription …`: calls of the Subscriptions service.

use pollux_client::Watch;
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
        SubscriptionCommand::Consume { named, count } => consume(output, named, count).await,
    }
}

async fn create(output: Output, args: CreateArgs) -> Result<(), Failure> {
    let NamedFlags { name, tenant, client } = args.named;
    let client = Client::connect(&client).await?;
    let watch = args.device.map_or_else(|| Watch::prefix(args.prefix), Watch::device);
    let watch = watch.of_tenant(tenant).filter(args.filter);
    let watch = if args.picture { watch.picture() } else { watch };
    let made = client.calls().subscriptions().create(&name, &watch).await?;
    print::result(output, &text(&made), &shown(&made))
}

async fn consume(output: Output, named: NamedFlags, count: Option<u64>) -> Result<(), Failure> {
    let NamedFlags { name, tenant, client } = named;
    let client = Client::connect(&client).await?;
    let mut consumer = client.calls().subscriptions().consume(&of(&tenant, &name), 0).await?;
    let mut left = count.unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    while left > 0 {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery?,
            () = signals.next() => break,
        };
        left -= 1;
        let document = render::event(&delivery.event, &delivery.position);
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
        "position": one.position, "turn": one.turn,
    });
    match &one.whose {
        Some(Whose::Device(device)) => out["device"] = device.as_str().into(),
        Some(Whose::Prefix(prefix)) => out["prefix"] = prefix.as_str().into(),
        None => {}
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
    format!("{}/{}  {whose}{filter}; {stands}", one.tenant, one.name)
}
