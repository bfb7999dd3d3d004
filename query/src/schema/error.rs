//! What is wrong with the schemas of a type, and where.

use std::fmt::Write;

use thiserror::Error;

/// Bytes of what is said: some of it repeats the schema.
const WRONG_BYTES_MAX: usize = 400;

/// A type that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {wrong}", if at.is_empty() { "the type" } else { at })]
pub struct SchemaError {
    /// Where in the type, as a JSON pointer.
    pub at: String,
    /// What is wrong there, and what would be right.
    pub wrong: String,
}

impl SchemaError {
    pub(super) fn of(at: impl Into<String>, wrong: impl ToString) -> Self {
        let mut wrong = lower(&wrong.to_string());
        if wrong.len() > WRONG_BYTES_MAX {
            let end = (0..=WRONG_BYTES_MAX).rev().find(|at| wrong.is_char_boundary(*at));
            wrong.truncate(end.unwrap_or(0));
        }
        Self { at: at.into(), wrong }
    }

    /// The same, seen from further out.
    pub(super) fn within(self, place: &[&str]) -> Self {
        let mut at = String::new();
        for name in place {
            write!(at, "/{}", escaped(name)).expect("writing to a string does not fail");
        }
        Self { at: at + &self.at, ..self }
    }
}

/// A name as a JSON pointer has it.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A sentence of the library, as ours begin.
pub(super) fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
