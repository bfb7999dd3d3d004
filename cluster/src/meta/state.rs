//! The state of the meta group as a deterministic machine. Owns what is agreed on and the way of a command
//! to its rule; leaves what each does to `rules`, bytes to `codec`, the log to the group.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::answer::{Answer, Refusal};
use super::command::Command;
use super::node::{Node, NodeState};
use super::place::Place;
use super::rules::Outcome;
use super::settings::{Budget, Token};
use crate::access::Access;
use crate::fleet::Fleet;
use crate::ids::GroupId;

/// What the whole cluster agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Meta {
    /// The cluster's random name, 0 before it was founded.
    pub cluster: u128,
    /// Raised by forced recovery and restore; 0 before the cluster was founded.
    pub lineage: u64,
    /// Fingerprint of the configuration all nodes share.
    pub fingerprint: u64,
    /// The formats that may be written, as one number. Raised when all nodes are upgraded.
    pub level: u32,
    /// Nodes by id.
    pub nodes: BTreeMap<u64, Node>,
    /// The highest id that was ever given.
    pub last_node: u64,
    /// Where this group itself is meant to be.
    pub own: Place,
    /// Where each shard is meant to be; its length is the number of shards.
    pub map: Vec<Place>,
    /// Tokens by their hash.
    pub tokens: BTreeMap<[u8; 32], Token>,
    /// Certificates of the authorities that nodes accept, in DER, by generation. The newest issues.
    pub roots: BTreeMap<u32, Vec<u8>>,
    /// Whether the balancer begins nothing of its own accord.
    pub paused: bool,
    /// How much the balancer may do.
    pub budget: Budget,
    /// Who may do what.
    pub access: Access,
    /// Which types and groups of devices there are.
    pub fleet: Fleet,
    /// Grows with every change, so that caches know whether they are old.
    pub version: u64,
}

impl Meta {
    /// Whether there is a cluster yet.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        self.lineage > 0
    }

    /// Where a group is meant to be; none where there is no such group.
    #[must_use]
    pub fn place(&self, group: GroupId) -> Option<&Place> {
        match group.0.checked_sub(1) {
            None => Some(&self.own),
            Some(shard) => self.map.get(shard as usize),
        }
    }

    /// Every group and where it is meant to be, the meta group first.
    pub fn places(&self) -> impl Iterator<Item = (GroupId, &Place)> {
        let groups = (0..).map(GroupId);
        groups.zip(std::iter::once(&self.own).chain(&self.map))
    }

    /// The nodes that were not removed.
    pub fn members(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.nodes.iter().filter(|(_, node)| node.is_member()).map(|(id, node)| (*id, node))
    }

    /// The nodes that take part and are not draining.
    pub fn active(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.members().filter(|(_, node)| node.state == NodeState::Active)
    }

    /// Generation of the authority that issues; 0 while there is none.
    #[must_use]
    pub fn authority(&self) -> u32 {
        self.roots.last_key_value().map_or(0, |(generation, _)| *generation)
    }

    /// Does what a command says. A refusal changes nothing, and so does what was done before.
    pub fn apply(&mut self, command: Command) -> Answer {
        match self.follow(command) {
            Ok(Outcome::Changed(answer)) => {
                self.version += 1;
                answer
            }
            Ok(Outcome::Same(answer)) => answer,
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn follow(&mut self, command: Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Found { cluster, shards, fingerprint, node_uuid, profile } => {
                self.found(cluster, shards, fingerprint, node_uuid, profile)
            }
            _ if !self.is_founded() => Err(Refusal::NotFounded),
            Command::IssueToken { hash, ttl_ms, now_ms } => self.issue_token(hash, ttl_ms, now_ms),
            Command::RevokeToken { hash } => self.revoke_token(hash),
            Command::Join(newcomer) => self.join(newcomer),
            Command::Replace { old, newcomer } => self.replace(old, newcomer),
            Command::Start { node, node_uuid, starts, fingerprint, formats } => {
                self.start(node, node_uuid, starts, fingerprint, formats)
            }
            Command::Advertise { node, node_uuid, profile } => {
                self.advertise(node, node_uuid, profile)
            }
            Command::Drain { node } => self.drain(node),
            Command::Undrain { node } => self.undrain(node),
            Command::Remove { node } => self.remove(node),
            Command::Place { group, goal } => self.aim(group, goal),
            Command::Settle { group, goal } => self.settle(group, &goal),
            Command::Pause => Ok(self.pause(true)),
            Command::Resume => Ok(self.pause(false)),
            Command::Budget(budget) => self.set_budget(budget),
            Command::Configure { fingerprint } => Ok(self.configure(fingerprint)),
            Command::Finish { level } => self.finish(level),
            Command::TrustRoot { generation, certificate } => {
                self.trust_root(generation, certificate)
            }
            Command::RetireRoot { generation } => self.retire_root(generation),
            Command::RaiseLineage { lineage } => self.raise_lineage(lineage),
            Command::Access(order) => self.change_access(*order),
            Command::Fleet(change) => self.change_fleet(*change),
        }
    }
}
