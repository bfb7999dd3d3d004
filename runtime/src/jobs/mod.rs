//! Jobs: one thing done to many devices, at a pace, with a record of each.
//!
//! A job is a twin of Pollux's own (`record`), and so is each part of its devices (`part`): replicated, recovered and
//! moved like any other, and the versions of their sections fence out whoever carried it out before. `machine` decides
//! which devices are begun with and what becomes of them; it is pure. The node that owns the job's twin carries it out:
//! `overseer` starts a `runner`, which lists the devices (`select`) and then goes through a `round` of the machine's
//! orders, calling and looking at devices (`act`) and hearing what they say (`listen`). `plan` is what a job is about, checked, `artifact` the artifact that it may name; `store` reads and writes.

mod act;
mod artifact;
pub(crate) mod limits;
mod listen;
mod machine;
mod overseer;
mod part;
mod plan;
mod record;
mod round;
mod runner;
mod select;
mod store;

pub(crate) use artifact::{Names, check as check_artifact};
pub(crate) use machine::{State, Target};
pub(crate) use overseer::oversee;
pub(crate) use plan::Whose;
pub(crate) use record::{Kept, Record, Wish, all, check_names, key as key_of, plain};
pub(crate) use runner::Office;
pub(crate) use select::{check_count, count};
pub(crate) use store::Store;
