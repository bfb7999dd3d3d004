//! The log against a model: power failures at every byte, every bit of damage, restarts, purges, full
//! disks, failing syncs.

mod damage;
mod life;
mod model;
