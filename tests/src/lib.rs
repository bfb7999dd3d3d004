//! What the tests share: the checks of tidy, the seeded world over the pure machines, and nodes as
//! real processes.

pub mod tidy;
pub mod world;
