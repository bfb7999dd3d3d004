//! The search for an order of calls that explains all answers, after Wing and Gong with the memory of Lowe:
//! a set of calls done and the state they led to are never tried twice. Bounded; a search that is not over
//! by then is a failure, not a pass. Knows nothing of twins.

use std::collections::HashSet;
use std::hash::Hash;

/// Places tried at most: hundreds of times what a good history takes, some seconds.
const PLACES_MAX: usize = 4_000_000;
/// Calls shown around the place where no order is left.
const NEAR: usize = 12;

/// One call.
pub(super) struct Op<W> {
    /// When it began; ops are in this order.
    pub(super) begun: u64,
    /// When it was answered; one that was not may be left out of the order.
    pub(super) ended: Option<u64>,
    /// The op that comes before it, if both have an effect.
    pub(super) after: Option<usize>,
    /// What it is.
    pub(super) what: W,
}

/// No order explains the answers.
pub(super) struct Stuck {
    /// Why.
    pub(super) why: String,
    /// The ops around the place up to which an order was found.
    pub(super) near: Vec<usize>,
}

/// A set of ops done, and the state they led to.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place<S> {
    /// All answered ops before this one are done.
    front: usize,
    /// Answered ops done beyond it, in order.
    beyond: Vec<usize>,
    /// Unanswered ops done, in order.
    extra: Vec<usize>,
    state: S,
}

/// Looks for an order in which every op can be applied.
pub(super) fn search<W, S: Clone + Eq + Hash>(
    ops: &[Op<W>],
    state: S,
    apply: impl Fn(&S, &W) -> Option<S>,
) -> Result<(), Stuck> {
    let start = Place { front: 0, beyond: Vec::new(), extra: Vec::new(), state };
    let mut stack = vec![start.advanced(ops)];
    let mut tried = HashSet::new();
    let mut furthest = 0;
    while let Some(place) = stack.pop() {
        if place.front == ops.len() {
            return Ok(());
        }
        furthest = furthest.max(place.front);
        if !tried.insert(place.clone()) {
            continue;
        }
        if tried.len() > PLACES_MAX {
            return Err(stuck(format!("no order was found in {PLACES_MAX} places"), furthest, ops));
        }
        let mut next = place.candidates(ops);
        // What was answered first is tried first: it is pushed last.
        next.sort_by_key(|at| std::cmp::Reverse(ops[*at].ended.unwrap_or(u64::MAX)));
        for at in next {
            if let Some(state) = apply(&place.state, &ops[at].what) {
                stack.push(place.with(at, state, ops));
            }
        }
    }
    Err(stuck(format!("no order explains the answers after {} calls", furthest), furthest, ops))
}

fn stuck<W>(why: String, furthest: usize, ops: &[Op<W>]) -> Stuck {
    let from = furthest.saturating_sub(NEAR / 2);
    Stuck { why, near: (from..ops.len().min(from + NEAR)).collect() }
}

impl<S: Clone> Place<S> {
    /// Ops that may come next: those that began before every op not yet done was answered.
    fn candidates<W>(&self, ops: &[Op<W>]) -> Vec<usize> {
        let mut first_end = u64::MAX;
        let mut found = Vec::new();
        for (at, op) in ops.iter().enumerate().skip(self.front) {
            if op.begun > first_end {
                break;
            }
            if let Some(ended) = op.ended
                && self.beyond.binary_search(&at).is_err()
            {
                first_end = first_end.min(ended);
                found.push(at);
            }
        }
        for (at, op) in ops.iter().enumerate() {
            if op.begun > first_end {
                break;
            }
            let free = op.ended.is_none() && !self.extra.contains(&at);
            if free && op.after.is_none_or(|before| self.extra.contains(&before)) {
                found.push(at);
            }
        }
        found.retain(|at| ops[*at].begun <= first_end);
        found
    }

    fn with<W>(&self, at: usize, state: S, ops: &[Op<W>]) -> Self {
        let mut place = Self { state, ..self.clone() };
        let list = if ops[at].ended.is_some() { &mut place.beyond } else { &mut place.extra };
        let index = list.partition_point(|other| *other < at);
        list.insert(index, at);
        place.advanced(ops)
    }

    /// Moves the front over all that is done or need not be.
    fn advanced<W>(mut self, ops: &[Op<W>]) -> Self {
        while let Some(op) = ops.get(self.front) {
            if op.ended.is_some() {
                let Ok(index) = self.beyond.binary_search(&self.front) else { break };
                self.beyond.remove(index);
            }
            self.front += 1;
        }
        self
    }
}
