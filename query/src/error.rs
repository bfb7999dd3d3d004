//! What is wrong with an expression or a query.

use thiserror::Error;

/// An expression that cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A query that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// One of its expressions is wrong.
    #[error("{part}: {error}")]
    Expression {
        /// Which: `filter`, `select`, `order_by` or `group_by`.
        part: &'static str,
        /// What is wrong with it.
        error: ExpressionError,
    },
    /// A part that does not fit the others, or is too much.
    #[error("{0}")]
    Unfit(String),
    /// It takes too long on one of the twins.
    #[error("{0}")]
    TooCostly(TooCostly),
    /// What it finds is too much for one answer.
    #[error("{0}")]
    TooMuch(String),
}

/// An evaluation that took more steps than one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the expression takes more than {} steps on a twin; use fewer or shorter loops",
    crate::limits::STEPS_MAX
)]
pub struct TooCostly;

impl From<TooCostly> for QueryError {
    fn from(fault: TooCostly) -> Self {
        Self::TooCostly(fault)
    }
}
