//! The first words on a stream. Owns reading and writing them within bounds; leaves what to make of them
//! to `dial` and `accept`.

use bytes::BytesMut;
use pollux_proto::device::framing::{Frame, PREFIX_BYTES};
use pollux_proto::device::{Decoder, FrameError, encode};
use pollux_proto::peer::{Greeting, PeerRefusal, message};
use quinn::{RecvStream, SendStream};

use super::book::Refusal;

/// Why there was no greeting.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGreeting {
    /// The bytes are none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Reads one frame and not a byte more.
pub(super) async fn read<F: Frame>(recv: &mut RecvStream) -> Result<F, NoGreeting> {
    let broken = |fault: quinn::ReadExactError| NoGreeting::Broken(fault.to_string());
    let mut prefix = [0; PREFIX_BYTES];
    recv.read_exact(&mut prefix).await.map_err(broken)?;
    let bytes = u32::from_le_bytes(prefix) as usize;
    if bytes > F::BYTES_MAX {
        return Err(FrameError::TooLong { bytes, max: F::BYTES_MAX }.into());
    }
    let mut body = vec![0; bytes];
    recv.read_exact(&mut body).await.map_err(broken)?;
    let mut decoder = Decoder::new();
    decoder.push(&prefix);
    decoder.push(&body);
    decoder.poll()?.ok_or_else(|| NoGreeting::Broken("a frame was cut short".into()))
}

/// Writes one frame.
pub(super) async fn write<F: Frame>(send: &mut SendStream, frame: &F) -> Result<(), NoGreeting> {
    let mut bytes = BytesMut::new();
    encode(frame, &mut bytes)?;
    send.write_all(&bytes).await.map_err(|fault| NoGreeting::Broken(fault.to_string()))
}

/// The frame that tells a refusal.
pub(super) fn refused(refusal: &Refusal) -> Greeting {
    Greeting::Refused { reason: refusal.reason, message: message(&refusal.message) }
}

/// A refusal as the other side told it.
pub(super) fn told(reason: PeerRefusal, message: &str) -> String {
    format!("refused by it ({reason:?}): {message}")
}
