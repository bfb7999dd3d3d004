//! Writes a history down while it happens. Owns its clock and its lock, nothing of what is written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_runtime::clock::Clock;

use super::{Answer, At, Call, Event, History, Repeat, Shown, What};

/// Cheap to clone; all clones write the same history.
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: Clock,
    history: Arc<Mutex<History>>,
}

/// A call that has begun. Dropped without an answer, it stays one that nobody knows about.
#[derive(Debug)]
#[must_use = "a call that is not answered counts as one that may have had its effect"]
pub struct Open {
    recorder: Recorder,
    place: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { clock: Clock::new(), history: Arc::default() }
    }
}

impl Recorder {
    /// A call begins now.
    pub fn begin(&self, twin: &str, what: What) -> Open {
        let mut history = self.lock();
        // Read under the lock, so that calls are in the order in which they began.
        let begun = self.now();
        let place = history.calls.len();
        history.calls.push(Call { twin: twin.to_owned(), what, begun, ended: None });
        Open { recorder: self.clone(), place }
    }

    /// Something happened at a device.
    pub fn event(&self, twin: &str, event: Event) {
        self.lock().events.entry(twin.to_owned()).or_default().push(event);
    }

    /// A write was sent once more.
    pub fn repeat(&self, repeat: Repeat) {
        self.lock().repeats.push(repeat);
    }

    /// A twin at the end.
    pub fn last(&self, twin: &str, shown: Shown) {
        self.lock().last.insert(twin.to_owned(), shown);
    }

    /// How many calls were answered so far.
    pub fn answered(&self) -> usize {
        self.lock().calls.iter().filter(|call| call.ended.is_some()).count()
    }

    /// Whether a call that begins from now on and is like `what` has been answered.
    pub fn answered_since(&self, begun: At, what: fn(&Call) -> bool) -> bool {
        let history = self.lock();
        let since = history.calls.partition_point(|call| call.begun < begun);
        history.calls[since..].iter().any(|call| call.ended.is_some() && what(call))
    }

    /// The time of the history.
    pub fn now(&self) -> At {
        self.clock.elapsed_us()
    }

    /// What was written so far.
    pub fn history(&self) -> History {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The call was answered now.
    pub fn end(self, answer: Answer) {
        let now = self.recorder.now();
        self.recorder.lock().calls[self.place].ended = Some((now, answer));
    }
}
