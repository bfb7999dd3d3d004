//! Carries a shard's entries to its group's log in the order the machine gave them, and the answers
//! back. One task a shard, on its arbiter's thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use pollux_cluster::{Epoch as LeaderEpoch, Group, Proposal};
use pollux_twin::Entry as LogEntry;
use pollux_twin::shard::ProposalId;
use pollux_twin::table::Outcome;

use super::core::{BarrierResult, Core, ToLog};

/// An answer that came.
enum Answer {
    Entry { id: ProposalId, weight: Weight, outcome: Option<Outcome> },
    Barrier { id: u64, result: BarrierResult },
}

/// What the metrics want to know of an entry.
struct Weight {
    changes: u64,
    began: Duration,
}

impl Weight {
    fn of(core: &Core, entry: &LogEntry) -> Self {
        let changes = match entry {
            LogEntry::Open { .. } => 0,
            LogEntry::Batch { changes, .. } => changes.len() as u64,
        };
        Self { changes, began: core.clock().elapsed() }
    }

    fn count(&self, core: &Core) {
        let metrics = core.metrics();
        metrics.batches_total.inc();
        metrics.changes_total.inc_by(self.changes);
        metrics.commit_seconds.observe(core.clock().elapsed().saturating_sub(self.began));
    }
}

/// Runs as long as the shard's actor.
pub(super) async fn run(core: Rc<RefCell<Core>>, group: Group) {
    let wake = Rc::clone(&core.borrow().wake);
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => take(&core, answer),
            () = wake.notified() => {}
        }
        loop {
            let Some(to_log) = core.borrow_mut().take_to_log() else { break };
            let epoch = core.borrow().epoch();
            let epoch = LeaderEpoch { term: epoch.term, leader: epoch.leader };
            match to_log {
                ToLog::Entry { id, entry } => {
                    let weight = Weight::of(&core.borrow(), &entry);
                    let bytes = entry.encode();
                    core.borrow().metrics().batch_bytes.observe_bytes(bytes.len());
                    match group.propose(epoch, bytes.into()).await {
                        Ok(proposal) => {
                            core.borrow_mut().handed(id);
                            answers.push(Either::Left(applied(id, weight, proposal)));
                        }
                        Err(error) => {
                            tracing::warn!(%error, group = %group.id(), "proposal refused");
                            core.borrow_mut().proposed(id, None);
                        }
                    }
                }
                ToLog::Barrier { id } => {
                    let barrier = barrier(id, group.clone(), epoch);
                    answers.push(Either::Right(barrier));
                }
            }
        }
    }
}

async fn applied(id: ProposalId, weight: Weight, proposal: Proposal) -> Answer {
    let outcome = match proposal.applied().await {
        Ok(applied) => Outcome::from_bytes(&applied.answer),
        Err(error) => {
            tracing::debug!(%error, "nobody knows what became of a proposal");
            None
        }
    };
    Answer::Entry { id, weight, outcome }
}

async fn barrier(id: u64, group: Group, epoch: LeaderEpoch) -> Answer {
    let result = match group.read_barrier(epoch).await {
        Ok(_) => BarrierResult::Passed,
        Err(error) => {
            tracing::debug!(%error, "read barrier failed; it is tried again");
            BarrierResult::Failed
        }
    };
    Answer::Barrier { id, result }
}

fn take(core: &Rc<RefCell<Core>>, answer: Answer) {
    match answer {
        Answer::Entry { id, weight, outcome } => {
            if outcome.is_some() {
                weight.count(&core.borrow());
            }
            core.borrow_mut().proposed(id, outcome);
        }
        Answer::Barrier { id, result } => core.borrow_mut().barrier(id, result),
    }
}
