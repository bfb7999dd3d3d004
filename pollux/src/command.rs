//! `pollux command …`: calls of the Commands service.

use pollux_client::NewCommand;
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
            show(output, &client.calls().commands().get(key.as_str(), id).await?)
        }
        CommandVerb::Cancel(CommandId { device, id, client }) => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            show(output, &client.calls().commands().cancel(key.as_str(), id).await?)
        }
        CommandVerb::List { device, client } => {
            let key = client::key(&device)?;
            let client = Client::connect(&client).await?;
            let commands = client.calls().commands().list(key.as_str()).await?;
            let lines: Vec<String> = match commands.is_empty() {
                true => vec!["no commands".into()],
                false => commands.iter().map(text::command).collect(),
            };
            let all: Vec<_> = commands.iter().map(render::command).collect();
            print::result(output, &lines.join("\n"), &json!({ "commands": all }))
        }
    }
}

async fn send(output: Output, args: SendArgs) -> Result<(), Failure> {
    let key = client::key(&args.device)?;
    let mut command = NewCommand::new(key.as_str(), args.name).deadline(args.deadline);
    if !args.payload.is_empty() {
        command = command.payload_json(client::json(&args.payload)?);
    }
    if args.queue {
        command = command.queue();
    }
    if args.wait {
        command = command.wait();
    }
    if let Some(key) = client::own_key(args.key) {
        command = command.key(key);
    }
    let client = Client::connect(&args.client).await?;
    let command = client.calls().commands().send(command).await?;
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
