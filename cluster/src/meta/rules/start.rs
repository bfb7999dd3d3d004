//! How a node that is known comes back and says what it is like. Owns the refusal of a disk that is not the
//! node's or went back in time (safety rule 11), and of a program that cannot run at the cluster's level.

use super::super::answer::{Answer, Refusal};
use super::super::node::{Formats, Node, Profile};
use super::super::state::Meta;
use super::{Change, Outcome};

impl Meta {
    pub(in crate::meta) fn start(
        &mut self,
        id: u64,
        uuid: u128,
        starts: u64,
        fingerprint: u64,
        formats: Formats,
    ) -> Result<Outcome, Refusal> {
        self.same_configuration(fingerprint)?;
        self.check_formats(formats, id)?;
        let node = self.own_disk(id, uuid)?;
        if starts <= node.starts {
            return Err(Refusal::WentBack { seen: node.starts });
        }
        node.starts = starts;
        node.profile.formats = formats;
        Ok(Outcome::Changed(Answer::Node(id)))
    }

    pub(in crate::meta) fn advertise(
        &mut self,
        id: u64,
        uuid: u128,
        profile: Profile,
    ) -> Result<Outcome, Refusal> {
        self.own_disk(id, uuid)?;
        self.check_profile(&profile, Some(id))?;
        Ok(Outcome::done(Change::set(&mut self.own_disk(id, uuid)?.profile, profile)))
    }

    pub(super) fn check_formats(&self, formats: Formats, node: u64) -> Result<(), Refusal> {
        if formats.hold(self.level) {
            return Ok(());
        }
        let Formats { oldest, newest } = formats;
        Err(Refusal::Formats { level: self.level, oldest, newest, node })
    }

    /// A node that was not removed.
    pub(super) fn member(&self, id: u64) -> Result<&Node, Refusal> {
        let node = self.nodes.get(&id);
        match node {
            None if id > 0 && id <= self.last_node => Err(Refusal::GoneNode { node: id }),
            None => Err(Refusal::UnknownNode),
            Some(node) if node.is_member() => Ok(node),
            Some(_) => Err(Refusal::GoneNode { node: id }),
        }
    }

    pub(super) fn member_mut(&mut self, id: u64) -> Result<&mut Node, Refusal> {
        self.member(id)?;
        self.nodes.get_mut(&id).ok_or(Refusal::UnknownNode)
    }

    fn own_disk(&mut self, id: u64, uuid: u128) -> Result<&mut Node, Refusal> {
        let node = self.member_mut(id)?;
        if node.uuid == uuid { Ok(node) } else { Err(Refusal::OtherDisk) }
    }
}
