//! Who may do what: principals and how they prove who they are, policies as data, the decision, and the list of
//! what was changed by whom. Owns the pure machine and its words; leaves agreeing on it to `meta/`, and checking
//! tokens against a clock and callers at a door to the runtime.
//!
//! A policy allows or denies actions, to principals, on twins (or on the cluster), and for writes in parts of
//! a twin; with a filter, on those twins for which that holds. What no policy allows is refused, and what one denies is
//! refused whatever others allow. Filters are text here: whoever decides brings what they say.

mod action;
mod audit;
mod decide;
mod order;
mod policy;
mod principal;
mod rules;
mod selector;
mod state;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use audit::Audited;
pub use decide::{Decision, Fit, On, Refused};
pub use order::{Change, Filtered, Order};
pub use policy::{Effect, Path, Policy};
pub use principal::{Principal, Subject, Token};
pub(crate) use rules::{Changed, Fault};
pub use selector::Selector;
pub use state::{Access, Bounds, ROOT};
