//! The filter language: what expressions say of twins, and what is refused.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod costs;
mod errors;
mod plans;
mod queries;
mod values;
