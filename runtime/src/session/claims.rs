//! Who comes to enrol on a connection of its own: what it asks is read once and answered once, by the same desk as for
//! services. Decides nothing.

use std::time::Duration;

use bytes::BytesMut;
use pollux_proto::device::enrolment::{Enrol, Enrolled};
use pollux_proto::device::{CloseCode, Decoder, RefusedReason, encode};
use quinn::{Connection, RecvStream, SendStream};

use super::endpoint::Endpoint;
use super::hello::{self, Refusal};
use super::tls::Claimant;
use crate::limits::{HELLO_MS_MAX, LAST_WORDS_MS_MAX};

impl Endpoint {
    /// Answers one, and closes.
    pub(super) async fn enrol(&self, connection: &Connection, claimant: &Claimant) {
        let in_time = Duration::from_millis(HELLO_MS_MAX);
        let stopping = self.router.stopping();
        let asked = async {
            let (send, mut recv) = connection.accept_bi().await.map_err(|_| Refusal::Gone)?;
            let asked = read(&mut recv).await?;
            Ok((send, asked))
        };
        let asked = tokio::select! {
            asked = tokio::time::timeout(in_time, asked) => asked.unwrap_or(Err(Refusal::Late)),
            () = stopping.cancelled() => Err(Refusal::Stopping),
        };
        let (send, asked) = match asked {
            Ok(asked) => asked,
            Err(refusal) => {
                let (code, result, frame) = refusal.told();
                self.metrics.hellos_total.of(result).inc();
                hello::turn_away(connection, (code, frame), None).await;
                return;
            }
        };
        let answer = match self.is_crowded() {
            true => self.too_many(),
            false => self.enrolling.enrol(asked, &claimant.0).await,
        };
        let result = match &answer {
            Enrolled::Given { .. } => "enrolled",
            Enrolled::Refused { .. } => "not_enrolled",
        };
        self.metrics.hellos_total.of(result).inc();
        tell(send, &answer).await;
        connection.close(CloseCode::Done.code().into(), b"");
    }

    fn too_many(&self) -> Enrolled {
        let Refusal::Refused { reason, message, retry_after_ms } = self.no_room() else {
            unreachable!("it is a refusal in words");
        };
        Enrolled::Refused { reason, why: None, message, retry_after_ms }
    }
}

async fn read(recv: &mut RecvStream) -> Result<Enrol, Refusal> {
    let mut decoder = Decoder::<Enrol>::new();
    loop {
        if let Some(asked) = decoder.poll().map_err(Refusal::Protocol)? {
            return Ok(asked);
        }
        hello::read_on(recv, &mut decoder).await?;
    }
}

async fn tell(mut send: SendStream, answer: &Enrolled) {
    let mut bytes = BytesMut::new();
    if let Err(error) = encode(answer, &mut bytes) {
        tracing::error!(%error, "an enrolled device cannot be told what it gets");
        let message = format!("node cannot say what it would give: {error}");
        let (reason, why) = (RefusedReason::Busy, None);
        let told = Enrolled::Refused { reason, why, message, retry_after_ms: None };
        encode(&told, &mut bytes).expect("a sentence is within the bounds");
    }
    if send.write_all(&bytes).await.is_ok() {
        let _ = send.finish();
        let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
        let _ = tokio::time::timeout(patience, send.stopped()).await;
    }
}
