//! Who calls, and whether they may: callers prove who they are by a token, and each call is checked by the policies
//! that the cluster agrees on, at the door that it comes to and at the node that carries it out. Owns secrets,
//! clocks and keys; what a policy means is cluster/'s `access`.
//!
//! Start reading at [`Doorman`]; `asked` says which action a call is, `book` has the policies with their filters, which
//! the twin itself is asked for where its tags or groups decide, `narrow` bounds questions about many twins by them, `root` is the way in for those who have the
//! node's disk, `issuer` knows the tokens of others (OpenID Connect), by `keys` that it reads or has fetched (`refresh` says when, `web`
//! does it from a `place`), `guard` checks for other nodes.

mod asked;
mod book;
mod caller;
mod doorman;
mod guard;
mod issuer;
mod keys;
mod narrow;
mod place;
mod refresh;
mod root;
mod secret;
mod web;

pub(crate) use book::{Known, PolicyBook};
pub(crate) use caller::Caller;
pub(crate) use doorman::Doorman;
pub(crate) use guard::Guard;
pub use issuer::try_issuer;
pub(crate) use narrow::{Narrowed, Shows};
pub(crate) use place::Place;
pub use root::ROOT_TOKEN_FILE;
pub(crate) use secret::Secret;
