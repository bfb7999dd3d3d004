//! `pollux.v1.Commands`.

use pollux_proto::v1::commands_server::Commands;
use pollux_proto::{convert, v1};
use pollux_twin::Rejection;
use pollux_twin::output::Answer;
use tonic::{Request, Response, Status};

use super::super::desk::unexpected;
use super::{Grpc, Origin};
use crate::metrics::Method;

impl Grpc {
    async fn command(
        &self,
        origin: Origin,
        call: convert::Call,
    ) -> Result<Option<v1::Command>, Rejection> {
        let answer = self.answer(origin, call).await?;
        convert::sent(answer).map(Some).map_err(|other| unexpected(&other))
    }
}

#[tonic::async_trait]
impl Commands for Grpc {
    async fn send(
        &self,
        request: Request<v1::SendCommandRequest>,
    ) -> Result<Response<v1::SendCommandResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::CommandsSend, async {
            let call = convert::send_command(request.into_inner(), &self.desk.json)?;
            let command = self.command(origin, call).await?;
            Ok(v1::SendCommandResponse { command })
        })
        .await
    }

    async fn get(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::CommandsGet, async {
            let call = convert::get_command(request.get_ref())?;
            let command = self.command(origin, call).await?;
            Ok(v1::GetCommandResponse { command })
        })
        .await
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::CommandsCancel, async {
            let call = convert::cancel_command(request.into_inner())?;
            let command = self.command(origin, call).await?;
            Ok(v1::CancelCommandResponse { command })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::CommandsList, async {
            let v1::ListCommandsRequest { tenant, device } = request.into_inner();
            let call = convert::get(&v1::GetTwinRequest { tenant, device, ..Default::default() })?;
            match self.answer(origin, call).await? {
                Answer::Twin(view) => {
                    let commands = view.commands.iter().map(convert::command_to_v1).collect();
                    Ok(v1::ListCommandsResponse { commands })
                }
                other => Err(unexpected(&other)),
            }
        })
        .await
    }
}
