//! What can be asked of the agreed state about access, and of the audit. Owns the words; what they do is in `rules`.

use rkyv::{Archive, Deserialize, Serialize};

use super::policy::Policy;
use super::principal::{Principal, Token};
use crate::fleet;

/// A change, with who asked for it. Repeating one that was done changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Order {
    /// Its random name.
    pub id: u128,
    /// The time, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node that was asked.
    pub node: u64,
    /// Who asked.
    pub who: String,
    /// How that was proven.
    pub via: String,
    /// The address that it came from.
    pub from: String,
    /// What is asked.
    pub change: Change,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Change {
    /// A principal shall be there, and be like this.
    PutPrincipal {
        /// Its name.
        name: String,
        /// What it is.
        principal: Principal,
    },
    /// A principal shall be gone, with its tokens.
    RemovePrincipal {
        /// Its name.
        name: String,
    },
    /// A further token of a principal.
    IssueToken {
        /// By which it is found.
        id: u64,
        /// What is kept of it.
        token: Token,
    },
    /// A token shall be worth nothing from now on.
    RevokeToken {
        /// By which it is found.
        id: u64,
    },
    /// A policy shall be there, and be like this.
    PutPolicy {
        /// Its name.
        name: String,
        /// What it says.
        policy: Policy,
    },
    /// A policy shall be gone.
    RemovePolicy {
        /// Its name.
        name: String,
    },
    /// Something else is about to be done, which the audit shall show.
    Begin {
        /// What.
        what: String,
        /// Of what.
        on: String,
    },
    /// Something about devices in general. Behind a pointer, so that it leaves the others as small as they were.
    Fleet(Box<fleet::Change>),
    /// What came of that: the order that began it has the same name.
    End {
        /// `done`, or why not.
        result: String,
    },
    /// A policy shall be there, and be like this, where its filter holds. Behind a pointer, as above.
    PutFilteredPolicy(Box<Filtered>),
}

/// A policy that counts only where a filter holds.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Filtered {
    /// Its name.
    pub name: String,
    /// What it says.
    pub policy: Policy,
    /// Where it counts: over the id, the groups and the tags of a device.
    pub filter: String,
}
