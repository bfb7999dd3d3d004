//! Taking in nodes that have no certificate yet. Owns the one exchange of both sides and its bounds; what is
//! said in it is the runtime's.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pollux_proto::limits::JOIN_PAYLOAD_BYTES_MAX;
use pollux_proto::peer::JoinFrame;
use quinn::{Connection, Endpoint};

use super::greeting;
use super::hub::Hub;
use super::link::CloseCode;
use super::tls::{self, SERVER_NAME};
use crate::limits::PEER_JOIN_MS_MAX;

/// Why a node was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinFault {
    /// The cluster said no, and why.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// There was no exchange: no node there, or it is of another cluster.
    #[error("{0}")]
    Unreachable(String),
}

/// Asks the node at `address` to be taken in. Its CA must be the one with the fingerprint `ca`.
///
/// # Errors
/// [`JoinFault`], by whether the cluster answered.
pub async fn join(address: SocketAddr, ca: [u8; 32], request: Bytes) -> Result<Bytes, JoinFault> {
    let wrong = |fault: &dyn std::fmt::Display| JoinFault::Unreachable(fault.to_string());
    if request.len() > JOIN_PAYLOAD_BYTES_MAX {
        return Err(wrong(&format!("the request has more than {JOIN_PAYLOAD_BYTES_MAX} bytes")));
    }
    let config = tls::join_config(ca).map_err(|e| wrong(&e))?;
    let own: SocketAddr = if address.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = Endpoint::client(own).map_err(|e| wrong(&e))?;
    let exchange = async {
        let connecting =
            endpoint.connect_with(config, address, SERVER_NAME).map_err(|e| wrong(&e))?;
        let connection = connecting.await.map_err(|e| wrong(&format!("{address}: {e}")))?;
        let (mut send, mut recv) = connection.open_bi().await.map_err(|e| wrong(&e))?;
        let ask = JoinFrame::Request { payload: request.to_vec() };
        greeting::write(&mut send, &ask).await.map_err(|e| wrong(&e))?;
        let answer = greeting::read(&mut recv).await.map_err(|e| wrong(&e))?;
        connection.close((CloseCode::Stopping as u32).into(), b"done");
        match answer {
            JoinFrame::Reply { payload } => Ok(Bytes::from(payload)),
            JoinFrame::Refused { message } => Err(JoinFault::Refused(message)),
            JoinFrame::Request { .. } => Err(wrong(&"it answered a request with another")),
        }
    };
    let patience = Duration::from_millis(PEER_JOIN_MS_MAX);
    let answer = tokio::time::timeout(patience, exchange).await;
    answer.unwrap_or_else(|_| Err(wrong(&format!("{address}: no answer in {patience:?}"))))
}

/// Serves one joining node.
pub(super) async fn serve(hub: &Arc<Hub>, connection: &Connection, patience: Duration) {
    let from = connection.remote_address();
    let answer = match tokio::time::timeout(patience, ask(hub, connection)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => {
            tracing::info!(%from, why, "ended a connection for joining");
            return connection.close((CloseCode::Malformed as u32).into(), why.as_bytes());
        }
        Err(_) => return connection.close((CloseCode::Late as u32).into(), b"late"),
    };
    let (mut send, request) = answer;
    let answer = match at_desk(hub, from, request).await {
        Ok(payload) if payload.len() <= JOIN_PAYLOAD_BYTES_MAX => {
            tracing::info!(%from, "answered a joining node");
            JoinFrame::Reply { payload: payload.to_vec() }
        }
        Ok(payload) => {
            tracing::error!(bytes = payload.len(), "an answer to a joining node is too large");
            JoinFrame::Refused { message: "the node failed over it".into() }
        }
        Err(message) => {
            tracing::warn!(%from, message, "refused a joining node");
            JoinFrame::Refused { message: pollux_proto::peer::message(&message) }
        }
    };
    if greeting::write(&mut send, &answer).await.is_ok() && send.finish().is_ok() {
        let _read_or_gone = tokio::time::timeout(patience, send.stopped()).await;
    }
    connection.close((CloseCode::Stopping as u32).into(), b"done");
}

async fn ask(
    hub: &Arc<Hub>,
    connection: &Connection,
) -> Result<(quinn::SendStream, Bytes), String> {
    let taken = {
        let mut rate = hub.join_rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(hub.clock.elapsed())
    };
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|e| e.to_string())?;
    let JoinFrame::Request { payload } =
        greeting::read(&mut recv).await.map_err(|e| e.to_string())?
    else {
        return Err("a request to join should come first".into());
    };
    if !taken {
        let message = "too many nodes ask to join; come back in a second".to_owned();
        let refused = JoinFrame::Refused { message: message.clone() };
        if greeting::write(&mut send, &refused).await.is_ok() && send.finish().is_ok() {
            let _read_or_gone = send.stopped().await;
        }
        return Err(message);
    }
    Ok((send, payload.into()))
}

/// The desk's answer, in time, from one of few places.
async fn at_desk(hub: &Arc<Hub>, from: SocketAddr, request: Bytes) -> Result<Bytes, String> {
    let Some(desk) = hub.site.desk() else {
        return Err("this node takes in nobody now".into());
    };
    let Ok(_place) = hub.joins.try_acquire() else {
        return Err("too many nodes are joining; come back in a second".into());
    };
    let patience = Duration::from_millis(PEER_JOIN_MS_MAX);
    let answer = tokio::time::timeout(patience, desk.join(from, request)).await;
    answer.unwrap_or_else(|_| Err("it took too long; try again".into()))
}
