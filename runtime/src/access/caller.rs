//! Somebody who calls, as far as this node knows who it is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A caller at a door of this node.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Its name: the principal's, or what it calls itself where access is open.
    pub(crate) name: Arc<str>,
    /// How that was proven.
    pub(crate) proof: Proof,
    /// From when on the proof is worth nothing, in milliseconds since 1970.
    pub(crate) until_ms: Option<u64>,
    /// Where it calls from, if that is known.
    pub(crate) from: Option<IpAddr>,
}

/// How somebody proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all: access is open.
    Nothing,
    /// By a token that the cluster issued.
    Token(u64),
    /// By a token that somebody else signed.
    Issuer(Arc<str>),
    /// By the secret of a node's data directory.
    Root(u64),
}

impl Caller {
    /// Whether what it does is checked.
    pub(crate) fn is_proven(&self) -> bool {
        self.proof != Proof::Nothing
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Token(id) => write!(f, "token {id:016x}"),
            Self::Issuer(issuer) => write!(f, "issuer {issuer}"),
            Self::Root(node) => write!(f, "root of node {node}"),
        }
    }
}
