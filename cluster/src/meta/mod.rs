//! What the whole cluster has to agree on: who it is, its nodes, and where each shard is meant to be.
//! Owns the pure machine (`state`, with what each kind of command does in `rules`), its words (`command`,
//! `answer`, `node`, `place`, `settings`), their bytes (`codec`, and `v1`, `v2` and `v3` for those of versions before), and the
//! driver that makes it a group's state machine (`machine`). Leaves to the shard's own group who really
//! leads it, and to `balance` what should change.

mod answer;
mod codec;
mod command;
mod machine;
mod node;
mod place;
mod rules;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod v3;
mod v4;

pub use answer::{Answer, Refusal};
pub use command::{Command, Newcomer};
pub use machine::{Keep, MetaMachine, MetaPicture};
pub use node::{
    ARTIFACTS_LEVEL, Addresses, CONTROL_LEVEL, ENTRY_KEYS_LEVEL, Formats, Labels, Node, NodeState,
    POLICY_FILTERS_LEVEL, Profile,
};
pub use place::{Goal, Place};
pub use settings::{Budget, Token};
pub use state::Meta;
