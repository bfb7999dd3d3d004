//! Proof: what the tests in `tests/` share. Nothing here is part of the product.

pub mod tidy;
