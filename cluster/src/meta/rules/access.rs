//! Changes of who may do what. Owns that they wait for a level at which every node knows them; leaves what each
//! does to `access/`.

use super::super::answer::{Answer, Refusal};
use super::super::node::CONTROL_LEVEL;
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::access::{Changed, Fault, Order};
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
            _ => Err(Refusal::Malformed),
        }
    }

    pub(in crate::meta) fn change_access(&mut self, order: Order) -> Result<Outcome, Refusal> {
        if self.level < CONTROL_LEVEL {
            let why = format!(
                "the cluster writes at level {}, and access takes level {CONTROL_LEVEL}: upgrade all nodes, then \
                 `pollux cluster upgrade --finish`",
                self.level
            );
            return Err(Refusal::Invalid { why });
        }
        done(self.access.follow(order, (&mut self.fleet, self.map.len())))
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
