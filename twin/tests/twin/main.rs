//! The `Twin` machine from outside: one file per group of inputs, each a table of what goes in and
//! what must come out; then laws, as properties, and the bytes at rest.
#![cfg(test)]

mod any;
mod command;
mod common;
mod delete;
mod desire;
mod glance;
mod id;
mod image;
mod json;
mod key;
mod kinds;
mod laws;
mod limit;
mod lineage;
mod patch;
mod quarantine;
mod read;
mod register;
mod report;
mod restore;
mod result;
mod rights;
mod session;
mod telemetry;
mod types;
