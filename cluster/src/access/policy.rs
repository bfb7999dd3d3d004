//! A policy: who may, or must not, do what to which twins. Owns what it is about and the check of it; leaves the
//! decision over all of them to `decide`.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

use super::action::Action;
use super::selector::Selector;
use crate::limits::{POLICY_BYTES_MAX, POLICY_FILTER_BYTES_MAX};

/// What a policy does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Effect {
    /// It allows.
    #[default]
    Allow,
    /// It denies, whatever others allow.
    Deny,
}

impl Effect {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A part of a twin that is written: a section, and keys below it. Written `desired` or `desired.limits`; a key
/// with a dot in it is named by the part above it only.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Path(pub Vec<String>);

impl Path {
    /// Whether the other one is this part or within it.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of the two is within the other.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.has(other) || other.has(self)
    }

    fn fault(&self) -> Option<String> {
        let section = self.0.first().map_or("", String::as_str);
        let good = ["tags", "desired"].contains(&section) && self.0.iter().all(|k| !k.is_empty());
        (!good).then(|| {
            format!(
                "section {self}: begin with `tags` or `desired`, and name keys below it by dots"
            )
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = Self(text.split('.').map(str::to_owned).collect());
        path.fault().map_or(Ok(path), Err)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Policy {
    /// Whether it allows or denies.
    pub effect: Effect,
    /// To whom; `*` is every principal.
    pub principals: Vec<String>,
    /// What: names of actions, `twin:*`, or `*`.
    pub actions: Vec<String>,
    /// On which twins. What is of the cluster takes `*`.
    pub on: Vec<Selector>,
    /// Of writes, in which parts; empty: in all.
    pub sections: Vec<Path>,
}

impl Policy {
    /// Whether it is about a principal.
    pub(super) fn is_to(&self, principal: &str) -> bool {
        self.principals.iter().any(|name| name == "*" || name == principal)
    }

    /// Whether it is about a principal and an action.
    pub(super) fn concerns(&self, principal: &str, action: Action) -> bool {
        self.is_to(principal) && self.actions.iter().any(|pattern| action.matches(pattern))
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let missing =
            |what: &str, example: &str| Some(format!("no {what}: name some, or {example}"));
        if self.principals.is_empty() {
            return missing("principals", "`*` for every one");
        }
        if self.actions.is_empty() {
            return missing("actions", "`*` for all");
        }
        if self.on.is_empty() {
            return missing("selectors", "`*` for all twins and the cluster");
        }
        if let Some(unknown) = self.actions.iter().find(|pattern| !Action::is_pattern(pattern)) {
            let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
            let names = names.join(", ");
            return Some(format!(
                "there is no action {unknown}: there are {names}, patterns such as `twin:*`, and `*`"
            ));
        }
        if !self.sections.is_empty() && self.actions != [Action::TwinWrite.name()] {
            return Some("sections are of writes: with them a policy has twin:write alone".into());
        }
        let selector = self.on.iter().find_map(Selector::fault);
        let section = || self.sections.iter().find_map(Path::fault);
        let weight = self.weight();
        selector.or_else(section).or_else(|| {
            (weight > POLICY_BYTES_MAX)
                .then(|| format!("{weight} bytes of text: at most {POLICY_BYTES_MAX} are taken"))
        })
    }

    /// What is wrong with it where it has a filter, if anything. What the filter says is for others to read.
    pub(super) fn filter_fault(&self, filter: &str) -> Option<String> {
        if filter.trim().is_empty() || filter.len() > POLICY_FILTER_BYTES_MAX {
            return Some(format!(
                "filter: it has {} bytes; it takes 1 to {POLICY_FILTER_BYTES_MAX}",
                filter.len()
            ));
        }
        let of_cluster = |pattern: &String| {
            Action::ALL.into_iter().any(|one| one.is_of_cluster() && one.matches(pattern))
        };
        let wrong = self.actions.iter().find(|pattern| of_cluster(pattern));
        let wrong = wrong.filter(|_| self.on.contains(&Selector::All));
        wrong.map(|action| {
            format!(
                "filter: it is about twins, and {action} on `*` is about the cluster, too: name actions of twins, or \
                 selectors such as `tenant/*`"
            )
        })
    }

    /// About the bytes that it takes.
    fn weight(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 8).sum::<usize>();
        let selectors: usize = self.on.iter().map(|one| one.to_string().len() + 17).sum();
        let sections: usize = self.sections.iter().map(|path| texts(&path.0) + 8).sum();
        texts(&self.principals) + texts(&self.actions) + selectors + sections
    }
}
