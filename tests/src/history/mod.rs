//! The history of a run with real processes: every call of a device or a service with the times at which
//! it began and was answered, by the clock of the one process that made them all; and the rules that any
//! history must keep, checked after the run. Pure: who calls and how is left to `clients`.
//!
//! What is never answered may have had its effect at any time after it began, or never.

mod backwards;
mod doubled;
mod linear;
mod lost;
mod one_owner;
mod recorder;
mod search;

use std::collections::BTreeMap;
use std::fmt;

pub use recorder::{Open, Recorder};

/// Microseconds since the recorder began.
pub type At = u64;

/// A section of a twin as a history knows it: what it holds is one number, 0 while it was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// What it holds.
    pub value: u64,
    /// Its version.
    pub version: u64,
}

/// A twin as a read shows it; one that does not exist shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The number of the report that was applied last.
    pub reported: Section,
    /// The value of the write that was applied last.
    pub desired: Section,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The device's report with this number: it counts 1, 2, 3, and waits for no answer twice.
    Report(u64),
    /// A service writes a value that nobody else writes.
    Write {
        /// The value.
        value: u64,
        /// The version that it expects.
        expected: Option<u64>,
    },
    /// A service reads the twin through its owner.
    Read,
    /// A service has the device execute something, which nobody else has.
    Command(u64),
}

/// How it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took effect, and made this version of its section.
    Done(u64),
    /// The section had this version, not the expected one; nothing changed.
    Mismatch(u64),
    /// The twin as it is.
    Shown(Shown),
    /// It had and will have no effect.
    Refused,
    /// The device has executed the command.
    Executed,
}

/// One call. A call that was made again under the same idempotency key is one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose twin.
    pub twin: String,
    /// What was asked.
    pub what: What,
    /// When it was asked first.
    pub begun: At,
    /// When it was answered, and how; none if nobody knows.
    pub ended: Option<(At, Answer)>,
}

/// What happened at a device, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was given a session with this epoch.
    Session(u64),
    /// It was told what is desired.
    Desired(Section),
    /// It executed this command.
    Executed(u64),
}

/// An answered write was sent once more under its key.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// Whose twin.
    pub twin: String,
    /// The value of the write.
    pub value: u64,
    /// How it was answered at first.
    pub first: Answer,
    /// How it was answered then.
    pub again: Answer,
}

/// All that happened in a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Calls, in the order in which they began.
    pub calls: Vec<Call>,
    /// What happened at each device.
    pub events: BTreeMap<String, Vec<Event>>,
    /// Writes that were sent once more.
    pub repeats: Vec<Repeat>,
    /// Each twin at the end, read when all was quiet.
    pub last: BTreeMap<String, Shown>,
}

/// What a history came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Calls that were answered.
    pub answered: usize,
    /// Calls whose effect nobody knows.
    pub unanswered: usize,
    /// Acknowledged reports among them.
    pub reports: usize,
    /// Writes of services among them.
    pub writes: usize,
    /// Reads among them.
    pub reads: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, unanswered, reports, writes, reads } = self;
        write!(
            f,
            "{answered} calls answered ({reports} reports, {writes} writes, {reads} reads), \
             {unanswered} never; lost 0, doubled 0, not linearizable 0"
        )
    }
}

/// What a rule has to say against a history.
pub type Verdict = Result<(), String>;

/// What holds a history against one rule.
type Rule = fn(&History) -> Verdict;

const RULES: [(&str, Rule); 5] = [
    ("lost", lost::check),
    ("doubled", doubled::check),
    ("backwards", backwards::check),
    ("one owner", one_owner::check),
    ("linear", linear::check),
];

impl History {
    /// Holds the history against every rule; the first word of a failure names the rule.
    pub fn check(&self) -> Result<Summary, String> {
        for (name, rule) in RULES {
            rule(self).map_err(|why| format!("{name}: {why}"))?;
        }
        let count = |of: fn(What) -> bool| {
            let answered = |call: &&Call| call.ended.is_some() && of(call.what);
            self.calls.iter().filter(answered).count()
        };
        let answered = count(|_| true);
        Ok(Summary {
            answered,
            unanswered: self.calls.iter().filter(|call| call.may_have_had_effect()).count(),
            reports: count(|what| matches!(what, What::Report(_))),
            writes: count(|what| matches!(what, What::Write { .. })),
            reads: count(|what| what == What::Read),
        })
    }

    /// The calls of each twin.
    fn by_twin(&self) -> BTreeMap<&str, Vec<&Call>> {
        let mut twins: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in &self.calls {
            twins.entry(&call.twin).or_default().push(call);
        }
        twins
    }
}

impl Call {
    /// The version that it made, if it is known to have made one.
    pub fn made(&self) -> Option<u64> {
        match (self.what, self.ended) {
            (What::Report(_) | What::Write { .. }, Some((_, Answer::Done(version)))) => {
                Some(version)
            }
            _ => None,
        }
    }

    /// Whether a service wrote.
    pub fn is_write(&self) -> bool {
        matches!(self.what, What::Write { .. })
    }

    /// Whether nobody knows of its effect; a read has none.
    fn may_have_had_effect(&self) -> bool {
        self.ended.is_none() && self.what != What::Read
    }

    /// Whether it may have changed its twin.
    fn may_have_changed(&self) -> bool {
        self.made().is_some() || self.ended.is_none()
    }
}
