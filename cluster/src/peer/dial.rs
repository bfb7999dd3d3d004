//! Connects to peers, again and again. Owns when to dial, and the dialling side of the greeting; leaves
//! who is let in to `book`, and the connection to `hub`.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pollux_proto::peer::{Greeting, PeerLane, PeerRefusal};
use quinn::Connection;
use tokio::sync::Notify;

use super::greeting;
use super::hub::Hub;
use super::link::{CloseCode, Lanes, Link, priority};
use super::tls::{self, SERVER_NAME};
use crate::ids::NodeId;
use crate::limits::{
    PEER_ADDRESSES_MAX, PEER_BACKOFF_MS, PEER_BACKOFF_MS_MAX, PEER_GREETING_MS_MAX,
    PEER_SECOND_DIAL_MS,
};

/// Why a node cannot be dialled of which only the number is known so far.
const NO_ADDRESS: &str = "it has no address";

/// Keeps a connection with a node, whoever dialled it.
pub(super) async fn keep_dialling(hub: Arc<Hub>, node: NodeId, again: Arc<Notify>) {
    let mut failures: u32 = 0;
    let mut last = String::new();
    loop {
        if let Some(link) = hub.link(node) {
            let used = link.since;
            link.connection.closed().await;
            // One that broke at once counts as a failure, so that two nodes that cannot agree do not
            // dial in a circle.
            let lasted = hub.clock.elapsed().saturating_sub(used);
            if lasted > Duration::from_millis(PEER_BACKOFF_MS_MAX) {
                failures = 0;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait(failures, hub.own.node > node.0)) => {}
            () = again.notified() => {}
        }
        failures = failures.saturating_add(1);
        if hub.link(node).is_some() {
            continue;
        }
        let Err(fault) = dial(&hub, node).await else { continue };
        if fault == NO_ADDRESS {
            tracing::debug!(peer = %node, "its address is yet to be told");
        } else if hub.link(node).is_none() && fault != last {
            tracing::warn!(peer = %node, fault, "cannot connect with a peer; trying on");
            last = fault;
        }
    }
}

/// How long to wait before the next attempt. The node with the higher id leaves the other a moment, so
/// that they seldom dial each other at once.
fn wait(failures: u32, second: bool) -> Duration {
    let base = match failures.checked_sub(1) {
        None => 0,
        Some(doublings) => (PEER_BACKOFF_MS << doublings.min(16)).min(PEER_BACKOFF_MS_MAX),
    };
    let most = base + if second { PEER_SECOND_DIAL_MS } else { 0 };
    Duration::from_millis(rand::random_range(most / 2..=most))
}

/// Tries a node's addresses in turn.
async fn dial(hub: &Arc<Hub>, node: NodeId) -> Result<(), String> {
    let mut last = NO_ADDRESS.to_owned();
    let addresses = hub.book().addresses(node);
    for address in addresses.into_iter().take(PEER_ADDRESSES_MAX) {
        let found = match tokio::net::lookup_host(&address).await {
            Ok(found) => found,
            Err(fault) => {
                last = format!("{address}: {fault}");
                continue;
            }
        };
        for at in found.take(PEER_ADDRESSES_MAX) {
            let patience = Duration::from_millis(PEER_GREETING_MS_MAX);
            match tokio::time::timeout(patience, connect(hub, node, at)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(fault)) => last = format!("{address}: {fault}"),
                Err(_) => last = format!("{address}: no answer in {PEER_GREETING_MS_MAX} ms"),
            }
        }
    }
    Err(last)
}

async fn connect(hub: &Arc<Hub>, node: NodeId, at: SocketAddr) -> Result<(), String> {
    let config = hub.client.read().unwrap_or_else(PoisonError::into_inner).clone();
    let connecting = hub.endpoint.connect_with(config, at, SERVER_NAME);
    let connecting = connecting.map_err(|fault| fault.to_string())?;
    let connection = connecting.await.map_err(|fault| fault.to_string())?;
    let greeted = greet(hub, node, &connection).await;
    if let Err(fault) = &greeted {
        connection.close((CloseCode::Refused as u32).into(), fault.as_bytes());
    }
    greeted
}

async fn greet(hub: &Arc<Hub>, node: NodeId, connection: &Connection) -> Result<(), String> {
    let named = tls::named(connection)?;
    if named != (hub.own.cluster, node.0) {
        let (cluster, other) = named;
        return Err(format!(
            "there is node {other} of cluster {cluster:032x}; it should be node {node} of {:032x}",
            hub.own.cluster
        ));
    }
    let text = |fault: &dyn std::fmt::Display| fault.to_string();
    let mut lanes = Lanes::new();
    let (mut send, mut recv) = connection.open_bi().await.map_err(|e| text(&e))?;
    greeting::write(&mut send, &Greeting::Hello(hub.own)).await.map_err(|e| text(&e))?;
    let facts = match greeting::read(&mut recv).await.map_err(|e| text(&e))? {
        Greeting::Welcome(facts) => {
            hub.turned_away(node, None);
            facts
        }
        Greeting::Refused { reason, message } => {
            use PeerRefusal::{OldDisk, Removed, SecondNode};
            if matches!(reason, OldDisk | Removed | SecondNode) {
                hub.turned_away(node, Some(message.clone()));
            }
            return Err(greeting::told(reason, &message));
        }
        Greeting::Hello(_) | Greeting::Lane(_) => {
            return Err("it answered a hello with something else".into());
        }
    };
    hub.admit(named, &facts)
        .await
        .map_err(|refusal| format!("refused here: {}", refusal.message))?;
    lanes.push((send, recv));
    for lane in &PeerLane::ALL[1..] {
        let (mut send, recv) = connection.open_bi().await.map_err(|e| text(&e))?;
        greeting::write(&mut send, &Greeting::Lane(*lane)).await.map_err(|e| text(&e))?;
        lanes.push((send, recv));
    }
    for (lane, (send, _)) in PeerLane::ALL.into_iter().zip(&lanes) {
        send.set_priority(priority(lane)).map_err(|e| text(&e))?;
    }
    let own = NodeId(hub.own.node);
    let now = hub.clock.elapsed();
    let link = Link::new(connection.clone(), facts, own, now, Arc::clone(&hub.site));
    hub.adopt(link, lanes);
    Ok(())
}
