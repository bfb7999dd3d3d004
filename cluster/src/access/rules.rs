//! What each order does to the agreed state. Owns the order of checks: everything that can be refused is refused
//! before anything is changed. Reads no clock: the time comes in with the order.

use super::audit::{self, Audited};
use super::order::{Change, Filtered, Order};
use super::policy::Policy;
use super::principal::{Principal, Token, note_fault};
use super::state::Access;
use crate::fleet::Fleet;
use crate::limits::{
    ACCESS_TOKENS_MAX, NAME_BYTES_MAX, POLICIES_MAX, PRINCIPALS_MAX, TOKENS_PER_PRINCIPAL_MAX,
};

/// Why an order was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It makes no sense, and what would.
    Invalid(String),
    /// Too many of something.
    Full {
        /// Of what.
        what: &'static str,
        /// The most there can be.
        most: usize,
    },
}

/// Whether the state is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is.
    Yes,
    /// It was so before.
    No,
}

impl Access {
    /// Does what an order says, and has the audit show it.
    pub(crate) fn follow(
        &mut self,
        order: Order,
        (fleet, shards): (&mut Fleet, usize),
    ) -> Result<Changed, Fault> {
        let known = self.audit.iter().position(|entry| entry.id == order.id);
        if let Change::End { result } = &order.change {
            let Some(entry) = known.map(|at| &mut self.audit[at]) else { return Ok(Changed::No) };
            let result = audit::short(result);
            let changed = if entry.result == result { Changed::No } else { Changed::Yes };
            entry.result = result;
            return Ok(changed);
        }
        if known.is_some() {
            return Ok(Changed::No);
        }
        if matches!(&order.change, Change::Fleet(change) if fleet.claims_so(change)) {
            // It goes with each change of an enrolment, and mostly says nothing new.
            return Ok(Changed::No);
        }
        let number = self.audit.last().map_or(1, |last| last.number + 1);
        let entry = |what: &str, on: String, result| Audited::of(&order, number, what, on, result);
        let entry = match &order.change {
            Change::PutPrincipal { name, .. } => entry("principal put", name.clone(), "done"),
            Change::RemovePrincipal { name } => entry("principal remove", name.clone(), "done"),
            Change::IssueToken { id, token } => {
                entry("token issue", format!("{id:016x} of {}", token.principal), "done")
            }
            Change::RevokeToken { id } => {
                let of = self.tokens.get(id).map_or("", |token| token.principal.as_str());
                entry("token revoke", format!("{id:016x} of {of}"), "done")
            }
            Change::PutPolicy { name, .. } => entry("policy put", name.clone(), "done"),
            Change::PutFilteredPolicy(put) => entry("policy put", put.name.clone(), "done"),
            Change::RemovePolicy { name } => entry("policy remove", name.clone(), "done"),
            Change::Fleet(change) => {
                let (what, on) = change.told();
                entry(what, on, "done")
            }
            Change::Begin { what, on } => entry(what, on.clone(), "begun"),
            Change::End { .. } => return Ok(Changed::No),
        };
        self.carry_out(order, (fleet, shards))?;
        audit::push(&mut self.audit, entry);
        Ok(Changed::Yes)
    }

    fn carry_out(
        &mut self,
        order: Order,
        (fleet, shards): (&mut Fleet, usize),
    ) -> Result<(), Fault> {
        match order.change {
            Change::PutPrincipal { name, principal } => {
                self.put_principal(name, principal, order.at_ms)
            }
            Change::RemovePrincipal { name } => self.remove_principal(&name),
            Change::IssueToken { id, token } => self.issue(id, token, order.at_ms),
            Change::RevokeToken { id } => match self.tokens.remove(&id) {
                Some(_) => Ok(()),
                None => Err(Fault::Invalid(format!("there is no token {id:016x}"))),
            },
            Change::PutPolicy { name, policy } => self.put_policy(name, policy, None),
            Change::PutFilteredPolicy(put) => {
                let Filtered { name, policy, filter } = *put;
                self.put_policy(name, policy, Some(filter))
            }
            Change::RemovePolicy { name } => match self.policies.remove(&name) {
                Some(_) => {
                    self.filters.remove(&name);
                    Ok(())
                }
                None => Err(Fault::Invalid(format!("there is no policy {name:?}"))),
            },
            Change::Fleet(change) => {
                fleet.follow(*change, (order.at_ms, &order.who), shards).map(drop)
            }
            Change::Begin { .. } | Change::End { .. } => Ok(()),
        }
    }

    fn put_principal(
        &mut self,
        name: String,
        mut principal: Principal,
        now_ms: u64,
    ) -> Result<(), Fault> {
        if let Some(why) = principal.fault(&name) {
            return Err(Fault::Invalid(why));
        }
        for one in &principal.subjects {
            match self.known_as(&one.issuer, &one.subject) {
                Some(other) if other != name => {
                    let why = format!("subject {:?} is principal {other:?} already", one.subject);
                    return Err(Fault::Invalid(why));
                }
                _ => {}
            }
        }
        let before = self.principals.get(&name);
        if before.is_none() && self.principals.len() >= PRINCIPALS_MAX {
            return Err(Fault::Full { what: "principals", most: PRINCIPALS_MAX });
        }
        principal.added_ms = before.map_or(now_ms, |before| before.added_ms);
        self.principals.insert(name, principal);
        Ok(())
    }

    fn remove_principal(&mut self, name: &str) -> Result<(), Fault> {
        if self.principals.remove(name).is_none() {
            return Err(Fault::Invalid(format!("there is no principal {name:?}")));
        }
        self.tokens.retain(|_, token| token.principal != name);
        Ok(())
    }

    fn issue(&mut self, id: u64, token: Token, now_ms: u64) -> Result<(), Fault> {
        let Token { principal, issued_ms, expires_ms, note, .. } = &token;
        if !self.principals.contains_key(principal) {
            return Err(Fault::Invalid(format!(
                "there is no principal {principal:?}: add it first"
            )));
        }
        if expires_ms <= issued_ms {
            return Err(Fault::Invalid("a token expires after it was issued".into()));
        }
        if let Some(why) = note_fault(note) {
            return Err(Fault::Invalid(why));
        }
        if self.tokens.contains_key(&id) {
            return Err(Fault::Invalid(
                "a token is found by this already: make another one".into(),
            ));
        }
        // What has expired does not count.
        let lives = |token: &Token| token.expires_ms > now_ms;
        let theirs = self.tokens_of(principal).filter(|(_, token)| lives(token)).count();
        if theirs >= TOKENS_PER_PRINCIPAL_MAX {
            return Err(Fault::Full {
                what: "tokens of one principal",
                most: TOKENS_PER_PRINCIPAL_MAX,
            });
        }
        if self.tokens.values().filter(|token| lives(token)).count() >= ACCESS_TOKENS_MAX {
            return Err(Fault::Full { what: "tokens of principals", most: ACCESS_TOKENS_MAX });
        }
        // A node whose clock is ahead must not take tokens away that are good: they stay while there is room.
        if self.tokens.len() >= 2 * ACCESS_TOKENS_MAX {
            self.tokens.retain(|_, token| lives(token));
        }
        self.tokens.insert(id, token);
        Ok(())
    }

    fn put_policy(
        &mut self,
        name: String,
        policy: Policy,
        filter: Option<String>,
    ) -> Result<(), Fault> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
            let why = format!(
                "policy {name:?}: a name has 1 to {NAME_BYTES_MAX} letters, digits and - . _"
            );
            return Err(Fault::Invalid(why));
        }
        let filter_fault = || filter.as_ref().and_then(|filter| policy.filter_fault(filter));
        if let Some(why) = policy.fault().or_else(filter_fault) {
            return Err(Fault::Invalid(why));
        }
        let known = |one: &&String| *one != "*" && !self.principals.contains_key(*one);
        if let Some(unknown) = policy.principals.iter().find(known) {
            return Err(Fault::Invalid(format!("there is no principal {unknown:?}: add it first")));
        }
        if !self.policies.contains_key(&name) && self.policies.len() >= POLICIES_MAX {
            return Err(Fault::Full { what: "policies", most: POLICIES_MAX });
        }
        match filter {
            Some(filter) => {
                self.filters.insert(name.clone(), filter);
            }
            // Whoever does not know of filters would widen it without a word.
            None if self.filters.contains_key(&name) => {
                return Err(Fault::Invalid(format!(
                    "policy {name} has a filter: put it with one, or remove it before it is put without"
                )));
            }
            None => {}
        }
        self.policies.insert(name, policy);
        Ok(())
    }
}
