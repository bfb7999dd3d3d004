//! House rules that no compiler checks, as functions from files to complaints. `tests/tidy.rs` runs
//! them over the repository and, so that they cannot go blind, over inputs that must fail.

mod arrows;
mod reach;
mod text;

pub use arrows::{arrows, reasons, unused};
pub use reach::dead_files;
pub use text::{headers, lengths, markdown, no_std, paths, words};

/// One tracked text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root, with slashes.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    /// A file, as tests make them up.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }
}

/// What one rule has to complain about.
type Rule = fn(&[File]) -> Vec<String>;

/// Every rule over all files; empty if all is well.
pub fn complaints(files: &[File]) -> Vec<String> {
    let rules: [Rule; 10] =
        [arrows, reasons, unused, dead_files, headers, lengths, markdown, no_std, paths, words];
    rules.iter().flat_map(|rule| rule(files)).collect()
}
