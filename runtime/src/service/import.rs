//! Very many devices registered over one stream. Owns how many are under way at once and what is said of
//! it; each of them is a call like any other.

use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use pollux_proto::{convert, status, v1};
use pollux_twin::Rejection;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::desk::Desk;
use super::limits::{
    CALL_TIME_MAX, IMPORT_CALLS_MAX, IMPORT_REFUSED_MAX, IMPORT_TOLD_EVERY, IMPORT_TRIES,
};
use crate::access::Caller;
use crate::router::Call;

/// What came: a device to register, or why it is none; an error where what comes breaks off.
pub(super) type Came = Result<Result<v1::ImportDevicesRequest, v1::ImportRefusal>, Rejection>;

/// How far it is; an error ends it.
pub(super) type Said = Result<v1::ImportDevicesResponse, Rejection>;

/// An import under way.
pub(super) struct Import {
    pub(super) desk: Desk,
    pub(super) caller: Caller,
    /// Its place among the imports of this node.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Import {
    /// Registers what comes; the answers say how far it is.
    pub(super) fn run(
        self,
        devices: impl Stream<Item = Came> + Send + 'static,
    ) -> impl Stream<Item = Said> + Send + 'static {
        let (told, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            let result = self.register_all(devices, &told).await;
            if let Err(rejection) = result {
                let _ = told.send(Err(rejection)).await;
            }
        });
        ReceiverStream::new(answers)
    }

    async fn register_all(
        &self,
        devices: impl Stream<Item = Came> + Send,
        told: &mpsc::Sender<Said>,
    ) -> Result<(), Rejection> {
        let done = devices
            .map(|came| match came {
                Ok(Ok(one)) => self.register(one).map(Ok).left_future(),
                other => std::future::ready(other.map(|one| one.map(drop))).right_future(),
            })
            .buffer_unordered(IMPORT_CALLS_MAX);
        let mut done = std::pin::pin!(done);
        let mut said = v1::ImportDevicesResponse::default();
        let mut tick = tokio::time::interval(IMPORT_TOLD_EVERY);
        loop {
            let tells = tokio::select! {
                () = told.closed() => return Ok(()),
                one = done.next() => match one.transpose()? {
                    None => break,
                    Some(Ok(())) => {
                        said.registered += 1;
                        false
                    }
                    Some(Err(refusal)) => {
                        said.refused.push(refusal);
                        said.refused.len() >= IMPORT_REFUSED_MAX
                    }
                },
                _ = tick.tick() => true,
            };
            if tells {
                self.desk.still(&self.caller)?;
                let refused = std::mem::take(&mut said.refused);
                let registered = said.registered;
                let _ = told.send(Ok(v1::ImportDevicesResponse { registered, refused })).await;
            }
        }
        let _ = told.send(Ok(said)).await;
        Ok(())
    }

    /// Whether one would be registered, as far as can be told before.
    pub(super) fn look(
        &self,
        one: v1::ImportDevicesRequest,
    ) -> Result<v1::ImportDevicesRequest, v1::ImportRefusal> {
        let call = self.call_of(one.device.clone().unwrap_or_default());
        let checked = call.and_then(|mut call| self.desk.may_come(&self.caller, &mut call));
        checked.map_err(|rejection| refusal(one.line, &rejection))?;
        Ok(one)
    }

    /// Registers one. Where the node is busy it is tried again: who imports has time.
    async fn register(&self, one: v1::ImportDevicesRequest) -> Result<(), v1::ImportRefusal> {
        let line = one.line;
        let refused = |rejection: Rejection| refusal(line, &rejection);
        let call = self.call_of(one.device.unwrap_or_default()).map_err(refused)?;
        let caller = &self.caller;
        for _ in 1..IMPORT_TRIES {
            match self.desk.call(caller, call.clone()).await {
                Ok(_) => return Ok(()),
                Err(rejection) => match status::row(&rejection).retry_after_ms {
                    Some(ms) => tokio::time::sleep(Duration::from_millis(u64::from(ms))).await,
                    None => return Err(refused(rejection)),
                },
            }
        }
        self.desk.call(&self.caller, call).await.map(drop).map_err(refused)
    }

    fn call_of(&self, device: v1::RegisterDeviceRequest) -> Result<Call, Rejection> {
        let call = convert::register(device, &self.desk.json)?;
        let convert::Call { key, idempotency_key: _, request } = call;
        let caller = self.caller.name.to_string();
        Ok(Call { key, caller, idempotency_key: None, request, timeout: CALL_TIME_MAX })
    }
}

/// A line that no device came of.
pub(super) fn refusal(line: u64, rejection: &Rejection) -> v1::ImportRefusal {
    let reason = status::row(rejection).reason.to_owned();
    v1::ImportRefusal { line, reason, message: status::message(rejection) }
}
