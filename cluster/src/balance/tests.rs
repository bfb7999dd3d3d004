//! Tests of the balancer: the stages of one move by example (`stages`), the choice of owners (`load`), and seeded
//! clusters in a plain loop (`world`, `lives`).

mod lives;
mod load;
mod stages;
mod world;
