//! One cluster CA takes the place of another while the cluster runs. Every node accepts the next one before
//! any node issues with it, and every node issues with it before any refuses the one before: a step is
//! taken when all nodes have taken the last. What a node has is in its files, so a rotation that is cut
//! short goes on with the same command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pollux_cluster::peer::{PeerNetwork, PeerTls, fingerprint};
use pollux_cluster::{Identity, NodeId};
use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::control::{Control, ControlFault};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::limits::{AUTHORITY_MS_MAX, NODE_CERTIFICATE_DAYS};
use crate::pki::{ClusterCas, Looked, Part, PkiError, What, is_old};

/// A CA by its certificate's hash.
type Print = [u8; 32];

/// A step, as one node asks another for it; all may be repeated. Its answer is what the node has then.
#[derive(Serialize, Deserialize)]
enum Step {
    /// None: only say what you have.
    Look,
    /// Accept a further CA: certificate and key as PEM.
    Accept(String, String),
    /// Issue with it.
    Promote(Print),
    /// Do not accept the one before this one any more.
    Finish(Print),
}

/// What a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Has {
    current: Print,
    next: Option<Print>,
    before: Option<Print>,
}

/// This node's CAs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authorities {
    held: Arc<Mutex<Held>>,
    network: PeerNetwork,
    identity: Identity,
    clock: Clock,
}

struct Held {
    cas: ClusterCas,
    /// What this node shows to others.
    shown: CertificateDer<'static>,
}

/// What a node shows to others now, and whom it accepts.
pub(super) fn tls(cas: &ClusterCas, own: &Identity, clock: Clock) -> Result<PeerTls, PkiError> {
    let days = NODE_CERTIFICATE_DAYS;
    let issued = cas.current.issue_node(own.cluster, own.node, clock.wall(), days)?;
    let (chain, key) = (issued.chain().to_vec(), issued.key().clone_key());
    Ok(PeerTls { roots: cas.roots(), chain, key })
}

impl Authorities {
    pub(super) fn new(
        (cas, shown): (ClusterCas, CertificateDer<'static>),
        network: PeerNetwork,
        identity: Identity,
        clock: Clock,
    ) -> Self {
        Self { held: Arc::new(Mutex::new(Held { cas, shown })), network, identity, clock }
    }

    /// By which a joining node knows the cluster.
    pub(super) fn fingerprint(&self) -> Print {
        fingerprint(self.held().cas.current.certificate())
    }

    /// Carries out what another node asks for; what this one has then, or why not. Blocks for the disk.
    pub(super) fn answer(&self, payload: &[u8]) -> Vec<u8> {
        let step: Result<Step, String> = serde_json::from_slice(payload).map_err(|e| e.to_string());
        let done = step.and_then(|step| self.take(&step).map_err(|fault| fault.to_string()));
        if let Err(problem) = &done {
            tracing::error!(problem, "a step of replacing the cluster CA is not taken");
        }
        serde_json::to_vec(&done).expect("numbers and texts are JSON")
    }

    fn take(&self, step: &Step) -> Result<Has, Fault> {
        let now = self.clock.wall();
        let mut held = self.held();
        let cas = &mut held.cas;
        let has = has(cas);
        let out_of_turn = |why: &str| Err(pollux_cluster::Fault::Peers(why.into()).into());
        match step {
            Step::Look => return Ok(has),
            Step::Accept(pem, key) => match (has.next, has.before) {
                (None, None) => cas.accept(pem, key, now)?,
                // Asked again, or by two at once: whoever asks compares what this node has.
                _ => return Ok(has),
            },
            Step::Promote(new) if has.current == *new => return Ok(has),
            Step::Promote(new) if has.next == Some(*new) => cas.promote(now)?,
            Step::Promote(_) => return out_of_turn("the next CA is not here"),
            Step::Finish(new) if has.current == *new && has.next.is_none() => {
                cas.forget_before()?
            }
            Step::Finish(_) => return out_of_turn("the next CA does not issue here yet"),
        }
        self.issue(&mut held)?;
        let has = self::has(&held.cas);
        tracing::info!(
            accepted = held.cas.roots().len(),
            "the cluster CA is being replaced: a step is taken"
        );
        Ok(has)
    }

    /// From now on this node shows a new certificate, and accepts those of the CAs that it holds.
    fn issue(&self, held: &mut Held) -> Result<(), Fault> {
        let tls = tls(&held.cas, &self.identity, self.clock)?;
        self.network.set_tls(&tls)?;
        held.shown = tls.chain[0].clone();
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part for Authorities {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn look(&self, now: Time) -> Result<Looked, Fault> {
        let mut held = self.held();
        let found = held.cas.again(now)?;
        if found.is_none() && !is_old(&held.shown, now)? {
            return Ok(Looked::Same);
        }
        let before = found.map(|found| std::mem::replace(&mut held.cas, found));
        let issued = self.issue(&mut held);
        if let (Err(_), Some(before)) = (&issued, before) {
            held.cas = before;
        }
        issued.map(|()| Looked::Taken)
    }

    fn shown(&self) -> Vec<(What, CertificateDer<'static>)> {
        vec![(What::Node, self.held().shown.clone())]
    }
}

fn has(cas: &ClusterCas) -> Has {
    let print = |certificate: &CertificateDer<'static>| fingerprint(certificate);
    Has {
        current: print(cas.current.certificate()),
        next: cas.next.as_ref().map(print),
        before: cas.before.as_ref().map(print),
    }
}

impl Control {
    /// Lets a new CA issue the certificates of all nodes; the one before is accepted still. Goes on where
    /// an earlier call was cut short.
    pub(crate) async fn rotate_ca(&self) -> Result<(), ControlFault> {
        let all = self.ask_authorities(&Step::Look).await?;
        let begun = all.iter().find_map(|(_, has)| has.next);
        if begun.is_none() && all.iter().any(|(_, has)| has.before.is_some()) {
            let why = "a rotation is under way, and the CA before is accepted still: end it first with \
                       `pollux cluster ca rotate --finish`";
            return Err(ControlFault::Invalid(why.into()));
        }
        let (new, pem, key) = self.next_authority(begun)?;
        let accept = Step::Accept(pem, key);
        // Whoever joined meanwhile is asked as well: nobody may be without it when others show it.
        let accepted = self.ask_authorities(&accept).await?;
        let lacks = accepted.iter().find(|(_, has)| has.next != Some(new) && has.current != new);
        if let Some((node, _)) = lacks {
            return Err(ControlFault::Invalid(format!(
                "node {node} has begun to replace the CA by another one: ask that node instead"
            )));
        }
        self.ask_authorities(&Step::Promote(new)).await.map(drop)
    }

    /// Refuses the certificates of the CA before, once all nodes show those of the new one.
    pub(crate) async fn finish_ca(&self) -> Result<(), ControlFault> {
        let new = self.authorities.fingerprint();
        for (node, has) in self.ask_authorities(&Step::Look).await? {
            if has.current != new || has.next.is_some() {
                return Err(ControlFault::Invalid(format!(
                    "node {node} does not issue with the new CA yet: repeat `pollux cluster ca rotate`"
                )));
            }
        }
        self.ask_authorities(&Step::Finish(new)).await.map(drop)
    }

    /// The CA that issues next: the one of a rotation that was begun, or a new one.
    fn next_authority(
        &self,
        begun: Option<Print>,
    ) -> Result<(Print, String, String), ControlFault> {
        let failed = |error: PkiError| ControlFault::NoAnswer(error.to_string());
        let held = self.authorities.held();
        let cas = &held.cas;
        let has = has(cas);
        let (pem, key) = match begun {
            None => ClusterCas::make_next(self.clock.wall()).map_err(failed)?,
            Some(new) if has.next == Some(new) => cas.next_pem().map_err(failed)?,
            Some(new) if has.current == new => cas.current_pem().map_err(failed)?,
            Some(_) => {
                let why = "another node has begun to replace the CA: ask that node instead";
                return Err(ControlFault::Invalid(why.into()));
            }
        };
        let print = crate::pki::print_of(&pem).map_err(failed)?;
        Ok((print, pem, key))
    }

    /// Has every member take a step, this node first; all must answer.
    async fn ask_authorities(&self, step: &Step) -> Result<Vec<(u64, Has)>, ControlFault> {
        let meta = Arc::clone(&self.decider.picture().borrow().meta);
        let payload = bytes::Bytes::from(serde_json::to_vec(step).expect("texts are JSON"));
        let mut nodes: Vec<u64> = meta.members().map(|(id, _)| id).collect();
        nodes.sort_by_key(|id| *id != self.node.0);
        let mut all = Vec::new();
        for id in nodes {
            let patience = Duration::from_millis(AUTHORITY_MS_MAX);
            let asked =
                self.forward.ask(NodeId(id), Kind::Authority, payload.clone(), patience).await;
            let answer = asked.map_err(|fault| {
                ControlFault::NoAnswer(format!(
                    "node {id}: {fault}; all nodes have to take part: start it, or remove it for good, and \
                     repeat"
                ))
            })?;
            let told: Result<Has, String> = serde_json::from_slice(&answer)
                .map_err(|error| ControlFault::NoAnswer(format!("node {id}: {error}")))?;
            let has = told.map_err(|why| ControlFault::Invalid(format!("node {id}: {why}")))?;
            all.push((id, has));
        }
        Ok(all)
    }
}
