//! The state of the meta group as a deterministic machine. Owns what each command does; leaves bytes to
//! `codec`, the log to the group.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::command::{Answer, Command, Refusal};
use crate::limits::{META_NODES_MAX, META_REPLICAS_MAX, META_SHARDS_MAX};

/// A node as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Node {
    /// Its disk's random name.
    pub uuid: u128,
    /// The highest start counter seen.
    pub starts: u64,
    /// Gone for good; kept so that its id is never given again.
    pub removed: bool,
}

/// Where a shard is meant to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Place {
    /// The nodes that should hold a replica, the preferred owner first.
    pub replicas: Vec<u64>,
}

/// What the whole cluster agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Meta {
    /// The cluster's random name, 0 before it was founded.
    pub cluster: u128,
    /// Raised by forced recovery and restore.
    pub lineage: u64,
    /// Fingerprint of the configuration all nodes share.
    pub fingerprint: u64,
    /// Nodes by id.
    pub nodes: BTreeMap<u64, Node>,
    /// Where each shard is meant to be; its length is the number of shards.
    pub map: Vec<Place>,
    /// Grows with every change, so that caches know whether they are old.
    pub version: u64,
}

impl Meta {
    /// Whether there is a cluster yet.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        self.lineage > 0
    }

    /// Does what a command says. A refusal changes nothing, and so does what was done before.
    pub fn apply(&mut self, command: Command) -> Answer {
        let answer = match command {
            Command::Found { cluster, shards, fingerprint, node_uuid } => {
                self.found(cluster, shards, fingerprint, node_uuid)
            }
            _ if !self.is_founded() => Err(Refusal::NotFounded),
            Command::Join { node_uuid, fingerprint } => self.join(node_uuid, fingerprint),
            Command::Start { node, node_uuid, starts, fingerprint } => {
                self.start(node, node_uuid, starts, fingerprint)
            }
            Command::Remove { node } => self.remove(node),
            Command::Place { shard, place } => self.place(shard, place),
            Command::Configure { fingerprint } => {
                self.fingerprint = fingerprint;
                Ok(Answer::Done)
            }
        };
        match answer {
            Ok(answer) => {
                self.version += 1;
                answer
            }
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn found(
        &mut self,
        cluster: u128,
        shards: u32,
        fingerprint: u64,
        uuid: u128,
    ) -> Result<Answer, Refusal> {
        if self.is_founded() {
            let same = self.cluster == cluster
                && self.map.len() == shards as usize
                && self.nodes.get(&1).is_some_and(|node| node.uuid == uuid);
            return if same { Ok(Answer::Node(1)) } else { Err(Refusal::OtherCluster) };
        }
        if shards == 0 || shards > META_SHARDS_MAX {
            return Err(Refusal::BadPlace);
        }
        (self.cluster, self.lineage, self.fingerprint) = (cluster, 1, fingerprint);
        self.nodes.insert(1, Node { uuid, starts: 0, removed: false });
        self.map = vec![Place { replicas: vec![1] }; shards as usize];
        Ok(Answer::Node(1))
    }

    fn join(&mut self, uuid: u128, fingerprint: u64) -> Result<Answer, Refusal> {
        self.same_configuration(fingerprint)?;
        let known = self.nodes.iter().find(|(_, node)| node.uuid == uuid);
        if let Some((id, node)) = known {
            return if node.removed { Err(Refusal::UnknownNode) } else { Ok(Answer::Node(*id)) };
        }
        if self.nodes.len() >= META_NODES_MAX {
            return Err(Refusal::Full);
        }
        let id = self.nodes.last_key_value().map_or(1, |(last, _)| last + 1);
        self.nodes.insert(id, Node { uuid, starts: 0, removed: false });
        Ok(Answer::Node(id))
    }

    fn start(
        &mut self,
        id: u64,
        uuid: u128,
        starts: u64,
        fingerprint: u64,
    ) -> Result<Answer, Refusal> {
        self.same_configuration(fingerprint)?;
        let node = self.nodes.get_mut(&id).filter(|n| !n.removed).ok_or(Refusal::UnknownNode)?;
        if node.uuid != uuid {
            return Err(Refusal::OtherDisk);
        }
        if starts <= node.starts {
            return Err(Refusal::WentBack { seen: node.starts });
        }
        node.starts = starts;
        Ok(Answer::Node(id))
    }

    fn remove(&mut self, id: u64) -> Result<Answer, Refusal> {
        if self.map.iter().any(|place| place.replicas.contains(&id)) {
            return Err(Refusal::StillPlaced);
        }
        let node = self.nodes.get_mut(&id).ok_or(Refusal::UnknownNode)?;
        node.removed = true;
        Ok(Answer::Done)
    }

    fn place(&mut self, shard: u32, place: Place) -> Result<Answer, Refusal> {
        let replicas = &place.replicas;
        let known = |id: &u64| self.nodes.get(id).is_some_and(|node| !node.removed);
        let twice = replicas.iter().enumerate().any(|(i, id)| replicas[..i].contains(id));
        let good = (1..=META_REPLICAS_MAX).contains(&replicas.len())
            && replicas.iter().all(known)
            && !twice;
        let slot = self.map.get_mut(shard as usize).filter(|_| good).ok_or(Refusal::BadPlace)?;
        *slot = place;
        Ok(Answer::Done)
    }

    fn same_configuration(&self, fingerprint: u64) -> Result<(), Refusal> {
        if fingerprint == self.fingerprint { Ok(()) } else { Err(Refusal::OtherConfiguration) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founded() -> Meta {
        let mut meta = Meta::default();
        let found = Command::Found { cluster: 9, shards: 4, fingerprint: 5, node_uuid: 100 };
        assert_eq!(meta.apply(found), Answer::Node(1));
        meta
    }

    /// Applies to a founded cluster of nodes 1 and 2; a refusal must change nothing.
    fn check(command: Command, expected: Answer) {
        let mut meta = founded();
        let join = Command::Join { node_uuid: 200, fingerprint: 5 };
        assert_eq!(meta.apply(join), Answer::Node(2));
        let before = meta.clone();
        let answer = meta.apply(command);
        assert_eq!(answer, expected);
        let refused = matches!(answer, Answer::Refused(_));
        assert_eq!(refused, meta == before);
    }

    #[test]
    fn ids_are_given_once() {
        check(Command::Join { node_uuid: 200, fingerprint: 5 }, Answer::Node(2));
        check(Command::Join { node_uuid: 300, fingerprint: 5 }, Answer::Node(3));
        let other = Answer::Refused(Refusal::OtherConfiguration);
        check(Command::Join { node_uuid: 300, fingerprint: 6 }, other);
        let mut meta = founded();
        meta.apply(Command::Join { node_uuid: 200, fingerprint: 5 });
        assert_eq!(meta.apply(Command::Remove { node: 2 }), Answer::Done);
        let again = Command::Join { node_uuid: 200, fingerprint: 5 };
        assert_eq!(meta.apply(again), Answer::Refused(Refusal::UnknownNode));
        let next = Command::Join { node_uuid: 300, fingerprint: 5 };
        assert_eq!(meta.apply(next), Answer::Node(3));
    }

    #[test]
    fn a_disk_that_went_back_is_refused() {
        let start =
            |node, node_uuid, starts| Command::Start { node, node_uuid, starts, fingerprint: 5 };
        check(start(2, 200, 1), Answer::Node(2));
        check(start(2, 201, 1), Answer::Refused(Refusal::OtherDisk));
        check(start(7, 200, 1), Answer::Refused(Refusal::UnknownNode));
        let mut meta = founded();
        assert_eq!(meta.apply(start(1, 100, 5)), Answer::Node(1));
        for back in [5, 4, 0] {
            let refused = Answer::Refused(Refusal::WentBack { seen: 5 });
            assert_eq!(meta.apply(start(1, 100, back)), refused);
        }
        assert_eq!(meta.apply(start(1, 100, 6)), Answer::Node(1));
    }

    #[test]
    fn places_name_nodes_that_are_there() {
        let place = |shard, replicas: &[u64]| Command::Place {
            shard,
            place: Place { replicas: replicas.into() },
        };
        check(place(3, &[2, 1]), Answer::Done);
        let bad = || Answer::Refused(Refusal::BadPlace);
        for (shard, replicas) in
            [(4, &[1][..]), (0, &[]), (0, &[1, 1]), (0, &[3]), (0, &[1, 2, 3, 4, 5, 6, 7, 8])]
        {
            check(place(shard, replicas), bad());
        }
        check(Command::Remove { node: 1 }, Answer::Refused(Refusal::StillPlaced));
    }

    #[test]
    fn nothing_goes_before_the_founding_and_it_goes_once() {
        let mut meta = Meta::default();
        let refused = Answer::Refused(Refusal::NotFounded);
        assert_eq!(meta.apply(Command::Remove { node: 1 }), refused);
        let found = |cluster| Command::Found { cluster, shards: 4, fingerprint: 5, node_uuid: 100 };
        check(found(9), Answer::Node(1));
        check(found(8), Answer::Refused(Refusal::OtherCluster));
    }
}
