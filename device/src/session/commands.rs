//! The book of commands: which run, which are over and with what answer, so that none runs twice
//! and each can be asked about (safety rule 14). Running them is the driver's.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{COMMANDS_DONE_MAX, COMMANDS_RUNNING_MAX};
use crate::store::{CommandStore, Outcome, Recorded};

/// What to do with a command that was offered or asked about.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Run it.
    Run,
    /// It runs, or its answer is on the way: nothing to do.
    UnderWay,
    /// Answer this.
    Answer(Outcome),
    /// It is not known here.
    Unknown,
}

#[derive(Default)]
pub(crate) struct Commands {
    running: Vec<u64>,
    /// Over, but the answer is not acknowledged yet.
    answering: Vec<u64>,
    done: VecDeque<(u64, Outcome)>,
    store: Option<Arc<dyn CommandStore>>,
}

const INTERRUPTED: &str = "the device restarted while it ran the command";

impl Commands {
    pub(crate) fn new(store: Option<Arc<dyn CommandStore>>) -> Self {
        Self { store, ..Self::default() }
    }

    /// The owner says: do this once.
    pub(crate) fn offered(&mut self, id: u64) -> Verdict {
        let known = self.recall(id);
        if known != Verdict::Unknown {
            return known;
        }
        if self.running.len() >= COMMANDS_RUNNING_MAX {
            let reason = format!("the device runs {COMMANDS_RUNNING_MAX} commands already");
            return Verdict::Answer(Err(reason));
        }
        if let Some(store) = &self.store
            && let Err(error) = store.begin(id)
        {
            return Verdict::Answer(Err(format!("the device could not note the command: {error}")));
        }
        self.running.push(id);
        Verdict::Run
    }

    /// The owner asks: did you do this?
    pub(crate) fn recall(&self, id: u64) -> Verdict {
        if self.running.contains(&id) || self.answering.contains(&id) {
            return Verdict::UnderWay;
        }
        if let Some((_, outcome)) = self.done.iter().find(|(done, _)| *done == id) {
            return Verdict::Answer(outcome.clone());
        }
        match self.store.as_ref().and_then(|store| store.recall(id)) {
            Some(Recorded::Done(outcome)) => Verdict::Answer(outcome),
            Some(Recorded::Begun) => Verdict::Answer(Err(INTERRUPTED.to_owned())),
            None => Verdict::Unknown,
        }
    }

    /// The application is done with a command; false if it did not run.
    pub(crate) fn finished(&mut self, id: u64, outcome: &Outcome) -> bool {
        let Some(at) = self.running.iter().position(|running| *running == id) else {
            return false;
        };
        self.running.swap_remove(at);
        self.record(id, outcome);
        if let Some(store) = &self.store
            && let Err(error) = store.finish(id, outcome)
        {
            tracing::warn!(command = id, %error, "the outcome of a command is not kept");
        }
        true
    }

    /// An answer is in the queue.
    pub(crate) fn answering(&mut self, id: u64) {
        self.answering.push(id);
    }

    /// The answer is acknowledged.
    pub(crate) fn answered(&mut self, id: u64) {
        self.answering.retain(|answering| *answering != id);
    }

    fn record(&mut self, id: u64, outcome: &Outcome) {
        if self.done.len() >= COMMANDS_DONE_MAX {
            self.done.pop_front();
        }
        self.done.push_back((id, outcome.clone()));
    }
}
