//! Bounds of the clients, each with its reason.

use std::time::Duration;

/// Between two calls of one client: a history of some minutes stays within ten thousands of calls.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// How long a service waits for one answer: more than an election, and less than a test.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection may take: a node on the same machine answers or is not there.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// How often a call with a key is made again: a minute of nodes that do not answer.
pub(super) const TRIES: u64 = 600;
/// How long the last answers are waited for, on a busy machine.
pub(super) const LAST: Duration = Duration::from_secs(120);
/// How often something is looked for in that time.
pub(super) const LAST_TRIES: u64 = 6_000;
/// For how long a command is worth doing.
pub(super) const COMMAND_MS: u64 = 3_000;
