//! The `Twin` machine from outside: one file per group of inputs, each a table of what goes in and
//! what must come out; then laws, as properties.

mod common;
mod report;
