//! Whether a principal may do something: the one decision of this room.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::action::Action;
use super::policy::{Effect, Path, Policy};
use super::selector::Selector;
use super::state::{Access, Bounds, ROOT};

/// What something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On<'a> {
    /// The cluster.
    Cluster,
    /// One twin.
    Twin {
        /// Its tenant.
        tenant: &'a str,
        /// Its device.
        device: &'a str,
    },
    /// These parts of one twin.
    Parts {
        /// Its tenant.
        tenant: &'a str,
        /// Its device.
        device: &'a str,
        /// What is written, each part on its own.
        paths: &'a [Path],
    },
    /// All twins of a tenant whose names begin so.
    Fleet {
        /// The tenant.
        tenant: &'a str,
        /// The beginning; may be empty.
        prefix: &'a str,
    },
}

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Twin { tenant, device } => write!(f, "{tenant}/{device}"),
            Self::Parts { tenant, device, paths } => {
                write!(f, "{tenant}/{device}")?;
                paths.iter().try_for_each(|path| write!(f, " {path}"))
            }
            Self::Fleet { tenant, prefix } => write!(f, "{tenant}/{prefix}*"),
        }
    }
}

/// What is decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// By these policies, one or, for parts of a twin, several; none for [`ROOT`].
    Allowed {
        /// Their names.
        policies: Vec<String>,
    },
    /// It may not.
    Refused(Refused),
    /// It may with some twins and may not with others, and which one it is is not known here.
    Depends {
        /// Names of the policies whose filters decide.
        policies: Vec<String>,
    },
}

/// What the filter of a policy says of what something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It holds for all of it.
    Holds,
    /// It holds for none of it.
    HoldsNot,
    /// It is asked where the twin is.
    Depends,
    /// That cannot be told: what allows does not allow by it, and what denies denies.
    Untold,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such principal.
    Unknown,
    /// A policy denies it.
    Denied {
        /// Its name.
        policy: String,
    },
    /// No policy allows it.
    Nothing {
        /// What of it: of several parts the first that no policy allows.
        on: String,
    },
}

impl Decision {
    /// Whether it may.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { policies } if policies.is_empty() => {
                f.write_str("allowed to whoever has a node's own secret")
            }
            Self::Allowed { policies } => write!(f, "allowed by policy {}", policies.join(", ")),
            Self::Refused(Refused::Unknown) => f.write_str("there is no such principal"),
            Self::Refused(Refused::Denied { policy }) => write!(f, "denied by policy {policy}"),
            Self::Refused(Refused::Nothing { on }) => write!(f, "no policy allows it on {on}"),
            Self::Depends { policies } => {
                write!(f, "depends on the twin, by policy {}", policies.join(", "))
            }
        }
    }
}

impl Access {
    /// Whether a principal may do something, where no twin is at hand.
    #[must_use]
    pub fn decide(&self, principal: &str, action: Action, on: On<'_>) -> Decision {
        let one = matches!(on, On::Twin { .. } | On::Parts { .. });
        self.decide_by(principal, action, on, &|_| if one { Fit::Depends } else { Fit::Untold })
    }

    /// Whether a principal may do something, by what `fits` says of the filters of policies.
    #[must_use]
    pub fn decide_by(
        &self,
        principal: &str,
        action: Action,
        on: On<'_>,
        fits: &dyn Fn(&str) -> Fit,
    ) -> Decision {
        if principal == ROOT {
            return Decision::Allowed { policies: Vec::new() };
        }
        if !self.principals.contains_key(principal) {
            return Decision::Refused(Refused::Unknown);
        }
        // Each filter is asked once, however many policies and parts there are.
        let said: RefCell<BTreeMap<&str, Fit>> = RefCell::default();
        let says = |name: &String| match self.filters.get(name) {
            Some(text) => *said.borrow_mut().entry(text).or_insert_with(|| fits(text)),
            None => Fit::Holds,
        };
        let mut depends: BTreeSet<&String> = BTreeSet::new();
        for (name, policy) in self.concerned(Effect::Deny, principal, action) {
            if touches(policy, on) {
                match says(name) {
                    Fit::Holds | Fit::Untold => {
                        return Decision::Refused(Refused::Denied { policy: name.clone() });
                    }
                    Fit::Depends => {
                        depends.insert(name);
                    }
                    Fit::HoldsNot => {}
                }
            }
        }
        let there = self.concerned(Effect::Allow, principal, action);
        let mut there: Vec<_> = there.filter(|(_, policy)| covers(policy, on)).collect();
        // Where one allows it whatever the twin is, no filter is asked.
        there.sort_by_key(|(name, _)| self.filters.contains_key(*name));
        let mut policies = Vec::new();
        for path in parts_of(on) {
            match allowing(&there, path, &says) {
                Allowing::By(name) if policies.contains(name) => {}
                Allowing::By(name) => policies.push(name.clone()),
                Allowing::Depends(perhaps) => depends.extend(perhaps),
                Allowing::Nothing => {
                    let path = path.map(|path| format!(" {path}")).unwrap_or_default();
                    let on = format!("{}{path}", whole(on));
                    return Decision::Refused(Refused::Nothing { on });
                }
            }
        }
        if depends.is_empty() {
            return Decision::Allowed { policies };
        }
        Decision::Depends { policies: depends.into_iter().cloned().collect() }
    }

    /// Of which twins alone a principal may see something, where it may at all: what is asked of many is allowed
    /// because of a filter, which each of them has to meet.
    #[must_use]
    pub fn bounds(&self, principal: &str, action: Action, on: On<'_>) -> Bounds<'_> {
        if principal == ROOT || self.filters.is_empty() {
            return Bounds::default();
        }
        let filter = |(name, _): (&String, &Policy)| self.filters.get(name).map(String::as_str);
        let denying = self.concerned(Effect::Deny, principal, action);
        let without = denying.filter(|(_, policy)| touches(policy, on)).filter_map(filter);
        let allowing = self.concerned(Effect::Allow, principal, action);
        let allowing =
            allowing.filter(|(_, policy)| covers(policy, on) && has(policy, None)).map(filter);
        let within: Option<Vec<_>> = allowing.collect();
        Bounds { within: once(within.unwrap_or_default()), without: once(without.collect()) }
    }

    /// Policies of an effect that are about a principal and an action.
    fn concerned<'s>(
        &'s self,
        effect: Effect,
        principal: &'s str,
        action: Action,
    ) -> impl Iterator<Item = (&'s String, &'s Policy)> {
        self.policies
            .iter()
            .filter(move |(_, one)| one.effect == effect && one.concerns(principal, action))
    }
}

/// Each of some filters once, in their order: together they have to fit into one.
fn once(mut filters: Vec<&str>) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    filters.retain(|text| seen.insert(*text));
    filters
}

/// What allows something.
enum Allowing<'a> {
    By(&'a String),
    /// One of these, if its filter holds.
    Depends(Vec<&'a String>),
    Nothing,
}

/// The parts that have to be allowed, each for itself; one that is none is all of it.
fn parts_of(on: On<'_>) -> Vec<Option<&Path>> {
    match on {
        On::Parts { paths, .. } if !paths.is_empty() => paths.iter().map(Some).collect(),
        _ => vec![None],
    }
}

/// It without its parts.
const fn whole(on: On<'_>) -> On<'_> {
    match on {
        On::Parts { tenant, device, .. } => On::Twin { tenant, device },
        on => on,
    }
}

/// Which of some policies allow all of it, or a part.
fn allowing<'s>(
    there: &[(&'s String, &'s Policy)],
    path: Option<&Path>,
    says: &dyn Fn(&String) -> Fit,
) -> Allowing<'s> {
    let mut perhaps = Vec::new();
    for (name, _) in there.iter().filter(|(_, policy)| has(policy, path)) {
        match says(name) {
            Fit::Holds => return Allowing::By(name),
            Fit::Depends => perhaps.push(*name),
            Fit::HoldsNot | Fit::Untold => {}
        }
    }
    if perhaps.is_empty() { Allowing::Nothing } else { Allowing::Depends(perhaps) }
}

/// Whether a policy is on all of it, whatever the part.
fn covers(policy: &Policy, on: On<'_>) -> bool {
    policy.on.iter().any(|selector| match on {
        On::Cluster => *selector == Selector::All,
        On::Twin { tenant, device } | On::Parts { tenant, device, .. } => {
            selector.has(tenant, device)
        }
        On::Fleet { tenant, prefix } => selector.covers(tenant, prefix),
    })
}

/// Whether a policy is about a part. One of some parts is not about the twin as a whole.
fn has(policy: &Policy, path: Option<&Path>) -> bool {
    policy.sections.is_empty()
        || path.is_some_and(|path| policy.sections.iter().any(|part| part.has(path)))
}

/// Whether a policy is about any of it.
fn touches(policy: &Policy, on: On<'_>) -> bool {
    let there = policy.on.iter().any(|selector| match on {
        On::Cluster => *selector == Selector::All,
        On::Twin { tenant, device } | On::Parts { tenant, device, .. } => {
            selector.has(tenant, device)
        }
        On::Fleet { tenant, prefix } => selector.overlaps(tenant, prefix),
    });
    let within = match on {
        On::Parts { paths, .. } if !policy.sections.is_empty() => {
            paths.iter().any(|path| policy.sections.iter().any(|part| part.meets(path)))
        }
        _ => true,
    };
    there && within
}
