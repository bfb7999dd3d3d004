//! `pollux subscription …`: calls of the Subscriptions service.

use pollux_proto::v1;
use pollux_proto::v1::consume_request::What;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::args::{CreateArgs, NamedSubscription, Output, SubscriptionCommand};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::limits::ACKNOWLEDGED_AHEAD;
use crate::start::Signals;
use crate::twin::watch_line;
use crate::{print, render};

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: SubscriptionCommand) -> Result<(), Failure> {
    match command {
        SubscriptionCommand::Create(args) => create(output, args).await,
        SubscriptionCommand::List { tenant, client } => {
            let client = Client::connect(&client).await?;
            let request = v1::ListSubscriptionsRequest { tenant };
            let answer = client.subscriptions().list(client.request(request)).await?.into_inner();
            let mut lines: Vec<_> = answer.subscriptions.iter().map(text).collect();
            if lines.is_empty() {
                lines.push("no subscriptions".to_owned());
            }
            let all: Vec<_> = answer.subscriptions.iter().map(shown).collect();
            print::result(output, &lines.join("\n"), &json!({ "subscriptions": all }))
        }
        SubscriptionCommand::Get(NamedSubscription { name, tenant, client }) => {
            let client = Client::connect(&client).await?;
            let request = v1::GetSubscriptionRequest { tenant, name };
            let answer = client.subscriptions().get(client.request(request)).await?;
            print::result(output, &text(answer.get_ref()), &shown(answer.get_ref()))
        }
        SubscriptionCommand::Delete(NamedSubscription { name, tenant, client }) => {
            let client = Client::connect(&client).await?;
            let request = v1::DeleteSubscriptionRequest { tenant, name: name.clone() };
            client.subscriptions().delete(client.request(request)).await?;
            print::result(output, &format!("subscription {name} is forgotten"), &json!({}))
        }
        SubscriptionCommand::Consume { named, count } => consume(output, named, count).await,
    }
}

async fn create(output: Output, args: CreateArgs) -> Result<(), Failure> {
    use v1::subscription::Whose;
    let NamedSubscription { name, tenant, client } = args.named;
    let client = Client::connect(&client).await?;
    let whose = args.device.map_or(Whose::Prefix(args.prefix), Whose::Device);
    let subscription = v1::Subscription {
        tenant,
        name,
        whose: Some(whose),
        filter: args.filter,
        picture: args.picture,
        ..Default::default()
    };
    let request = v1::CreateSubscriptionRequest { subscription: Some(subscription) };
    let answer = client.subscriptions().create(client.request(request)).await?;
    print::result(output, &text(answer.get_ref()), &shown(answer.get_ref()))
}

async fn consume(
    output: Output,
    named: NamedSubscription,
    count: Option<u64>,
) -> Result<(), Failure> {
    let NamedSubscription { name, tenant, client } = named;
    let client = Client::connect(&client).await?;
    let (say, said) = mpsc::channel(ACKNOWLEDGED_AHEAD);
    let open = v1::OpenSubscription { tenant, name, unacknowledged_max: 0 };
    let _first = say.send(v1::ConsumeRequest { what: Some(What::Open(open)) }).await;
    // No time limit: a consumer stays until its caller leaves.
    let said = client.lasting_request(ReceiverStream::new(said));
    let mut events = client.subscriptions().consume(said).await?.into_inner();
    let mut left = count.unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    while left > 0 {
        let event = tokio::select! {
            event = events.message() => event?,
            () = signals.next() => break,
        };
        let Some(event) = event else {
            return Err(Failure::new(Exit::Unavailable, "the node ended the stream")
                .next("consume again, at any node"));
        };
        if !matches!(event.event, Some(v1::watch_response::Event::Progress(_))) {
            left -= 1;
            let document = render::event(&event);
            print::result(output, &watch_line(&event, &document), &document)?;
        }
        if !event.position.is_empty() {
            let done = v1::ConsumeRequest { what: Some(What::Acknowledge(event.position)) };
            if say.send(done).await.is_err() {
                break;
            }
        }
    }
    // The node remembers the last acknowledgement when nothing more can come, and then ends its stream.
    drop(say);
    while events.message().await?.is_some() {}
    Ok(())
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
