//! Carries one device's session over QUIC: one task that waits for one thing, hands it to the
//! machine, and carries out what comes out. Decides nothing.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pollux_proto::device::{CloseCode, Decoder, NodeFrame};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::dial::{self, Endpoint, Stream};
use crate::limits::{OUT_BYTES_MAX, READ_BYTES_MAX};
use crate::session::{Input, Loss};
use crate::shared::{Answered, Shared, Task};
use crate::tls::Identity;

type Dialled = Result<Stream, (Loss, String)>;

struct Dial {
    attempt: u64,
    future: Pin<Box<dyn Future<Output = Dialled> + Send>>,
}

/// A connection with its stream, and what is on its way over it.
struct Line {
    attempt: u64,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder<NodeFrame>,
    out: Vec<u8>,
    written: usize,
}

enum Happened {
    Read(bytes::Bytes),
    Wrote(usize),
    Lost(Loss, String),
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    identity: Identity,
    server_name: Option<Arc<str>>,
    /// The session's connection, and those that may carry it next; the session bounds them.
    lines: Vec<Line>,
    dials: Vec<Dial>,
    tasks: Vec<Task>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        identity: Identity,
        server_name: Option<Arc<str>>,
    ) -> Self {
        Self {
            shared,
            endpoint,
            identity,
            server_name,
            lines: Vec::new(),
            dials: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Runs until the session has ended for good.
    pub(crate) async fn run(mut self) {
        while let Some(deadline) = self.turn() {
            let clock = self.shared.clock;
            tokio::select! {
                () = self.shared.work.notified() => {}
                (attempt, dialled) = dialled(&mut self.dials) => self.dialled(attempt, dialled),
                (at, happened) = happened(&mut self.lines) => self.happened(at, happened),
                () = async {
                    match deadline {
                        Some(at) => tokio::time::sleep_until(clock.at(at)).await,
                        None => pending().await,
                    }
                } => {}
            }
        }
        for line in self.lines {
            close(&line.connection, CloseCode::Done);
        }
    }

    /// Carries out all that the session wants; `None` when it has ended, otherwise the deadline.
    fn turn(&mut self) -> Option<Option<Duration>> {
        loop {
            let mut state = self.shared.lock();
            let now = self.shared.clock.now();
            state.session.handle_deadline(now);
            let news = state.drain(&mut self.tasks);
            for line in &mut self.lines {
                let Line { attempt, out, .. } = line;
                state.session.poll_transmit(now, *attempt, out, OUT_BYTES_MAX);
            }
            let current = state.session.attempt();
            if state.carrier != current {
                // The handle sends datagrams over the session's connection.
                state.carrier = current;
                let line = self.lines.iter().find(|line| current == Some(line.attempt));
                state.connection = line.map(|line| line.connection.clone());
            }
            let deadline = state.session.next_deadline();
            let ended = state.session.ended().is_some();
            drop(state);
            if news {
                self.shared.announce();
            }
            if self.tasks.is_empty() {
                return (!ended).then_some(deadline);
            }
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        let mut tasks = std::mem::take(&mut self.tasks);
        for task in tasks.drain(..) {
            match task {
                Task::Dial { attempt, address } => {
                    let (endpoint, identity) = (self.endpoint.clone(), self.identity.clone());
                    let name = self.server_name.clone();
                    let future = Box::pin(dial::stream(endpoint, address, name, identity));
                    self.dials.push(Dial { attempt, future });
                }
                Task::Hangup { attempt } => self.hangup(attempt),
                Task::Answer(Answered::Waiter(waiter), answer) => {
                    // Nobody waits any more if the application dropped the future.
                    let _gone = waiter.send(answer);
                }
                Task::Answer(Answered::Call(call), answer) => call(answer),
                Task::Rehomed(handler, rehomed) => handler(rehomed),
                Task::Desired(handler, desired) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        let version = desired.version;
                        let result = handler(desired).await;
                        shared.desired_done(version, result);
                    });
                }
                Task::Command(handler, command) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        let id = command.id;
                        let outcome = handler(command).await;
                        shared.input(Input::Finished { id, outcome });
                    });
                }
            }
        }
        self.tasks = tasks;
    }

    fn hangup(&mut self, attempt: u64) {
        self.dials.retain(|dial| dial.attempt != attempt);
        if let Some(at) = self.lines.iter().position(|line| line.attempt == attempt) {
            close(&self.lines.swap_remove(at).connection, CloseCode::Done);
        }
    }

    fn dialled(&mut self, attempt: u64, dialled: Dialled) {
        match dialled {
            Ok(Stream { connection, send, recv }) => {
                let decoder = Decoder::new();
                let (out, written) = (Vec::new(), 0);
                let round_trip = connection.rtt();
                self.lines.push(Line { attempt, connection, send, recv, decoder, out, written });
                self.shared.input(Input::Connected { attempt, round_trip });
            }
            Err((loss, reason)) => {
                let reason = reason.into();
                self.shared.input(Input::Lost { attempt, loss, reason });
            }
        }
    }

    fn happened(&mut self, at: usize, happened: Happened) {
        let line = &mut self.lines[at];
        let attempt = line.attempt;
        let lost = match happened {
            Happened::Wrote(bytes) => {
                line.wrote(bytes);
                None
            }
            Happened::Read(bytes) => {
                line.decoder.push(&bytes);
                receive(&self.shared, line)
            }
            Happened::Lost(loss, reason) => Some((loss, reason, CloseCode::Done)),
        };
        if let Some((loss, reason, code)) = lost {
            close(&self.lines.swap_remove(at).connection, code);
            self.shared.input(Input::Lost { attempt, loss, reason: reason.into() });
        }
    }
}

impl Line {
    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.out.len() {
            self.written = 0;
            self.out.clear();
            // An idle device keeps no large buffer: there are very many of them.
            self.out.shrink_to(512);
        }
    }

    async fn happened(&mut self) -> Happened {
        let unwritten = &self.out[self.written..];
        tokio::select! {
            read = self.recv.read_chunk(READ_BYTES_MAX, true) => match read {
                Ok(Some(chunk)) => Happened::Read(chunk.bytes),
                Ok(None) => Happened::Lost(Loss::Broken, "the node ended the stream".to_owned()),
                Err(error) => Happened::Lost(read_loss(&error), error.to_string()),
            },
            wrote = self.send.write(unwritten), if !unwritten.is_empty() => match wrote {
                Ok(bytes) => Happened::Wrote(bytes),
                Err(error) => Happened::Lost(write_loss(&error), error.to_string()),
            },
        }
    }
}

/// Hands the frames that are complete to the session; says why the line is of no more use.
fn receive(shared: &Shared, line: &mut Line) -> Option<(Loss, String, CloseCode)> {
    let mut state = shared.lock();
    let now = shared.clock.now();
    loop {
        match line.decoder.poll() {
            Ok(Some(frame)) => {
                let attempt = line.attempt;
                state.session.handle(now, Input::Frame { attempt, frame });
            }
            Ok(None) => return None,
            Err(error) => return Some((Loss::Protocol, error.to_string(), error.close_code())),
        }
    }
}

async fn dialled(dials: &mut Vec<Dial>) -> (u64, Dialled) {
    poll_fn(|context| {
        for at in 0..dials.len() {
            if let Poll::Ready(dialled) = dials[at].future.as_mut().poll(context) {
                let attempt = dials.swap_remove(at).attempt;
                return Poll::Ready((attempt, dialled));
            }
        }
        Poll::Pending
    })
    .await
}

async fn happened(lines: &mut [Line]) -> (usize, Happened) {
    match lines {
        [] => pending().await,
        [line] => (0, line.happened().await),
        _ => {
            // Only while a session is looked for, or about to move.
            let mut all: Vec<_> =
                lines.iter_mut().map(|line| Box::pin(async { line.happened().await })).collect();
            poll_fn(|context| {
                for (at, line) in all.iter_mut().enumerate() {
                    if let Poll::Ready(happened) = line.as_mut().poll(context) {
                        return Poll::Ready((at, happened));
                    }
                }
                Poll::Pending
            })
            .await
        }
    }
}

fn close(connection: &Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code.code()), b"");
}

fn read_loss(error: &ReadError) -> Loss {
    match error {
        ReadError::ConnectionLost(lost) => connection_loss(lost),
        _ => Loss::Broken,
    }
}

fn write_loss(error: &WriteError) -> Loss {
    match error {
        WriteError::ConnectionLost(lost) => connection_loss(lost),
        _ => Loss::Broken,
    }
}

/// The transport's own code for a connection that is refused (RFC 9000, 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

/// Whose doing the loss of a connection was.
pub(crate) fn connection_loss(error: &ConnectionError) -> Loss {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            match CloseCode::from_code(close.error_code.into_inner()) {
                Some(CloseCode::Overloaded) => Loss::Overload,
                Some(code) if code.is_protocol_error() => Loss::Protocol,
                _ => Loss::Broken,
            }
        }
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == CONNECTION_REFUSED =>
        {
            Loss::Overload
        }
        _ => Loss::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_refuses_a_connection_has_no_room_for_now() {
        let refused = quinn::ConnectionClose {
            error_code: quinn::TransportErrorCode::CONNECTION_REFUSED,
            frame_type: None,
            reason: bytes::Bytes::new(),
        };
        let refused = ConnectionError::ConnectionClosed(refused);
        assert_eq!(connection_loss(&refused), Loss::Overload);
        assert_eq!(connection_loss(&ConnectionError::TimedOut), Loss::Broken);
    }
}
