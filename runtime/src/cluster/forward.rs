//! Calls and pages that one node passes on to another for its callers. One hop: who receives one
//! carries it out itself or says that it is not the owner.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_cluster::access::Action;
use pollux_cluster::peer::{Items, PeerNetwork};
use pollux_cluster::{CallFault, Network, NodeId};
use pollux_proto::device::{FrameError, Wire};
use pollux_proto::feed::{KeepStates, Listen, Sift, SiftTwins, Watch};
use pollux_proto::forward::{self, Called, EntryCall, Guarded, List, Listed, RestorableListed};
use pollux_proto::query::Ask;
use pollux_proto::relay::{Relay, Relayed};
use pollux_twin::input::CallKey;
use pollux_twin::output::Answer;
use pollux_twin::twin::Restorable;
use pollux_twin::{Rejection, ShardId, TwinKey, View};

use super::Kind;
use crate::access::Guard;
use crate::limits::{BARRIER_MS_MAX, FORWARD_MARGIN_MS, KEEP_STATES_MS_MAX, LIST_MS_MAX};
use crate::router::{Call, Router};

/// The way to other nodes for callers of this one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Forward {
    peers: PeerNetwork,
    /// The principal for whom twins are asked for.
    behalf: Option<Arc<str>>,
}

impl Forward {
    pub(super) const fn new(peers: PeerNetwork) -> Self {
        Self { peers, behalf: None }
    }

    /// The same for a principal, or for none.
    pub(crate) fn on_behalf(&self, principal: Option<Arc<str>>) -> Self {
        Self { peers: self.peers.clone(), behalf: principal }
    }

    /// The principal for whom twins are asked for, if there is one.
    pub(crate) const fn principal(&self) -> Option<&Arc<str>> {
        self.behalf.as_ref()
    }

    /// What is asked about twins, with the principal for whom, if there is one.
    fn guarded(&self, kind: Kind, payload: Bytes) -> Result<(Kind, Bytes), FrameError> {
        let Some(principal) = &self.behalf else { return Ok((kind, payload)) };
        let guarded = Guarded {
            principal: principal.to_string(),
            kind: kind as u16,
            payload: payload.to_vec(),
        };
        Ok((Kind::Guarded, forward::encode(&guarded)?))
    }

    /// The way to the groups of other nodes.
    pub(super) fn network(&self) -> Arc<dyn Network> {
        Arc::new(self.peers.clone())
    }

    /// Asks another node something.
    pub(crate) async fn ask(
        &self,
        to: NodeId,
        kind: Kind,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallFault> {
        self.peers.call(to, kind as u16, payload, patience).await
    }

    /// Opens a stream of items at another node.
    pub(crate) async fn open(
        &self,
        to: NodeId,
        kind: Kind,
        payload: Bytes,
    ) -> Result<Items, CallFault> {
        self.peers.open(to, kind as u16, payload).await
    }

    async fn open_for<W: Wire>(
        &self,
        to: NodeId,
        kind: Kind,
        asked: &W,
    ) -> Result<Items, CallFault> {
        let payload = forward::encode(asked).map_err(|_| CallFault::Failed)?;
        self.open(to, kind, payload).await
    }

    async fn open_guarded<W: Wire>(
        &self,
        to: NodeId,
        kind: Kind,
        asked: &W,
    ) -> Result<Items, CallFault> {
        let payload = forward::encode(asked).map_err(|_| CallFault::Failed)?;
        let (kind, payload) = self.guarded(kind, payload).map_err(|_| CallFault::Failed)?;
        self.open(to, kind, payload).await
    }

    /// Has the owner of a twin's shard carry out a call.
    ///
    /// # Errors
    /// [`CallFault::Unreachable`] if it certainly has not; otherwise nobody can tell.
    pub(crate) async fn call(
        &self,
        to: NodeId,
        call: Call,
    ) -> Result<Result<Answer, Rejection>, CallFault> {
        let patience = call.timeout;
        let margin = Duration::from_millis(FORWARD_MARGIN_MS).min(patience / 4);
        let timeout = patience.saturating_sub(margin);
        let (own, made) = match call.idempotency_key {
            None => (None, None),
            Some(CallKey::Own(key)) => (Some(key), None),
            Some(CallKey::Entry { id, again }) => (None, Some((id, again))),
        };
        let call = forward::Call {
            key: call.key.as_str().to_owned(),
            caller: call.caller,
            idempotency_key: own,
            request: call.request,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let (kind, encoded) = match made {
            None => (Kind::Call, forward::encode(&call)),
            Some((id, again)) => (Kind::EntryCall, forward::encode(&EntryCall { call, id, again })),
        };
        let encoded = encoded.and_then(|payload| self.guarded(kind, payload));
        let (kind, payload) = match encoded {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(Rejection::Invalid { reason: error.to_string() })),
        };
        let answer = self.ask(to, kind, payload, patience).await?;
        let called: Called = forward::decode(&answer).map_err(|error| {
            tracing::warn!(%to, %error, "a node's answer to a call cannot be read");
            CallFault::Failed
        })?;
        Ok(called.result)
    }

    /// Up to where a shard's log is committed, as another node says that owns it.
    pub(crate) async fn barrier(&self, to: NodeId, shard: ShardId) -> Result<u64, CallFault> {
        let payload = shard.0.to_le_bytes().to_vec().into();
        let patience = Duration::from_millis(BARRIER_MS_MAX);
        let answer = self.ask(to, Kind::Barrier, payload, patience).await?;
        answer.as_ref().try_into().map(u64::from_le_bytes).map_err(|_| CallFault::Failed)
    }

    /// Opens the changes of a shard at another node.
    pub(crate) async fn watch(&self, to: NodeId, watch: &Watch) -> Result<Items, CallFault> {
        self.open_guarded(to, Kind::Watch, watch).await
    }

    /// Opens those changes of a shard at another node that a filter lets through.
    pub(crate) async fn sift(&self, to: NodeId, sift: &Sift) -> Result<Items, CallFault> {
        self.open_guarded(to, Kind::Sift, sift).await
    }

    /// Opens telemetry as it comes on a shard that another node owns.
    pub(crate) async fn listen(&self, to: NodeId, listen: &Listen) -> Result<Items, CallFault> {
        self.open_guarded(to, Kind::Listen, listen).await
    }

    /// Has another node look for twins of a shard for which a filter holds.
    pub(crate) async fn sift_twins(
        &self,
        to: NodeId,
        ask: &SiftTwins,
        patience: Duration,
    ) -> Result<Bytes, CallFault> {
        let asked = forward::encode(ask).and_then(|asked| self.guarded(Kind::SiftTwins, asked));
        let (kind, payload) = asked.map_err(|_| CallFault::Failed)?;
        self.ask(to, kind, payload, patience).await
    }

    /// Has another node keep for a while what filters are asked of.
    pub(crate) async fn keep_states(&self, to: NodeId, shards: Vec<u16>) -> Result<(), CallFault> {
        let payload = forward::encode(&KeepStates { shards }).map_err(|_| CallFault::Failed)?;
        let patience = Duration::from_millis(KEEP_STATES_MS_MAX);
        self.ask(to, Kind::KeepStates, payload, patience).await.map(drop)
    }

    /// Opens what a query finds on shards that another node owns.
    pub(crate) async fn query(&self, to: NodeId, ask: &Ask) -> Result<Items, CallFault> {
        self.open_guarded(to, Kind::Query, ask).await
    }

    /// As [`Self::query`], and how each shard was looked at.
    pub(crate) async fn explain(&self, to: NodeId, ask: &Ask) -> Result<Items, CallFault> {
        self.open_guarded(to, Kind::Explain, ask).await
    }

    /// Has the owner of a device's shard open its session, which this node relays.
    pub(crate) async fn relay(&self, to: NodeId, relay: &Relay) -> Result<Items, CallFault> {
        self.open_for(to, Kind::Relay, relay).await
    }

    /// Opens what a device says that another node relays.
    pub(crate) async fn relayed(&self, to: NodeId, id: u64) -> Result<Items, CallFault> {
        self.open_for(to, Kind::Relayed, &Relayed { id }).await
    }

    /// Has another node look for twins in the tables of its shards, which must have come to these places.
    pub(crate) async fn list(
        &self,
        to: NodeId,
        shards: Vec<(ShardId, u64)>,
        beginning: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Vec<(TwinKey, View)>, Rejection> {
        let count = shards.len();
        let answer = self.page(Kind::List, to, shards, beginning, after, limit).await?;
        let listed: Listed = forward::decode(&answer).map_err(|_| Rejection::NotOwner)?;
        keyed(count, listed.shards.len(), listed.items)
    }

    /// The same for twins that were deleted and can be brought back.
    pub(crate) async fn restorable(
        &self,
        to: NodeId,
        shards: Vec<(ShardId, u64)>,
        beginning: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Vec<(TwinKey, Restorable)>, Rejection> {
        let count = shards.len();
        let answer = self.page(Kind::Restorable, to, shards, beginning, after, limit).await?;
        let listed: RestorableListed = forward::decode(&answer).map_err(|_| Rejection::NotOwner)?;
        keyed(count, listed.shards.len(), listed.items)
    }

    async fn page(
        &self,
        kind: Kind,
        to: NodeId,
        shards: Vec<(ShardId, u64)>,
        beginning: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Bytes, Rejection> {
        let list = List {
            shards: shards.into_iter().map(|(shard, reached)| (shard.0, reached)).collect(),
            beginning: beginning.to_owned(),
            after: after.map(|key| key.as_str().to_owned()),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let not_there = |_| Rejection::NotOwner;
        let (kind, payload) = forward::encode(&list)
            .and_then(|payload| self.guarded(kind, payload))
            .map_err(|error| Rejection::Invalid { reason: error.to_string() })?;
        let patience = Duration::from_millis(LIST_MS_MAX);
        self.ask(to, kind, payload, patience).await.map_err(not_there)
    }
}

/// What was told of so many shards, of which so many were looked into.
fn keyed<T>(
    asked: usize,
    seen: usize,
    items: Vec<(String, T)>,
) -> Result<Vec<(TwinKey, T)>, Rejection> {
    // A replica that moved meanwhile, or is behind, would leave its twins out of the page.
    if seen < asked {
        return Err(Rejection::NotOwner);
    }
    let keyed = |(key, shown): (String, T)| Some((TwinKey::parse(&key).ok()?, shown));
    items.into_iter().map(keyed).collect::<Option<_>>().ok_or(Rejection::NotOwner)
}

/// Carries out what another node passed on.
pub(super) async fn call(
    router: &Router,
    payload: &[u8],
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    let mut call: forward::Call = forward::decode(payload).map_err(|_| CallFault::Failed)?;
    let key = call.idempotency_key.take().map(CallKey::Own);
    carry_out(router, call, key, guard).await
}

/// Carries out what another node passed on with a key that it made.
pub(super) async fn entry_call(
    router: &Router,
    payload: &[u8],
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    let EntryCall { call, id, again } = forward::decode(payload).map_err(|_| CallFault::Failed)?;
    carry_out(router, call, Some(CallKey::Entry { id, again }), guard).await
}

async fn carry_out(
    router: &Router,
    call: forward::Call,
    idempotency_key: Option<CallKey>,
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    let key = TwinKey::parse(&call.key).map_err(|_| CallFault::Failed)?;
    if let Err(refused) = guard.call(&key, &call.request) {
        return encode(&Called { result: Err(refused) });
    }
    let call = Call {
        key,
        caller: call.caller,
        idempotency_key,
        request: call.request,
        timeout: Duration::from_millis(call.timeout_ms),
    };
    let result = router.call_for_peer(call, guard.principal()).await;
    encode(&Called { result })
}

/// Keeps for a while what filters are asked of.
pub(super) fn keep_states(router: &Router, payload: &[u8]) -> Result<Bytes, CallFault> {
    let KeepStates { shards } = forward::decode(payload).map_err(|_| CallFault::Failed)?;
    shards.into_iter().for_each(|shard| router.keep_states_of(ShardId(shard)));
    Ok(Bytes::new())
}

/// Looks for twins in the tables held here.
pub(super) fn list(router: &Router, payload: &[u8], guard: &Guard) -> Result<Bytes, CallFault> {
    let list: List = forward::decode(payload).map_err(|_| CallFault::Failed)?;
    // A list, or the picture that a watch begins with.
    guard
        .beginning(Action::TwinRead, &list.beginning)
        .or_else(|_| guard.beginning(Action::TwinWatch, &list.beginning))
        .map_err(|_| CallFault::Failed)?;
    let after = list.after.as_deref().map(TwinKey::parse).transpose();
    let after = after.map_err(|_| CallFault::Failed)?;
    let limit = (list.limit as usize).min(pollux_proto::limits::FORWARDED_PAGE_MAX);
    let (shards, items) =
        router.list_for_peer(&list.shards, &list.beginning, after.as_ref(), limit);
    let items = items.into_iter().map(|(key, view)| (key.as_str().to_owned(), view)).collect();
    encode(&Listed { shards, items })
}

/// Looks in the tables held here for what can be brought back.
pub(super) fn restorable(
    router: &Router,
    payload: &[u8],
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    let list: List = forward::decode(payload).map_err(|_| CallFault::Failed)?;
    guard.beginning(Action::TwinRead, &list.beginning).map_err(|_| CallFault::Failed)?;
    let after = list.after.as_deref().map(TwinKey::parse).transpose();
    let after = after.map_err(|_| CallFault::Failed)?;
    let limit = (list.limit as usize).min(pollux_proto::limits::FORWARDED_PAGE_MAX);
    let (shards, items) =
        router.restorable_for_peer(&list.shards, &list.beginning, after.as_ref(), limit);
    let items = items.into_iter().map(|(key, found)| (key.as_str().to_owned(), found)).collect();
    encode(&RestorableListed { shards, items })
}

fn encode<W: Wire>(message: &W) -> Result<Bytes, CallFault> {
    forward::encode(message).map_err(|error| {
        tracing::error!(%error, "an answer for another node was not written");
        CallFault::Failed
    })
}
