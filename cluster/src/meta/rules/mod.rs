//! What each kind of command does to the state, a file for each. Owns the order of checks: everything that can
//! be refused is refused before anything is changed.

mod access;
mod admit;
mod found;
mod leave;
mod place;
mod settings;
mod start;

use super::answer::Answer;

/// What came of a command that was not refused.
pub(super) enum Outcome {
    /// The state is another one now.
    Changed(Answer),
    /// It was so before.
    Same(Answer),
}

impl Outcome {
    /// Done, with a change of the state or without.
    fn done(changed: Change) -> Self {
        match changed {
            Change::Yes => Self::Changed(Answer::Done),
            Change::No => Self::Same(Answer::Done),
        }
    }
}

/// Whether the state is another one now.
enum Change {
    Yes,
    No,
}

impl Change {
    /// Puts a value where another one may be.
    fn set<T: PartialEq>(slot: &mut T, value: T) -> Self {
        if *slot == value {
            return Self::No;
        }
        *slot = value;
        Self::Yes
    }
}
