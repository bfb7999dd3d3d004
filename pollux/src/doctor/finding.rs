//! What was looked at, and how it is.

use serde_json::{Value, json};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// It works, and something better can be done.
    Note,
    /// It does not work, or will not for long.
    Wrong,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    what: &'static str,
    pub(super) verdict: Verdict,
    text: String,
    next: Option<String>,
}

impl Finding {
    pub(super) fn good(what: &'static str, text: impl ToString) -> Self {
        Self { what, verdict: Verdict::Good, text: text.to_string(), next: None }
    }

    pub(super) fn note(what: &'static str, text: impl ToString, next: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Note, text: text.to_string(), next: Some(next.into()) }
    }

    pub(super) fn wrong(what: &'static str, text: impl ToString, next: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Wrong, text: text.to_string(), next: Some(next.into()) }
    }

    /// For people: a line, and one more with the next step.
    pub(super) fn line(&self) -> String {
        let Self { what, verdict, text, next } = self;
        let line = format!("{:<5}  {what:<13}  {text}", verdict.name());
        match next.as_deref().filter(|next| !next.is_empty()) {
            Some(next) => format!("{line}\n{:<5}  {:<13}  next: {next}", "", ""),
            None => line,
        }
    }

    /// For scripts.
    pub(super) fn document(&self) -> Value {
        let Self { what, verdict, text, next } = self;
        json!({"what": what, "verdict": verdict.name(), "text": text, "next": next})
    }
}
