//! Changes of access, and the audit of what those who run the cluster have done: who asked is written down with
//! what was asked, by the meta group, before it is done.

use std::future::Future;
use std::sync::Arc;

use pollux_cluster::Uuid;
use pollux_cluster::access::{Change, Order};
use pollux_cluster::fleet;
use pollux_cluster::meta::{CONTROL_LEVEL, Command, Meta, MetaPicture};
use tokio::sync::watch;

use super::control::{Control, ControlFault};
use crate::access::Caller;
use crate::limits::ACCESS_SEEN;

impl Control {
    /// What the cluster agrees on, as this node knows it.
    pub(crate) fn meta(&self) -> Arc<Meta> {
        Arc::clone(&self.decider.picture().borrow().meta)
    }

    /// The same, as it changes.
    pub(crate) fn picture(&self) -> watch::Receiver<MetaPicture> {
        self.decider.picture()
    }

    /// Has the meta group change who may do what, and waits until that is so here.
    pub(crate) async fn change_access(
        &self,
        caller: &Caller,
        change: Change,
    ) -> Result<(), ControlFault> {
        let id = name()?;
        let result = self.order(caller, id, change).await;
        if result.is_ok() {
            let mut picture = self.decider.picture();
            let told =
                picture.wait_for(|now| now.meta.access.audit.iter().any(|entry| entry.id == id));
            // It is decided; a node that is behind sees it later.
            let _ = tokio::time::timeout(ACCESS_SEEN, told).await;
        }
        result
    }

    /// Does something that the audit shall show: that it is begun before it is, and what came of it after.
    pub(crate) async fn audited<T>(
        &self,
        caller: &Caller,
        what: &str,
        on: String,
        done: impl Future<Output = Result<T, ControlFault>>,
    ) -> Result<T, ControlFault> {
        // Older programs keep no audit.
        let kept = self.meta().level >= CONTROL_LEVEL;
        let id = name()?;
        if kept {
            let begin = Change::Begin { what: what.to_owned(), on: on.clone() };
            self.order(caller, id, begin).await?;
        }
        let outcome = done.await;
        let result = outcome.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
        tracing::info!(
            target: "pollux::audit",
            who = &*caller.name, via = %caller.proof, from = from(caller), what, on, result,
            "audited"
        );
        if kept && let Err(fault) = self.order(caller, id, Change::End { result }).await {
            // It stays as begun, which says that nobody knows.
            tracing::warn!(%fault, what, "the audit does not say how it ended");
        }
        outcome
    }

    /// Has the meta group count a device that comes by an enrolment; refused for the one that is too many.
    pub(crate) async fn count_enrolled(
        &self,
        tenant: &str,
        name: &str,
        id: u128,
    ) -> Result<(), ControlFault> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        let count = fleet::Change::CountEnrolled { tenant, name, id };
        self.decide(Command::Fleet(Box::new(count))).await
    }

    /// Has it written down that a job is about to be made with an artifact; refused where that is not there, or has other
    /// content.
    pub(crate) async fn name_artifact(
        &self,
        tenant: &str,
        (name, version): (&str, &str),
        sha256: [u8; 32],
        (job, run): (&str, u64),
    ) -> Result<(), ControlFault> {
        let naming = fleet::Naming { job: job.to_owned(), run, at_ms: self.clock.wall().ms };
        let (tenant, name, version) = (tenant.to_owned(), name.to_owned(), version.to_owned());
        let change = fleet::Change::NameArtifact { tenant, name, version, sha256, naming };
        self.decide(Command::Fleet(Box::new(change))).await
    }

    async fn order(&self, caller: &Caller, id: u128, change: Change) -> Result<(), ControlFault> {
        let order = Order {
            id,
            at_ms: self.clock.wall().ms,
            node: self.node.0,
            who: caller.name.to_string(),
            via: caller.proof.to_string(),
            from: from(caller),
            change,
        };
        self.decide(Command::Access(Box::new(order))).await
    }
}

fn from(caller: &Caller) -> String {
    caller.from.map(|from| from.to_string()).unwrap_or_default()
}

fn name() -> Result<u128, ControlFault> {
    Uuid::random().map(|id| id.0).map_err(|fault| ControlFault::NoAnswer(fault.to_string()))
}
