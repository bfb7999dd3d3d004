//! What the whole cluster has to agree on: who it is, its nodes, and where each shard is meant to be.
//! Owns the pure machine, its commands and their bytes (`state`, `command`, `codec`), and the driver that
//! makes it a group's state machine (`machine`). Leaves to the shard's own group who really leads it.

mod codec;
mod command;
mod machine;
mod state;

pub use command::{Answer, Command, Refusal};
pub use machine::{MetaMachine, MetaPicture};
pub use state::{Meta, Node, Place};
