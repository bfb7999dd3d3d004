//! `pollux command …`: calls of the Commands service.

use pollux_proto::v1;
use serde_json::json;

use crate::args::{CommandId, CommandVerb, Output, SendArgs};
use crate::client::{self, Client};
use crate::exit::{Exit, Failure};
use crate::{print, render, text};

/// Carries out a verb.
pub(crate) async fn run(output: Output, verb: CommandVerb) -> Result<(), Failure> {
    match verb {
        CommandVerb::Send(args) => send(output, args).await,
        CommandVerb::Get(CommandId { device, id, client }) => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let request = v1::GetCommandRequest {
                tenant: key.tenant().to_owned(),
                device: key.device().to_owned(),
                id,
            };
            let answer = client.commands().get(client.request(request)).await?.into_inner();
            show(output, &answer.command.unwrap_or_default())
        }
        CommandVerb::Cancel(CommandId { device, id, client }) => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let request = v1::CancelCommandRequest {
                tenant: key.tenant().to_owned(),
                device: key.device().to_owned(),
                id,
                ..Default::default()
            };
            let answer = client.commands().cancel(client.request(request)).await?.into_inner();
            show(output, &answer.command.unwrap_or_default())
        }
        CommandVerb::List { device, client } => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let request = v1::ListCommandsRequest {
                tenant: key.tenant().to_owned(),
                device: key.device().to_owned(),
            };
            let answer = client.commands().list(client.request(request)).await?.into_inner();
            let lines: Vec<String> = match answer.commands.is_empty() {
                true => vec!["no commands".into()],
                false => answer.commands.iter().map(text::command).collect(),
            };
            let all: Vec<_> = answer.commands.iter().map(render::command).collect();
            print::result(output, &lines.join("\n"), &json!({ "commands": all }))
        }
    }
}

async fn send(output: Output, args: SendArgs) -> Result<(), Failure> {
    let key = client::key(&args.device)?;
    let payload_json = match args.payload.as_str() {
        "" => String::new(),
        text => client::json(text)?,
    };
    let client = Client::connect(&args.client).await?;
    let request = v1::SendCommandRequest {
        tenant: key.tenant().to_owned(),
        device: key.device().to_owned(),
        name: args.name,
        payload_json,
        deadline_ms: u64::try_from(args.deadline.as_millis()).unwrap_or(u64::MAX),
        queue: args.queue,
        wait: args.wait,
        idempotency_key: args.key,
    };
    let request = match args.wait {
        true => client.patient_request(request, args.deadline),
        false => client.request(request),
    };
    let answer = client.commands().send(request).await?.into_inner();
    let command = answer.command.unwrap_or_default();
    show(output, &command)?;
    if args.wait && command.state != i32::from(v1::CommandState::Done) {
        let said = format!("command {} ended as {}", command.id, render::state(command.state));
        return Err(Failure::new(Exit::Failed, said));
    }
    Ok(())
}

fn show(output: Output, command: &v1::Command) -> Result<(), Failure> {
    print::result(output, &text::command(command), &render::command(command))
}
