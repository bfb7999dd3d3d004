//! Changes of who may do what. Owns that they wait for a level at which every node knows them; leaves what each
//! does to `access/`.

use super::super::answer::{Answer, Refusal};
use super::super::node::{ARTIFACTS_LEVEL, CONTROL_LEVEL, POLICY_FILTERS_LEVEL};
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::access::{self, Action, Changed, Fault, Order};
use crate::fleet;

impl Meta {
    /// What comes about by itself changes nothing but counts.
    pub(in crate::meta) fn change_fleet(
        &mut self,
        change: fleet::Change,
    ) -> Result<Outcome, Refusal> {
        match change {
            fleet::Change::CountEnrolled { .. } | fleet::Change::ShareDevices { .. } => {
                done(self.fleet.follow(change, (0, ""), self.map.len()))
            }
            fleet::Change::NameArtifact { .. } => {
                self.must_write("artifacts take", ARTIFACTS_LEVEL)?;
                done(self.fleet.follow(change, (0, ""), self.map.len()))
            }
            _ => Err(Refusal::Malformed),
        }
    }

    pub(in crate::meta) fn change_access(&mut self, order: Order) -> Result<Outcome, Refusal> {
        self.must_write("access takes", CONTROL_LEVEL)?;
        if let access::Change::PutFilteredPolicy(_) = order.change {
            self.must_write("a policy with a filter takes", POLICY_FILTERS_LEVEL)?;
        }
        let is_new = match &order.change {
            access::Change::Fleet(change) => change.is_of_version_4(),
            access::Change::PutPolicy { policy, .. } => policy
                .actions
                .iter()
                .any(|one| Action::is_pattern(one) && !Action::is_pattern_of_level_4(one)),
            _ => false,
        };
        if is_new {
            self.must_write("this takes", ARTIFACTS_LEVEL)?;
        }
        done(self.access.follow(order, (&mut self.fleet, self.map.len())))
    }

    fn must_write(&self, what: &str, level: u32) -> Result<(), Refusal> {
        if self.level >= level {
            return Ok(());
        }
        let why = format!(
            "the cluster writes at level {}, and {what} level {level}: upgrade all nodes, then \
             `pollux cluster upgrade --finish`",
            self.level
        );
        Err(Refusal::Invalid { why })
    }
}

fn done(result: Result<Changed, Fault>) -> Result<Outcome, Refusal> {
    match result {
        Ok(Changed::Yes) => Ok(Outcome::done(Change::Yes)),
        Ok(Changed::No) => Ok(Outcome::Same(Answer::Done)),
        Err(Fault::Invalid(why)) => Err(Refusal::Invalid { why }),
        Err(Fault::Full { what, most }) => {
            Err(Refusal::Full { what: what.into(), most: most as u64 })
        }
    }
}
