//! Everything about frames, datagrams and statuses that wants one of every kind: the bytes of the
//! wire, which must never change under the name `pollux/1`, and what hostile bytes do.

mod frames;
mod fuzz;
mod golden;
mod property;
mod status;
