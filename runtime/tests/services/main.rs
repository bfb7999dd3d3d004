//! A node as services meet it, over real sockets: every call at both doors, every refusal, and bad
//! input. What a twin decides is tested in twin/; here it is what goes over the wire.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod bad_http;
mod calls_grpc;
mod calls_http;
mod commands;
mod house;
mod stale;
mod tls;
mod watch;
