//! One running node: actors, shards, gate and table drivers, checkpoints, device endpoint,
//! services, metrics. It carries machines of twin/ and cluster/ and decides nothing about twins or
//! ownership itself.

pub mod config;
pub mod metrics;
pub mod pki;
