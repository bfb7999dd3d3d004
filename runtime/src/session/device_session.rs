//! One device's session on its owner: frames in, frames out, one task. Knows no rule about twins;
//! what it reads goes to the twin's actor, what it writes comes from the outbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pollux_proto::device::convert::{Received, WelcomeTerms};
use pollux_proto::device::{
    CloseCode, Datagram, Decoder, DeviceFrame, FrameError, Limits, NodeFrame, Replica,
    decode_datagram, encode,
};
use pollux_proto::limits::REPLICAS_MAX;
use pollux_proto::status;
use pollux_twin::Rejection;
use pollux_twin::input::FromDevice;
use pollux_twin::output::{ByeReason, ToDevice};

use super::hello::result_of;
use super::in_flight::InFlight;
use super::line::{Broken, Came, LastWords, Line, Reads};
use super::outbox::{Outbox, Waiting};
use super::pushes::SessionPushes;
use super::rate::Rate;
use crate::limits::MAILBOX_RETRY_MS;
use crate::metrics::Metrics;
use crate::router::Attached;

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The connection broke or was closed by the device.
    Gone,
    /// A `Bye` was written.
    Bye,
    /// The device broke the protocol.
    Protocol(FrameError),
}

/// A session under way.
pub(crate) struct DeviceSession<L> {
    pub(crate) line: L,
    pub(crate) decoder: Decoder<DeviceFrame>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) twin: Attached,
    /// What its welcome says.
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rate: Rate,
    /// Numbered frames not yet answered.
    pub(crate) in_flight: InFlight,
    /// What waits for its turn.
    pub(crate) pushes: SessionPushes,
    /// The session's epoch, from the welcome; 0 before.
    pub(crate) epoch: u64,
    /// Datagrams that were read: QUIC drops what comes while its buffer is full.
    pub(crate) datagrams: u64,
}

impl<L: Line> DeviceSession<L> {
    /// Runs until the session is over.
    pub(crate) async fn run(&mut self) -> End {
        loop {
            let shut = self.twin.valve().is_shut();
            // What came in one piece with the hello, or since; or while the valve was being shut.
            if !shut && let Err(error) = self.handle_frames() {
                return End::Protocol(error);
            }
            tokio::select! {
                biased;
                () = due(&self.outbox, &mut self.pushes) => match self.write().await {
                    Ok(None) => {}
                    Ok(Some(end)) => return end,
                    Err(_) => return End::Gone,
                },
                () = self.twin.valve().opened(), if shut => {}
                came = self.line.next(if shut { Reads::Held } else { Reads::On }) => match came {
                    Came::Bytes(bytes) => self.decoder.push(&bytes),
                    Came::Datagram(bytes) => self.handle_datagram(&bytes),
                    Came::Finished => {
                        return self.decoder.finish().map_or_else(End::Protocol, |()| End::Gone);
                    }
                    Came::Gone => return End::Gone,
                },
            }
        }
    }

    fn handle_frames(&mut self) -> Result<(), FrameError> {
        while let Some(frame) = self.decoder.poll()? {
            match Received::from(frame) {
                Received::Ping { nonce } => self.outbox.push_pong(nonce),
                Received::Hello(_) => {
                    return Err(FrameError::Unexpected {
                        found: "second hello",
                        expected: "a report, or another frame of a session",
                    });
                }
                Received::Relay { .. } => {
                    return Err(FrameError::Unexpected {
                        found: "wish to be relayed after the hello",
                        expected: "a report, or another frame of a session",
                    });
                }
                Received::Message(_) if self.epoch == 0 => {
                    return Err(FrameError::Unexpected {
                        found: "frame before the welcome",
                        expected: "nothing until the welcome has come",
                    });
                }
                Received::Message(message) => self.handle_message(message),
            }
        }
        Ok(())
    }

    fn handle_message(&mut self, message: FromDevice) {
        let seq = message.seq();
        self.pushes.heard(&message);
        self.metrics.device_frames_total.of(message.kind()).inc();
        let clock = self.twin.clock();
        if let Err(retry_after_ms) = self.rate.take(clock.elapsed_ms()) {
            self.refuse(seq, retry_after_ms);
            return;
        }
        if let Some(seq) = seq {
            self.in_flight.add(seq, clock.elapsed_us());
        }
        if self.twin.tell(message).is_err() {
            self.refuse(seq, MAILBOX_RETRY_MS);
        }
    }

    /// Overload consumes nothing; what follows is refused by the twin until this one comes again.
    fn refuse(&self, seq: Option<u64>, retry_after_ms: u32) {
        self.metrics.overloads_total.inc();
        if let Some(seq) = seq {
            let rejection = Rejection::Overloaded { retry_after_ms };
            self.outbox.push(self.epoch, ToDevice::Nack { seq, rejection });
        }
    }

    fn handle_datagram(&mut self, bytes: &Bytes) {
        self.datagrams += 1;
        self.metrics.datagrams_total.inc();
        let taken = decode_datagram(bytes)
            .ok()
            .map(Datagram::into_message)
            .filter(|(session, _)| *session == self.epoch && self.epoch != 0)
            .filter(|_| self.rate.take(self.twin.clock().elapsed_ms()).is_ok())
            .and_then(|(_, message)| self.twin.tell(message).ok());
        if taken.is_none() {
            self.metrics.datagrams_dropped_total.inc();
        }
    }

    /// Writes all that waits; `Some` if a `Bye` was among it.
    async fn write(&mut self) -> Result<Option<End>, Broken> {
        let Waiting { messages, pongs, ahead } = self.outbox.take();
        let mut bytes = BytesMut::new();
        let mut end = None;
        for nonce in pongs {
            encode_or_log(&NodeFrame::Pong { nonce }, &mut bytes);
        }
        let due = self.pushes.take_due(|| self.line.round_trip());
        for message in due.into_iter().chain(messages) {
            let passed = self.pushes.pass(message, || self.line.round_trip());
            let Some((session, message)) = passed else { continue };
            if let ToDevice::Welcome { .. } = message {
                self.epoch = session;
                self.line.welcomed();
            }
            self.note(&message);
            let frame = match moved(&self.twin, &message).await {
                Some(moved) => moved,
                None => NodeFrame::from_message(session, message, || self.terms()),
            };
            if frame.is_last() {
                end = Some(End::Bye);
            }
            encode_or_log(&frame, &mut bytes);
        }
        if let Some(address) = ahead.filter(|_| end.is_none() && self.epoch != 0) {
            encode_or_log(&NodeFrame::PrepareMove { address: address.to_string() }, &mut bytes);
        }
        if !bytes.is_empty() {
            self.line.write(&bytes).await?;
        }
        Ok(end)
    }

    /// What a welcome says, with the nodes that may own the device's shard next.
    fn terms(&self) -> WelcomeTerms {
        let next_owners = self.twin.next_owners().into_iter().take(REPLICAS_MAX);
        let replicas = next_owners.map(|address| Replica { address }).collect();
        WelcomeTerms { limits: self.limits.as_ref().clone(), replicas }
    }

    /// Counts an answer and how long it took.
    fn note(&mut self, message: &ToDevice) {
        match message {
            ToDevice::Welcome { .. } => {
                self.metrics.hellos_total.of("welcome").inc();
            }
            ToDevice::Refused { rejection, .. } => {
                let result = result_of(status::row(rejection).refused);
                self.metrics.hellos_total.of(result).inc();
            }
            ToDevice::Ack { seq, .. } => {
                self.metrics.acks_total.inc();
                if let Some(came_us) = self.in_flight.answered(*seq) {
                    let took_us = self.twin.clock().elapsed_us().saturating_sub(came_us);
                    self.metrics.ack_seconds.observe(Duration::from_micros(took_us));
                }
            }
            ToDevice::Nack { seq, rejection } => {
                self.in_flight.refused(*seq);
                self.metrics.nacks_total.of(status::row(rejection).reason).inc();
            }
            _ => {}
        }
    }

    /// Tells the device why, as far as it still listens, and lets the twin know.
    pub(crate) async fn end(mut self, end: End) {
        let code = match &end {
            End::Gone => CloseCode::Done,
            End::Bye => CloseCode::Bye,
            End::Protocol(error) => {
                let mut bytes = BytesMut::new();
                let bye = NodeFrame::Bye { reason: error.to_string(), reconnect: false };
                encode_or_log(&bye, &mut bytes);
                // The device may be past reading; the close that follows says it too.
                let _ = self.line.write(&bytes).await;
                error.close_code()
            }
        };
        // A device that is not there any more acknowledges nothing.
        let words = if matches!(end, End::Gone) { LastWords::None } else { LastWords::Said };
        self.line.finish(words).await;
        let unread = self.line.datagrams().saturating_sub(self.datagrams);
        self.metrics.datagrams_total.inc_by(unread);
        self.metrics.datagrams_dropped_total.inc_by(unread);
        let reason = match &end {
            End::Protocol(error) => error.to_string(),
            End::Gone | End::Bye => String::new(),
        };
        self.line.close(code, &reason).await;
        self.twin.detach().await;
    }
}

/// Resolves when there may be something to write.
async fn due(outbox: &Outbox, pushes: &mut SessionPushes) {
    tokio::select! {
        biased;
        () = outbox.ready() => {}
        () = pushes.turn() => {}
    }
}

/// The farewell of a device whose shard has gone to another node, rather than an end.
async fn moved(twin: &Attached, message: &ToDevice) -> Option<NodeFrame> {
    let ToDevice::Bye { reason: ByeReason::Stopping } = message else { return None };
    let (address, epoch) = twin.moved().await?;
    Some(NodeFrame::Moved { address, epoch: (epoch.term, epoch.leader) })
}

fn encode_or_log(frame: &NodeFrame, bytes: &mut BytesMut) {
    if let Err(error) = encode(frame, bytes) {
        // Cannot happen while a section's bound is below a frame's; the device is told nothing
        // wrong, and asks again after its next connect.
        tracing::error!(%error, "a frame for a device was not written");
    }
}
