//! What people set for the whole cluster. Owns when a level may be raised, and when an authority may come and
//! go.

use super::super::answer::Refusal;
use super::super::node::Formats;
use super::super::settings::Budget;
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::limits::{ROOT_BYTES_MAX, ROOTS_MAX};

impl Meta {
    pub(in crate::meta) fn pause(&mut self, paused: bool) -> Outcome {
        Outcome::done(Change::set(&mut self.paused, paused))
    }

    pub(in crate::meta) fn set_budget(&mut self, budget: Budget) -> Result<Outcome, Refusal> {
        match budget.fault() {
            Some(why) => Err(Refusal::Invalid { why }),
            None => Ok(Outcome::done(Change::set(&mut self.budget, budget))),
        }
    }

    pub(in crate::meta) fn configure(&mut self, fingerprint: u64) -> Outcome {
        Outcome::done(Change::set(&mut self.fingerprint, fingerprint))
    }

    /// Raises the level. Every member must be able to run at it, whoever applies this: a node that
    /// cannot is among the members, so that all come to the same answer.
    pub(in crate::meta) fn finish(&mut self, level: u32) -> Result<Outcome, Refusal> {
        if level < self.level {
            return Err(Refusal::BadLevel { level: self.level });
        }
        let behind = self.members().find(|(_, node)| !node.profile.formats.hold(level));
        if let Some((node, behind)) = behind {
            let Formats { oldest, newest } = behind.profile.formats;
            return Err(Refusal::Formats { level, oldest, newest, node });
        }
        Ok(Outcome::done(Change::set(&mut self.level, level)))
    }

    pub(in crate::meta) fn trust_root(
        &mut self,
        generation: u32,
        certificate: Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        if self.roots.get(&generation) == Some(&certificate) {
            return Ok(Outcome::done(Change::No));
        }
        let bad = |why: String| Err(Refusal::BadRoot { why });
        let next = self.authority() + 1;
        if generation != next {
            return bad(format!("authority {generation}: the next generation should be {next}"));
        }
        if self.roots.len() >= ROOTS_MAX {
            return bad(format!(
                "{ROOTS_MAX} authorities are accepted already: retire the oldest one first"
            ));
        }
        if certificate.is_empty() || certificate.len() > ROOT_BYTES_MAX {
            let length = certificate.len();
            return bad(format!(
                "a certificate of {length} bytes: should be 1 to {ROOT_BYTES_MAX}"
            ));
        }
        self.roots.insert(generation, certificate);
        Ok(Outcome::done(Change::Yes))
    }

    pub(in crate::meta) fn retire_root(&mut self, generation: u32) -> Result<Outcome, Refusal> {
        let bad = |why: String| Err(Refusal::BadRoot { why });
        if !self.roots.contains_key(&generation) {
            let known = generation > 0 && generation < self.authority();
            let why = format!("there is no authority {generation} to retire");
            return if known { Ok(Outcome::done(Change::No)) } else { bad(why) };
        }
        if generation == self.authority() {
            return bad(format!(
                "authority {generation} issues the certificates: let a newer one be trusted first"
            ));
        }
        let holder = self.members().find(|(_, node)| node.profile.authority == generation);
        if let Some((node, _)) = holder {
            return bad(format!(
                "node {node} still shows a certificate of authority {generation}: restart it first"
            ));
        }
        self.roots.remove(&generation);
        Ok(Outcome::done(Change::Yes))
    }

    pub(in crate::meta) fn raise_lineage(&mut self, lineage: u64) -> Result<Outcome, Refusal> {
        if lineage < self.lineage {
            return Err(Refusal::OldLineage { lineage: self.lineage });
        }
        Ok(Outcome::done(Change::set(&mut self.lineage, lineage)))
    }
}
