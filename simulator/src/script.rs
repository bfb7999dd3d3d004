//! The script of faults of a run: what is done to which node, and when. Owns the words and what is wrong with
//! them; leaves the doing to whoever has the nodes.
//!
//! ```text
//! # one step a line, or several with ; between them
//! 5s   kill owner 3s        kill -9, started again three seconds later
//! 12s  stop 2 1500ms        stands still (SIGSTOP), then goes on
//! 20s  partition 1 5s       its connections with the other nodes are cut; devices reach it
//! 30s  slow 3 200ms 5s      each sync of its log takes so much longer
//! 40s  restart any          stopped in order and started again
//! 50s  heal                 all of that is over at once
//! ```

use std::fmt;
use std::time::Duration;

use crate::limits::{SCRIPT_STEPS_MAX, SCRIPT_TIME_MAX};

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultStep {
    /// When, since the measurement began.
    pub at: Duration,
    /// What.
    pub fault: NodeFault,
}

/// Which node something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one with this id.
    Node(u64),
    /// The one that owns most shards then.
    Owner,
    /// One by chance, as the seed decides.
    Any,
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// It ends as in a power cut, and is started again after a time, or with `start` or `heal`.
    Kill(Target, Option<Duration>),
    /// It stands still for so long.
    Stop(Target, Duration),
    /// Its connections with the other nodes are cut, for so long or until `heal`.
    Partition(Target, Option<Duration>),
    /// Each sync of its log takes so much longer, for so long or until `heal`.
    Slow(Target, Duration, Option<Duration>),
    /// It is stopped in order and started again.
    Restart(Target),
    /// One that was killed is started.
    Start(Target),
    /// Everything is over at once: who was killed is started, who stands still goes on.
    Heal,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// The step as it is written.
    pub step: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: {}", self.line, self.step, self.what)
    }
}

impl std::error::Error for ScriptError {}

/// What each verb takes.
const VERBS: &[(&str, &str)] = &[
    ("kill", "kill TARGET [TIME]"),
    ("stop", "stop TARGET TIME"),
    ("partition", "partition TARGET [TIME]"),
    ("slow", "slow TARGET DELAY [TIME]"),
    ("restart", "restart TARGET"),
    ("start", "start TARGET"),
    ("heal", "heal"),
];

impl FaultStep {
    /// Reads a script for a cluster of so many nodes; its steps come in the order of their times.
    ///
    /// # Errors
    /// The first step that is wrong: its line, and what would be right.
    pub fn parse(text: &str, nodes: u64) -> Result<Vec<Self>, ScriptError> {
        let mut steps = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            for step in line.split(';').map(str::trim).filter(|step| !step.is_empty()) {
                let wrong = |what| ScriptError { line: number, step: step.to_owned(), what };
                if steps.len() >= SCRIPT_STEPS_MAX {
                    return Err(wrong(format!("more than {SCRIPT_STEPS_MAX} steps")));
                }
                steps.push(step_of(step, nodes).map_err(wrong)?);
            }
        }
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }
}

fn step_of(step: &str, nodes: u64) -> Result<FaultStep, String> {
    let words: Vec<_> = step.split_whitespace().collect();
    let (at, verb, rest) = match words[..] {
        [at, verb, ref rest @ ..] => (time(at)?, verb, rest),
        _ => return Err("a step is TIME VERB …, such as 5s kill owner".to_owned()),
    };
    let Some((_, usage)) = VERBS.iter().find(|(name, _)| *name == verb) else {
        let known: Vec<_> = VERBS.iter().map(|(name, _)| *name).collect();
        return Err(format!("{verb:?} is no verb; there are {}", known.join(", ")));
    };
    let node = |word| target(word, nodes);
    let fault = match (verb, rest) {
        ("kill", [on]) => NodeFault::Kill(node(on)?, None),
        ("kill", [on, long]) => NodeFault::Kill(node(on)?, Some(time(long)?)),
        ("stop", [on, long]) => NodeFault::Stop(node(on)?, time(long)?),
        ("partition", [on]) => NodeFault::Partition(node(on)?, None),
        ("partition", [on, long]) => NodeFault::Partition(node(on)?, Some(time(long)?)),
        ("slow", [on, delay]) => NodeFault::Slow(node(on)?, time(delay)?, None),
        ("slow", [on, delay, long]) => NodeFault::Slow(node(on)?, time(delay)?, Some(time(long)?)),
        ("restart", [on]) => NodeFault::Restart(node(on)?),
        ("start", [on]) => NodeFault::Start(node(on)?),
        ("heal", []) => NodeFault::Heal,
        _ => return Err(format!("it takes: {usage}")),
    };
    Ok(FaultStep { at, fault })
}

fn target(word: &str, nodes: u64) -> Result<Target, String> {
    match word {
        "owner" => Ok(Target::Owner),
        "any" => Ok(Target::Any),
        id => match id.parse() {
            Ok(id) if (1..=nodes).contains(&id) => Ok(Target::Node(id)),
            _ => Err(format!("{id:?} is no node; it takes 1 to {nodes}, owner or any")),
        },
    }
}

/// Reads `500ms`, `5s` or `2m`.
fn time(word: &str) -> Result<Duration, String> {
    let wanted = || format!("{word:?} is no time; write 500ms, 5s or 2m");
    let end = word.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let number: u64 = word[..end].parse().map_err(|_| wanted())?;
    let ms = match &word[end..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    let time = ms.map(Duration::from_millis).ok_or_else(wanted)?;
    match time <= SCRIPT_TIME_MAX {
        true => Ok(time),
        false => Err(format!("{word:?} is too long; it takes at most {SCRIPT_TIME_MAX:?}")),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Owner => f.write_str("the owner of most shards"),
            Self::Any => f.write_str("any node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn check(text: &str, expected: &[(u64, NodeFault)]) {
        let steps = FaultStep::parse(text, 3).unwrap();
        let steps: Vec<_> = steps.into_iter().map(|step| (step.at, step.fault)).collect();
        let expected: Vec<_> = expected.iter().map(|(at, fault)| (ms(*at), *fault)).collect();
        assert_eq!(steps, expected, "{text}");
    }

    #[test]
    fn every_verb_is_read() {
        use NodeFault::*;
        use Target::*;
        check("", &[]);
        check("# nothing\n\n ; ;", &[]);
        check("10s kill owner", &[(10_000, Kill(Owner, None))]);
        check("10s kill 2 3s", &[(10_000, Kill(Node(2), Some(ms(3_000))))]);
        check("1s stop any 1500ms", &[(1_000, Stop(Any, ms(1_500)))]);
        check("1s partition 1", &[(1_000, Partition(Node(1), None))]);
        check("1s partition 1 2m", &[(1_000, Partition(Node(1), Some(ms(120_000))))]);
        check("1s slow 3 200ms", &[(1_000, Slow(Node(3), ms(200), None))]);
        check("1s slow 3 200ms 5s", &[(1_000, Slow(Node(3), ms(200), Some(ms(5_000))))]);
        check("0s restart 1; 1s start 1", &[(0, Restart(Node(1))), (1_000, Start(Node(1)))]);
        check("5s heal # at last", &[(5_000, Heal)]);
    }

    #[test]
    fn steps_come_in_the_order_of_their_times() {
        let (later, sooner) = (NodeFault::Heal, NodeFault::Kill(Target::Owner, None));
        check("9s heal\n5s kill owner", &[(5_000, sooner), (9_000, later)]);
    }

    fn wrong(text: &str, line: usize, words: &[&str]) {
        let error = FaultStep::parse(text, 3).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word:?} in {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        wrong("5s kill owner\n6s burn 1", 2, &["burn", "kill, stop, partition"]);
        wrong("5 kill owner", 1, &["\"5\"", "500ms, 5s or 2m"]);
        wrong("5s", 1, &["TIME VERB"]);
        wrong("5s kill 4", 1, &["\"4\"", "1 to 3, owner or any"]);
        wrong("5s kill", 1, &["kill TARGET [TIME]"]);
        wrong("\n5s stop 1", 2, &["stop TARGET TIME"]);
        wrong("5s heal 1", 1, &["it takes: heal"]);
        wrong("5s slow 1 fast", 1, &["\"fast\""]);
        wrong("99999999999999999999s heal", 1, &["no time"]);
        wrong("9999m heal", 1, &["too long"]);
        wrong(&"1s heal;".repeat(SCRIPT_STEPS_MAX + 1), 1, &["more than"]);
    }
}
