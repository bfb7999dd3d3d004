//! A device's connection, as its session sees it: bytes and datagrams in, bytes out, a close with a code.
//! Either the device's own ([`QuicLine`]), or one that another node relays (`relay/carried.rs`). A session
//! is made for its kind of line, so that a direct one pays nothing for the other.

use std::time::Duration;

use bytes::Bytes;
use pollux_proto::device::CloseCode;
use quinn::{Connection, RecvStream, SendStream};

use super::downloads::Downloads;
use crate::limits::{LAST_WORDS_MS_MAX, SESSION_READ_BYTES};

/// What came from a device.
#[derive(Debug)]
pub(crate) enum Came {
    /// Bytes of its stream.
    Bytes(Bytes),
    /// A datagram.
    Datagram(Bytes),
    /// The end of its stream.
    Finished,
    /// The connection is gone.
    Gone,
}

/// Whether the device's stream is read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It is.
    On,
    /// It is not; what comes otherwise is told.
    Held,
}

/// Whether something was said at the end that the device should still hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWords {
    /// Something was.
    Said,
    /// Nothing, or there is nobody to hear it.
    None,
}

/// The connection is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// See the module. Its futures may be dropped at any time: what was not told comes with the next.
pub(crate) trait Line: Send {
    /// What comes next.
    fn next(&mut self, reads: Reads) -> impl Future<Output = Came> + Send;

    /// Writes to the device's stream, waiting for room.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Broken>> + Send;

    /// Ends the stream to the device, and waits a while until it has heard the last words.
    fn finish(&mut self, words: LastWords) -> impl Future<Output = ()> + Send;

    /// The device's session is open: from now on it may come for artifacts beside it.
    fn welcomed(&mut self) {}

    /// How long the device takes to answer a packet, as far as that is known.
    fn round_trip(&self) -> Duration;

    /// Datagrams that came, those among them that nobody read.
    fn datagrams(&self) -> u64;

    /// Closes the connection.
    fn close(&mut self, code: CloseCode, reason: &str) -> impl Future<Output = ()> + Send;

    /// Where the device is, for people.
    fn peer(&self) -> String;
}

/// The connection of a device that dialled this node.
pub(crate) struct QuicLine {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    pub(super) downloads: Downloads,
    /// Whether its further streams are taken.
    pub(super) welcomed: bool,
}

impl Line for QuicLine {
    async fn next(&mut self, reads: Reads) -> Came {
        let Self { connection, recv, downloads, welcomed, .. } = self;
        loop {
            tokio::select! {
                biased;
                read = recv.read_chunk(SESSION_READ_BYTES, true), if reads == Reads::On => {
                    return match read {
                        Ok(Some(chunk)) => Came::Bytes(chunk.bytes),
                        Ok(None) => Came::Finished,
                        Err(_) => Came::Gone,
                    };
                }
                datagram = connection.read_datagram() => {
                    return datagram.map_or(Came::Gone, Came::Datagram);
                }
                opened = connection.accept_bi(), if *welcomed => match opened {
                    Ok((send, recv)) => downloads.begin(send, recv),
                    Err(_) => return Came::Gone,
                },
            }
        }
    }

    fn welcomed(&mut self) {
        self.welcomed = true;
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.send.write_all(bytes).await.map_err(|_| Broken)
    }

    async fn finish(&mut self, words: LastWords) {
        let _ = self.send.finish();
        if words == LastWords::Said {
            // Wait until the last words are acknowledged.
            let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
            let _ = tokio::time::timeout(patience, self.send.stopped()).await;
        }
    }

    fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    fn datagrams(&self) -> u64 {
        self.connection.stats().frame_rx.datagram
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        self.connection.close(code.code().into(), reason.as_bytes());
    }

    fn peer(&self) -> String {
        self.connection.remote_address().to_string()
    }
}
