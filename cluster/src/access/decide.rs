//! Whether a principal may do something: the one decision of this room.

use std::fmt;

use super::action::Action;
use super::policy::{Effect, Path, Policy};
use super::selector::Selector;
use super::state::{Access, ROOT};

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
        }
    }
}

impl Access {
    /// Whether a principal may do something.
    #[must_use]
    pub fn decide(&self, principal: &str, action: Action, on: On<'_>) -> Decision {
        if principal == ROOT {
            return Decision::Allowed { policies: Vec::new() };
        }
        if !self.principals.contains_key(principal) {
            return Decision::Refused(Refused::Unknown);
        }
        let concerned = |effect: Effect| {
            self.policies
                .iter()
                .filter(move |(_, one)| one.effect == effect && one.concerns(principal, action))
        };
        if let Some((policy, _)) = concerned(Effect::Deny).find(|(_, policy)| touches(policy, on)) {
            return Decision::Refused(Refused::Denied { policy: policy.clone() });
        }
        let (whole, each) = match on {
            On::Parts { tenant, device, paths } => (On::Twin { tenant, device }, paths),
            on => (on, &[][..]),
        };
        let allowing = |path: Option<&Path>| {
            concerned(Effect::Allow)
                .find(|(_, policy)| allows(policy, whole, path))
                .map(|(name, _)| name)
        };
        let mut policies = Vec::new();
        let asked: Vec<Option<&Path>> = match each {
            [] => vec![None],
            paths => paths.iter().map(Some).collect(),
        };
        for path in asked {
            match allowing(path) {
                Some(name) if policies.contains(name) => {}
                Some(name) => policies.push(name.clone()),
                None => {
                    let path = path.map(|path| format!(" {path}")).unwrap_or_default();
                    let on = format!("{whole}{path}");
                    return Decision::Refused(Refused::Nothing { on });
                }
            }
        }
        Decision::Allowed { policies }
    }
}

/// Whether a policy allows all of it. A policy of some parts allows nothing of the twin as a whole.
fn allows(policy: &Policy, on: On<'_>, path: Option<&Path>) -> bool {
    let there = policy.on.iter().any(|selector| match on {
        On::Cluster => *selector == Selector::All,
        On::Twin { tenant, device } | On::Parts { tenant, device, .. } => {
            selector.has(tenant, device)
        }
        On::Fleet { tenant, prefix } => selector.covers(tenant, prefix),
    });
    let within = policy.sections.is_empty()
        || path.is_some_and(|path| policy.sections.iter().any(|part| part.has(path)));
    there && within
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
