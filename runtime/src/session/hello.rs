//! A device's first words, who it is, and why it is turned away. What becomes of it is the endpoint's.

use std::time::Duration;

use bytes::BytesMut;
use pollux_proto::device::convert::{Hello, Received};
use pollux_proto::device::{
    CloseCode, Decoder, DeviceFrame, Frame, FrameError, NodeFrame, RefusedReason, encode,
};
use pollux_proto::status;
use pollux_twin::id::DEFAULT_TENANT;
use pollux_twin::registration::Shown;
use pollux_twin::{DeviceId, Rejection, TenantId, TwinKey};
use quinn::{Connection, RecvStream, SendStream};

use super::tls::{Peer, PeerName};
use crate::limits::{LAST_WORDS_MS_MAX, SESSION_READ_BYTES};
use crate::own::is_reserved;
use crate::pki::sha256;

/// What a device says before it is answered.
pub(super) struct FirstWords {
    pub(super) hello: Hello,
    /// Where owners are that it cannot dial; empty: it does not ask to be relayed.
    pub(super) unreachable: Vec<String>,
}

/// Why a connection never became a session.
pub(super) enum Refusal {
    /// It broke, or was not what it should be; nobody to tell.
    Gone,
    /// The device broke the protocol.
    Protocol(FrameError),
    /// No hello in time.
    Late,
    /// No hello before the node stops.
    Stopping,
    /// Another node owns the device's shard.
    Elsewhere { address: String, epoch: (u64, u64) },
    /// A refusal in the words of the protocol.
    Refused { reason: RefusedReason, message: String, retry_after_ms: Option<u32> },
}

impl Refusal {
    /// That the node has too much to do.
    pub(super) const fn busy(message: String, retry_after_ms: u32) -> Self {
        let reason = RefusedReason::Busy;
        Self::Refused { reason, message, retry_after_ms: Some(retry_after_ms) }
    }

    /// What the device is told, how the connection is closed, and how the metrics name it.
    pub(super) fn told(self) -> (CloseCode, &'static str, Option<NodeFrame>) {
        match self {
            Self::Gone => (CloseCode::Done, "gone", None),
            Self::Late => (CloseCode::HelloTimeout, "late", None),
            Self::Stopping => (CloseCode::Bye, "stopping", None),
            Self::Protocol(error) => {
                let frame = NodeFrame::Refused {
                    reason: RefusedReason::Invalid,
                    message: error.to_string(),
                    retry_after_ms: None,
                };
                (error.close_code(), "invalid", Some(frame))
            }
            Self::Elsewhere { address, epoch } => {
                (CloseCode::Moved, "redirect", Some(NodeFrame::Redirect { address, epoch }))
            }
            Self::Refused { reason, message, retry_after_ms } => {
                let frame = NodeFrame::Refused { reason, message, retry_after_ms };
                (CloseCode::Refused, result_of(reason), Some(frame))
            }
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let row = status::row(&rejection);
        Self::Refused {
            reason: row.refused,
            message: status::message(&rejection),
            retry_after_ms: status::hello_retry_ms(&rejection),
        }
    }
}

/// A refusal, as the metrics name it.
pub(super) const fn result_of(reason: RefusedReason) -> &'static str {
    match reason {
        RefusedReason::NotYou => "not_you",
        RefusedReason::NotAllowed => "not_allowed",
        RefusedReason::Busy => "busy",
        RefusedReason::Invalid => "invalid",
    }
}

/// Says why, if there is somebody to say it to, and closes.
pub(super) async fn turn_away(
    connection: &Connection,
    (code, frame): (CloseCode, Option<NodeFrame>),
    send: Option<SendStream>,
) {
    if let (Some(frame), Some(mut send)) = (&frame, send) {
        let mut bytes = BytesMut::new();
        if encode(frame, &mut bytes).is_ok() && send.write_all(&bytes).await.is_ok() {
            let _ = send.finish();
            let patience = Duration::from_millis(LAST_WORDS_MS_MAX);
            let _ = tokio::time::timeout(patience, send.stopped()).await;
        }
    }
    let reason = match frame {
        Some(NodeFrame::Refused { reason, message, .. }) => {
            tracing::debug!(?reason, message, peer = %connection.remote_address(), "refused");
            message
        }
        _ => String::new(),
    };
    connection.close(code.code().into(), reason.as_bytes());
}

/// Reads what a device says first: a hello, and before it where it cannot go.
pub(super) async fn read(
    recv: &mut RecvStream,
    decoder: &mut Decoder<DeviceFrame>,
) -> Result<FirstWords, Refusal> {
    // Said once at most.
    let mut unreachable = None;
    loop {
        if let Some(frame) = decoder.poll().map_err(Refusal::Protocol)? {
            match Received::from(frame) {
                Received::Hello(hello) => {
                    let unreachable = unreachable.unwrap_or_default();
                    return Ok(FirstWords { hello, unreachable });
                }
                Received::Relay { unreachable: named } if unreachable.is_none() => {
                    unreachable = Some(named);
                    continue;
                }
                _ => {
                    return Err(Refusal::Protocol(FrameError::Unexpected {
                        found: "frame before the hello",
                        expected: "a hello as the first frame",
                    }));
                }
            }
        }
        read_on(recv, decoder).await?;
    }
}

/// Reads more of what a device says first; one that says no more is gone.
pub(super) async fn read_on<F: Frame>(
    recv: &mut RecvStream,
    decoder: &mut Decoder<F>,
) -> Result<(), Refusal> {
    match recv.read_chunk(SESSION_READ_BYTES, true).await {
        Ok(Some(chunk)) => decoder.push(&chunk.bytes),
        Ok(None) => {
            decoder.finish().map_err(Refusal::Protocol)?;
            return Err(Refusal::Gone);
        }
        Err(_) => return Err(Refusal::Gone),
    }
    Ok(())
}

/// Who a device is, and what it shows of it: a certificate names it, and the hello may only repeat that; who has
/// none shows a token, which the twin compares.
pub(super) fn authenticate(
    connection: &Connection,
    hello: &Hello,
) -> Result<(TwinKey, Shown), Refusal> {
    let not_you = |message: String| Refusal::Refused {
        reason: RefusedReason::NotYou,
        message,
        retry_after_ms: None,
    };
    let named = connection.peer_identity().and_then(|name| name.downcast::<PeerName>().ok());
    let named = named.map(|name| name.map_err(|reason| not_you(reason.into()))).transpose()?;
    let token = hello.token.as_deref().map(|token| Shown::Token(sha256(token.as_bytes())));
    let shown = match (&named, token) {
        // Whoever shows a token means it: where it counts no more, no certificate makes up for it.
        (_, Some(token)) => token,
        (Some(peer), None) => Shown::Certificate(Some(peer.certificate)),
        (None, None) => {
            let message = "neither a client certificate nor a token; show one of them";
            return Err(not_you(message.into()));
        }
    };
    let invalid = |error: pollux_twin::id::IdError| Refusal::Refused {
        reason: RefusedReason::Invalid,
        message: error.to_string(),
        retry_after_ms: None,
    };
    let tenant = match (hello.tenant.as_str(), &named) {
        ("", Some(peer)) => peer.key.tenant(),
        ("", None) => DEFAULT_TENANT,
        (tenant, _) => tenant,
    };
    let tenant = TenantId::parse(tenant).map_err(invalid)?;
    let device = DeviceId::parse(&hello.device).map_err(invalid)?;
    let asked = TwinKey::new(&tenant, &device);
    if is_reserved(&asked) {
        return Err(not_you(format!("tenant {tenant} is Pollux's own; no device is of it")));
    }
    match named {
        Some(Peer { key, .. }) if asked != key => Err(not_you(format!(
            "certificate names {key}, but the hello names {asked}; they must be the same"
        ))),
        _ => Ok((asked, shown)),
    }
}
