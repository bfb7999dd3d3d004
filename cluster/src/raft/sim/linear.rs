//! Whether the calls on one register could have happened one after another, each between its call and
//! its return (Wing and Gong 1993, with Lowe's memory of what was tried). Owns the search only.

use std::collections::HashSet;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Put a value that nobody else puts; and what was there before, if the answer came.
    Swap { new: u64, old: Option<u64> },
    /// Saw a value.
    Read { value: u64 },
}

/// A call with the moments of its begin and its end: any numbers that grow as time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) began: u64,
    /// None if it has no answer: it may have happened at any moment since, or never.
    pub(super) ended: Option<u64>,
    pub(super) did: Did,
}

impl Call {
    fn end(&self) -> u64 {
        self.ended.unwrap_or(u64::MAX)
    }

    /// The register after the call, if it was `before`.
    fn after(&self, before: u64) -> Option<u64> {
        match self.did {
            Did::Swap { new, old } => old.is_none_or(|old| old == before).then_some(new),
            Did::Read { value } => (value == before).then_some(value),
        }
    }

    fn sees(&self) -> Option<u64> {
        match self.did {
            Did::Swap { old, .. } => old,
            Did::Read { value } => Some(value),
        }
    }
}

/// Where the search stands: which calls have happened, and what the register holds.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    happened: Vec<u64>,
    /// All calls before this one have happened.
    first: usize,
    value: u64,
}

impl Place {
    fn has(&self, call: usize) -> bool {
        self.happened[call / 64] & (1 << (call % 64)) != 0
    }

    /// The calls that may be next, the one that ends first last.
    fn next(&self, calls: &[Call]) -> Vec<usize> {
        let mut end = u64::MAX;
        let mut open = Vec::new();
        for (at, call) in calls.iter().enumerate().skip(self.first) {
            if call.began > end {
                break;
            }
            if !self.has(at) {
                end = end.min(call.end());
                open.push(at);
            }
        }
        open.retain(|at| calls[*at].began <= end);
        open.sort_by_key(|at| std::cmp::Reverse(calls[*at].end()));
        open
    }

    fn step(&self, call: usize, value: u64, len: usize) -> Self {
        let mut next = Self { value, ..self.clone() };
        next.happened[call / 64] |= 1 << (call % 64);
        while next.first < len && next.has(next.first) {
            next.first += 1;
        }
        next
    }
}

/// Checks the calls on one register that holds 0 at first. If they contradict each other, says how many
/// could be put in order, and the calls that could not follow.
pub(super) fn check(calls: &[Call]) -> Result<(), String> {
    // A call without an answer and without anybody who saw it need not have happened.
    let seen: HashSet<u64> = calls.iter().filter_map(Call::sees).collect();
    let matters = |call: &&Call| match (call.ended, call.did) {
        (None, Did::Read { .. }) => false,
        (None, Did::Swap { new, .. }) => seen.contains(&new),
        (Some(_), _) => true,
    };
    let mut calls: Vec<Call> = calls.iter().filter(matters).copied().collect();
    calls.sort_by_key(|call| call.began);
    let words = calls.len().div_ceil(64);
    let answered = |place: &Place| {
        (place.first..calls.len()).all(|at| place.has(at) || calls[at].ended.is_none())
    };
    let mut tried = HashSet::new();
    let mut open = vec![Place { happened: vec![0; words], first: 0, value: 0 }];
    let mut best: Option<Place> = None;
    while let Some(place) = open.pop() {
        if answered(&place) {
            return Ok(());
        }
        let mut fit: Vec<(usize, u64)> = Vec::new();
        for at in place.next(&calls) {
            if let Some(value) = calls[at].after(place.value) {
                // A read that fits changes nothing: had it come later, it could as well come now.
                if value == place.value {
                    fit.clear();
                    fit.push((at, value));
                    break;
                }
                fit.push((at, value));
            }
        }
        for (at, value) in fit {
            let next = place.step(at, value, calls.len());
            if tried.insert(next.clone()) {
                open.push(next);
            }
        }
        if best.as_ref().is_none_or(|best| place.first >= best.first) {
            best = Some(place);
        }
    }
    let stuck = best.map_or_else(String::new, |best| {
        let next: Vec<&Call> = best.next(&calls).into_iter().map(|at| &calls[at]).collect();
        format!("{} of {} fit, then {} with {next:?}", best.first, calls.len(), best.value)
    });
    Err(stuck)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(began: u64, ended: u64, new: u64, old: u64) -> Call {
        Call { began, ended: Some(ended), did: Did::Swap { new, old: Some(old) } }
    }

    fn read(began: u64, ended: u64, value: u64) -> Call {
        Call { began, ended: Some(ended), did: Did::Read { value } }
    }

    fn maybe(began: u64, new: u64) -> Call {
        Call { began, ended: None, did: Did::Swap { new, old: None } }
    }

    #[test]
    fn what_fits_passes() {
        for history in [
            vec![],
            vec![swap(0, 1, 7, 0), read(2, 3, 7)],
            vec![swap(0, 9, 7, 0), read(1, 2, 0), read(3, 4, 7), read(5, 6, 7)],
            vec![swap(0, 9, 7, 8), swap(1, 8, 8, 0), read(10, 11, 7)],
            vec![maybe(0, 7), read(1, 2, 0), swap(3, 4, 8, 7)],
            vec![maybe(0, 7), read(1, 2, 0), swap(3, 4, 8, 0), read(5, 6, 7)],
        ] {
            check(&history).unwrap();
        }
        let long: Vec<Call> = (0..500).map(|n| swap(2 * n, 2 * n + 7, n + 1, n)).collect();
        check(&long).unwrap();
    }

    #[test]
    fn what_contradicts_itself_is_found() {
        for history in [
            vec![read(0, 1, 7)],
            vec![swap(0, 1, 7, 0), read(2, 3, 0)],
            vec![swap(0, 9, 7, 0), read(1, 2, 7), read(3, 4, 0)],
            vec![swap(0, 1, 7, 0), swap(2, 3, 8, 0)],
            vec![maybe(5, 7), read(1, 2, 7)],
            vec![maybe(0, 7), read(1, 2, 7), read(3, 4, 0)],
            vec![swap(0, 1, 7, 0), swap(0, 1, 8, 0)],
        ] {
            check(&history).unwrap_err();
        }
    }
}
