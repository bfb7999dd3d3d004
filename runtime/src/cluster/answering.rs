//! What other nodes ask of this one, beside the calls of groups.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pollux_cluster::peer::{JoinDesk, Service};
use pollux_cluster::{CallFault, NodeId};
use tokio::task::spawn_blocking;

use super::authorities::Authorities;
use super::meta::Decider;
use super::rebalance::Urges;
use super::served::{Served, refused};
use super::steps::Steps;
use super::{Kind, back_up, forward, join, status, tenants};
use crate::access::Guard;
use crate::artifacts::Depot;
use crate::clock::Clock;
use crate::config::Checked;
use crate::router::Router;
use crate::session::Endpoint;
use crate::tenants::TenantBook;
use crate::{query, watch};

/// Answers once the parts that can are there; before that it is as if this node could not be reached.
pub(super) struct Answering {
    node: NodeId,
    lineage: u64,
    decider: OnceLock<Decider>,
    router: OnceLock<Router>,
    desk: OnceLock<Desk>,
    steps: OnceLock<Steps>,
    authorities: OnceLock<Authorities>,
    urges: OnceLock<Urges>,
    endpoint: OnceLock<Arc<Endpoint>>,
    tenants: OnceLock<Arc<TenantBook>>,
    depot: OnceLock<Depot>,
}

/// What taking nodes in needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) config: Arc<Checked>,
    pub(super) decider: Decider,
    pub(super) clock: Clock,
}

impl Answering {
    pub(super) const fn new(node: NodeId, lineage: u64) -> Self {
        Self {
            node,
            lineage,
            decider: OnceLock::new(),
            router: OnceLock::new(),
            desk: OnceLock::new(),
            steps: OnceLock::new(),
            authorities: OnceLock::new(),
            urges: OnceLock::new(),
            endpoint: OnceLock::new(),
            tenants: OnceLock::new(),
            depot: OnceLock::new(),
        }
    }

    pub(super) fn set_decider(&self, decider: Decider) {
        assert!(self.decider.set(decider).is_ok(), "a node has one meta group");
    }

    pub(super) fn set_router(&self, router: Router) {
        assert!(self.router.set(router).is_ok(), "a node has one router");
    }

    pub(super) fn set_steps(&self, steps: Steps) {
        assert!(self.steps.set(steps).is_ok(), "a node has one of them");
    }

    pub(super) fn set_authorities(&self, authorities: Authorities) {
        assert!(self.authorities.set(authorities).is_ok(), "a node has one set of them");
    }

    pub(super) fn set_urges(&self, urges: Urges) {
        assert!(self.urges.set(urges).is_ok(), "a node has one steward");
    }

    pub(super) fn set_tenants(&self, tenants: Arc<TenantBook>) {
        assert!(self.tenants.set(tenants).is_ok(), "a node has one book of them");
    }

    pub(super) fn set_endpoint(&self, endpoint: Arc<Endpoint>) {
        assert!(self.endpoint.set(endpoint).is_ok(), "a node has one endpoint for devices");
    }

    pub(super) fn set_depot(&self, depot: Depot) {
        assert!(self.depot.set(depot).is_ok(), "a node has one folder of artifacts");
    }

    pub(super) fn set_desk(&self, desk: Desk) {
        assert!(self.desk.set(desk).is_ok(), "a node has one desk");
    }
}

impl Service for Answering {
    fn call(
        &self,
        from: NodeId,
        kind: u16,
        payload: Bytes,
        _deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        let (decider, router) = (self.decider.get().cloned(), self.router.get().cloned());
        let steps = self.steps.get().cloned();
        let authorities = self.authorities.get().cloned();
        let urges = self.urges.get().cloned();
        let book = self.tenants.get().cloned();
        let depot = self.depot.get().cloned();
        let (node, lineage) = (self.node, self.lineage);
        async move {
            let router = || router.as_ref().ok_or(CallFault::Unreachable);
            match Kind::of(kind) {
                Some(Kind::Meta) => {
                    let decider = decider.as_ref().ok_or(CallFault::Unreachable)?;
                    Ok(decider.decide_for_peer(&payload).await.into())
                }
                Some(Kind::Guarded) => {
                    let decider = decider.as_ref().ok_or(CallFault::Unreachable)?;
                    guarded(router()?, decider, &payload).await
                }
                Some(
                    kind @ (Kind::Call
                    | Kind::EntryCall
                    | Kind::List
                    | Kind::Restorable
                    | Kind::SiftTwins),
                ) => about_twins(router()?, kind, &payload, &Guard::Open).await,
                Some(Kind::KeepStates) => forward::keep_states(router()?, &payload),
                Some(Kind::Status) => Ok(match (router(), decider.as_ref()) {
                    (Ok(router), Some(decider)) => status::for_peer(router, decider.group()),
                    // It waits for the cluster, which must see that it is there.
                    (Ok(_) | Err(_), _) => status::of_starting(node, lineage),
                }
                .into()),
                Some(Kind::Authority) => {
                    let authorities = authorities.ok_or(CallFault::Unreachable)?;
                    let taken = spawn_blocking(move || authorities.answer(&payload)).await;
                    taken.map(Into::into).map_err(|_| CallFault::Failed)
                }
                Some(Kind::Tenants) => {
                    let book = book.as_ref().ok_or(CallFault::Unreachable)?;
                    let answer = tenants::answer(router()?, book, &payload);
                    answer.map(Into::into).ok_or(CallFault::Failed)
                }
                Some(Kind::Barrier) => back_up::barrier_for_peer(router()?, &payload).await,
                Some(Kind::Step) => step(steps.ok_or(CallFault::Unreachable)?, &payload).await,
                Some(Kind::HoldArtifact) => {
                    depot.ok_or(CallFault::Unreachable)?.hold_for_peer(payload).await
                }
                Some(Kind::Rebalance) => {
                    let urges = urges.ok_or(CallFault::Unreachable)?;
                    let told = urges.ask_for_peer(&payload).await;
                    Ok(told.ok_or(CallFault::Failed)?.into())
                }
                Some(
                    Kind::BackUp
                    | Kind::Watch
                    | Kind::Query
                    | Kind::Explain
                    | Kind::Sift
                    | Kind::Listen
                    | Kind::Relay
                    | Kind::Relayed
                    | Kind::Artifact,
                )
                | None => {
                    tracing::warn!(%from, kind, "a node asks what this one does not know");
                    Err(CallFault::Failed)
                }
            }
        }
        .boxed()
    }

    fn open(&self, from: NodeId, kind: u16, payload: Bytes) -> Served {
        let router = self.router.get();
        match Kind::of(kind) {
            Some(Kind::BackUp) => back_up::open_for_peer(router.cloned(), &payload),
            Some(
                kind @ (Kind::Watch | Kind::Sift | Kind::Listen | Kind::Query | Kind::Explain),
            ) => open_about_twins(router, kind, &payload, &Guard::Open),
            Some(Kind::Guarded) => {
                let Some(decider) = self.decider.get() else {
                    return refused(CallFault::Unreachable);
                };
                let opened = Guard::open(decider.policies(), &payload);
                let opened = opened.map(|(guard, kind, asked)| (guard, Kind::of(kind), asked));
                match opened {
                    Some((guard, Some(kind), asked)) => {
                        open_about_twins(router, kind, &asked, &guard)
                    }
                    _ => refused(CallFault::Failed),
                }
            }
            Some(Kind::Artifact) => match self.depot.get() {
                Some(depot) => depot.open_for_peer(&payload),
                None => refused(CallFault::Unreachable),
            },
            Some(Kind::Relay) => match self.endpoint.get() {
                Some(endpoint) => endpoint.open_for_relay(from, &payload),
                None => refused(CallFault::Unreachable),
            },
            Some(Kind::Relayed) => match self.endpoint.get() {
                Some(endpoint) => endpoint.relays().open_for_owner(from, &payload),
                None => refused(CallFault::Failed),
            },
            _ => {
                tracing::warn!(%from, kind, "a node opens a stream that this one does not know");
                refused(CallFault::Failed)
            }
        }
    }
}

/// A step of a move.
async fn step(steps: Steps, payload: &[u8]) -> Result<Bytes, CallFault> {
    let order = serde_json::from_slice(payload).map_err(|_| CallFault::Failed)?;
    let done = steps.carry_out(order).await;
    Ok(serde_json::to_vec(&done).expect("a text is JSON").into())
}

/// What is asked for a principal.
async fn guarded(router: &Router, decider: &Decider, payload: &[u8]) -> Result<Bytes, CallFault> {
    let opened = Guard::open(decider.policies(), payload);
    let (guard, kind, asked) = opened.ok_or(CallFault::Failed)?;
    let kind = Kind::of(kind).ok_or(CallFault::Failed)?;
    about_twins(router, kind, &asked, &guard).await
}

async fn about_twins(
    router: &Router,
    kind: Kind,
    payload: &[u8],
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    match kind {
        Kind::Call => forward::call(router, payload, guard).await,
        Kind::EntryCall => forward::entry_call(router, payload, guard).await,
        Kind::List => forward::list(router, payload, guard),
        Kind::Restorable => forward::restorable(router, payload, guard),
        Kind::SiftTwins => watch::serve_twins(router, payload, guard).await,
        _ => Err(CallFault::Failed),
    }
}

fn open_about_twins(router: Option<&Router>, kind: Kind, payload: &[u8], guard: &Guard) -> Served {
    match kind {
        Kind::Watch => watch::serve(router, payload, guard),
        Kind::Sift => watch::serve_sifted(router, payload, guard),
        Kind::Listen => watch::serve_live(router, payload, guard),
        Kind::Query => query::serve(router, payload, false, guard),
        Kind::Explain => query::serve(router, payload, true, guard),
        _ => refused(CallFault::Failed),
    }
}

impl JoinDesk for Answering {
    fn join(&self, _from: SocketAddr, request: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let desk = self.desk.get().cloned();
        async move {
            let Some(Desk { config, decider, clock }) = desk else {
                return Err("this node has just started; try again in a moment".into());
            };
            join::admit(&config, &decider, clock, &request).await.map(Into::into)
        }
        .boxed()
    }
}
