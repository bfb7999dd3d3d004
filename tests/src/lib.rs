//! Proof: what the tests in `tests/` share. Nothing here is part of the product.

pub mod clients;
pub mod history;
pub mod node;
pub mod tidy;
pub mod world;
