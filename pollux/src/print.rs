//! All that this program writes for its reader. Results go to standard output, failures and
//! progress to standard error, so that a pipe gets results only.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::args::Output;
use crate::exit::{Exit, Failure};

/// Writes a result: `text` for people, or `json`.
pub(crate) fn result(output: Output, text: &str, json: &Value) -> Result<(), Failure> {
    match output {
        Output::Text => line(text),
        Output::Json => line(&json.to_string()),
    }
}

/// Writes a line of results.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(Exit::Failed, format!("write to standard output: {error}"))),
    }
}

/// Writes bytes of a result as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(bytes);
    written
        .map_err(|error| Failure::new(Exit::Failed, format!("write to standard output: {error}")))
}

/// Writes a note about progress; nobody must rely on it.
pub(crate) fn note(text: &str) {
    // A closed standard error must not end what runs.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a status that replaces the one before, on a terminal; a line elsewhere.
pub(crate) fn status(text: &str) {
    let mut out = io::stderr().lock();
    let _ = match out.is_terminal() {
        true => write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush()),
        false => writeln!(out, "{text}"),
    };
}

/// Ends a status line, so that what follows begins a new one.
pub(crate) fn status_end() {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        let _ = writeln!(out);
    }
}

/// Writes why the program ends.
pub(crate) fn failure(output: Output, failure: &Failure) {
    let text = match output {
        Output::Text => {
            let mut text = format!("error: {}", failure.message);
            if let Some(next) = &failure.next {
                text.push_str(&format!("\n next: {next}"));
            }
            text
        }
        Output::Json => json!({"error": {
            "code": failure.exit as u8,
            "reason": failure.reason,
            "message": failure.message,
            "next": failure.next,
        }})
        .to_string(),
    };
    note(&text);
}
