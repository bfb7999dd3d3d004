//! Takes in connections: of peers, after a look at who they are, and of nodes that want to join. Owns the
//! bounds of what strangers may use, and the dialled side of the greeting.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::peer::{Greeting, PeerLane, PeerRefusal};
use quinn::{Connection, Incoming, SendStream};

use super::book::Refusal;
use super::greeting::{self, NoGreeting};
use super::hub::Hub;
use super::link::{CloseCode, Lanes, Link, priority};
use super::site::Counts;
use super::{join, tls};
use crate::ids::NodeId;
use crate::limits::PEER_GREETING_MS_MAX;

/// Accepts until the endpoint is closed.
pub(super) async fn accept(hub: Arc<Hub>) {
    while let Some(incoming) = hub.endpoint.accept().await {
        let Ok(permit) = Arc::clone(&hub.greetings).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let task = {
            let hub = Arc::clone(&hub);
            async move {
                establish(&hub, incoming).await;
                drop(permit);
            }
        };
        hub.spawn(task);
    }
}

async fn establish(hub: &Arc<Hub>, incoming: Incoming) {
    let from = incoming.remote_address();
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => {
            Counts::add(&hub.site.counts.refused, 1);
            tracing::info!(%from, %error, "refused a node in its handshake");
            return;
        }
    };
    let patience = Duration::from_millis(PEER_GREETING_MS_MAX);
    if tls::is_join(&connection) {
        return join::serve(hub, &connection, patience).await;
    }
    let greeted = tokio::time::timeout(patience, greet(hub, &connection)).await;
    let (code, why) = match greeted {
        Ok(Ok(())) => return,
        Ok(Err(why)) => (CloseCode::Refused, why),
        Err(_) => (CloseCode::Late, format!("no greeting in {PEER_GREETING_MS_MAX} ms")),
    };
    Counts::add(&hub.site.counts.refused, 1);
    tracing::warn!(%from, why, "refused a node");
    connection.close((code as u32).into(), why.as_bytes());
}

async fn greet(hub: &Arc<Hub>, connection: &Connection) -> Result<(), String> {
    let named = tls::named(connection)?;
    let text = |fault: NoGreeting| format!("node {}: {fault}", named.1);
    let broken = |fault: &dyn std::fmt::Display| format!("node {}: {fault}", named.1);
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|e| broken(&e))?;
    let facts = match greeting::read(&mut recv).await.map_err(text)? {
        Greeting::Hello(facts) => facts,
        _ => return Err(format!("node {}: its first frame should be a hello", named.1)),
    };
    if let Err(refusal) = hub.admit(named, &facts).await {
        return Err(turn_away(&mut send, &refusal).await);
    }
    greeting::write(&mut send, &Greeting::Welcome(hub.own)).await.map_err(text)?;
    let mut lanes = Lanes::new();
    lanes.push((send, recv));
    for lane in &PeerLane::ALL[1..] {
        let (send, mut recv) = connection.accept_bi().await.map_err(|e| broken(&e))?;
        match greeting::read(&mut recv).await.map_err(text)? {
            Greeting::Lane(said) if said == *lane => lanes.push((send, recv)),
            other => {
                return Err(format!("node {}: {other:?}; next is the lane {lane:?}", named.1));
            }
        }
    }
    for (lane, (send, _)) in PeerLane::ALL.into_iter().zip(&lanes) {
        send.set_priority(priority(lane)).map_err(|e| broken(&e))?;
    }
    let now = hub.clock.elapsed();
    let peer = NodeId(facts.node);
    let link = Link::new(connection.clone(), facts, peer, now, Arc::clone(&hub.site));
    hub.adopt(link, lanes);
    Ok(())
}

/// Says why, and waits until that was read.
async fn turn_away(send: &mut SendStream, refusal: &Refusal) -> String {
    if refusal.reason == PeerRefusal::SecondNode || refusal.reason == PeerRefusal::OldDisk {
        tracing::error!(reason = ?refusal.reason, refusal.message, "refused a node");
    }
    if greeting::write(send, &greeting::refused(refusal)).await.is_ok() && send.finish().is_ok() {
        let _read_or_gone = send.stopped().await;
    }
    refusal.message.clone()
}
