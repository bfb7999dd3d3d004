//! A fleet's control side through the real program: registry, access, queries, change streams, jobs, clients.

mod access;
mod artifacts;
mod certificates;
mod claims;
mod client_access;
mod client_downloads;
mod clients;
mod filters;
mod find;
mod issuer;
mod jobs;
mod positions;
mod query;
mod registry;
mod shared;
mod subscriptions;
mod telemetry;
mod tenants;
mod tour;
mod types;
