//! Everything about frames, datagrams and statuses that wants one of every kind: the bytes of the
//! wire, which must never change under their names, and what hostile bytes do.

mod frames;
mod fuzz;
mod golden;
mod peer;
mod property;
mod status;
