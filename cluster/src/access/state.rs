//! What is agreed on about access. Owns the state and looking into it; changes are in `rules`.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::Audited;
use super::policy::Policy;
use super::principal::{Principal, Token};

/// The name of whoever has the secret of a node's data directory. It may do everything, as it could be a node.
pub const ROOT: &str = "root";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Access {
    /// Principals by name.
    pub principals: BTreeMap<String, Principal>,
    /// Tokens by what finds them.
    pub tokens: BTreeMap<u64, Token>,
    /// Policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Filters of those of them that have one, by the same name: beside them, so that those without have the bytes that
    /// older programs know.
    pub filters: BTreeMap<String, String>,
    /// The newest of what was changed, oldest first.
    pub audit: Vec<Audited>,
}

/// Of which twins alone something may be shown that was asked of many: those for which these filters hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds<'a> {
    /// One of these has to hold; none where all twins are allowed.
    pub within: Vec<&'a str>,
    /// None of these may.
    pub without: Vec<&'a str>,
}

impl Access {
    /// What of it is about a principal: all that it may is decided by that as it is by the whole.
    #[must_use]
    pub fn of(&self, principal: &str) -> Self {
        let mut of = Self::default();
        let known = self.principals.get_key_value(principal);
        of.principals.extend(known.map(|(name, one)| (name.clone(), one.clone())));
        for (name, policy) in self.policies.iter().filter(|(_, one)| one.is_to(principal)) {
            of.policies.insert(name.clone(), policy.clone());
            of.filters.extend(self.filters.get(name).map(|text| (name.clone(), text.clone())));
        }
        of
    }

    /// The principal whom an issuer knows by a name.
    #[must_use]
    pub fn known_as(&self, issuer: &str, subject: &str) -> Option<&str> {
        let named = |principal: &Principal| {
            principal.subjects.iter().any(|one| one.issuer == issuer && one.subject == subject)
        };
        self.principals.iter().find(|(_, one)| named(one)).map(|(name, _)| name.as_str())
    }

    /// The tokens of a principal, by what finds them.
    pub fn tokens_of(&self, principal: &str) -> impl Iterator<Item = (u64, &Token)> {
        let of = move |(_, token): &(&u64, &Token)| token.principal == principal;
        self.tokens.iter().filter(of).map(|(id, token)| (*id, token))
    }
}
