//! What tenants may have of the cluster, as this node holds them to it: `book` knows the limits and counts what comes
//! by, `share` says how many devices a shard may make room for, `divide` how a rate is shared among nodes. What the
//! limits are, the meta group agrees on; what a tenant has, the tables of shards count.

mod book;
mod divide;
mod share;

pub(crate) use book::{TenantBook, Told, Used};
pub(crate) use divide::divide;
pub(crate) use share::{Asked, Step, give_back, step};
