//! Services that have devices execute commands, one after the other, and wait for the answer.

use std::sync::Arc;

use anyhow::Result;
use pollux_proto::v1;
use tokio::time::sleep;

use super::limits::COMMAND_MS;
use super::tries::Failed;
use super::way::request;
use super::{Common, rest};
use crate::history::{Answer, What};

pub(super) async fn run(common: Arc<Common>, number: u64) -> Result<()> {
    let mut round = number * 3;
    while common.goes_on() {
        let (twin, way, value) = (common.twin(round), common.way(round / 2), common.value());
        let message = v1::SendCommandRequest {
            device: twin.to_owned(),
            name: "count".to_owned(),
            payload_json: value.to_string(),
            deadline_ms: COMMAND_MS,
            wait: true,
            idempotency_key: format!("command-{value}"),
            ..Default::default()
        };
        let open = common.recorder.begin(twin, What::Command(value));
        match way.commands().send(request(message)).await {
            Ok(answer) => {
                let done = i32::from(v1::CommandState::Done);
                let command = answer.into_inner().command.unwrap_or_default();
                if command.state == done {
                    open.end(Answer::Executed);
                }
            }
            Err(status) => {
                if matches!(common.tries.judge(&status), Failed::NoEffect | Failed::NotThere) {
                    open.end(Answer::Refused);
                }
            }
        }
        round += 1;
        sleep(rest()).await;
    }
    Ok(())
}
