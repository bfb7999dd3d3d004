//! Bounds of the services, each with its reason. Bounds of what goes over the wire are in proto's
//! `limits`, those of a twin in twin's.

use std::time::Duration;

/// Connections of one door: services are tens, not thousands; beyond it new ones wait in the
/// kernel's queue.
pub(super) const CONNECTIONS_MAX: usize = 4096;
/// TLS handshakes under way at one door.
pub(super) const HANDSHAKES_MAX: usize = 256;
/// How long a TLS handshake may take.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Calls under way on one gRPC connection; a client with more waits.
pub(super) const STREAMS_MAX: u32 = 256;
/// Bytes of headers of one gRPC call: a refusal's metadata is the largest we know.
pub(super) const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of a request: twice the largest section that can be configured, for white space.
pub(super) const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024 + 64 * 1024;
/// How long the body of an HTTP request may take to arrive.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a call waits for its answer, if the caller names no shorter time.
pub(super) const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a caller may wait for the end of a command: longer than any proxy keeps a quiet call.
pub(super) const COMMAND_WAIT_MAX: Duration = Duration::from_secs(3600);
/// How much longer than the command's own deadline such a wait lasts, so that the answer is the
/// command's end and not a timeout.
pub(super) const COMMAND_WAIT_MARGIN: Duration = Duration::from_secs(2);
/// Watches open at once: each holds a few hundred events at most.
pub(super) const WATCHES_MAX: usize = 1024;
/// When a caller who found all watches taken should come back.
pub(super) const WATCH_RETRY_MS: u32 = 5_000;
/// Bytes of one page of a list: below the 4 MiB that gRPC clients take by default.
pub(super) const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes of rows after which a part of a query's answer goes out: many rows to a message, and far below what
/// gRPC clients take.
pub(super) const QUERY_PART_BYTES: usize = 256 * 1024;
/// Twins of a page unpacked at a time.
pub(super) const PAGE_PART: usize = 64;
/// How often health and readiness are looked at.
pub(super) const HEALTH_PERIOD: Duration = Duration::from_millis(200);
/// How often a silent connection is probed, so that a dead watcher does not stay.
pub(super) const PROBE_PERIOD: Duration = Duration::from_secs(20);
/// How long a stale read waits to become as fresh as asked: some times as long as a replica that
/// follows is behind.
pub(super) const STALE_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
pub(super) const STALE_PERIOD: Duration = Duration::from_millis(10);
/// Connections that were accepted and not yet taken by their server: a moment's worth.
pub(super) const ACCEPTED_MAX: usize = 16;
/// Pause after a connection could not be accepted, mostly for want of file descriptors: what helps is
/// that others close.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How much earlier than the caller's own deadline an answer must come, so that it still arrives.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_millis(20);
/// How often a silent watch says that it lives: below the shortest timeout of common proxies.
pub(super) const WATCH_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a subscription is read and written again when others write it at the same moment.
pub(super) const SUBSCRIPTION_TRIES: usize = 10;
/// How long is waited before that at most, longer by as much each time: the other's write is through by then.
pub(super) const SUBSCRIPTION_PAUSE_MS: u64 = 20;
/// How often all nodes are told to keep what filters of subscriptions are asked of: well within the time that
/// they keep it.
pub(super) const SUBSCRIPTIONS_KEPT_EVERY: Duration = Duration::from_secs(60);
/// How soon subscriptions are read again where that failed.
pub(super) const SUBSCRIPTIONS_RETRY: Duration = Duration::from_secs(1);
/// How often a consumer's acknowledgements are remembered, and is looked whether the turn is still its own.
pub(super) const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(500);
/// Those that share a subscription: all of them write its one record.
pub(super) const SHARERS_MAX: usize = 64;
/// So many of them write at that pace; more do it more slowly, so that they do not stand in each other's way.
pub(super) const SHARERS_AT_PACE: usize = 8;
/// When to come again who met too many others that write the record: some of their looks later.
pub(super) const SHARING_RETRY_MS: u32 = 1_000;
/// How often one that shares says that it is there.
pub(super) const SHARER_BEATS_EVERY: Duration = Duration::from_secs(2);
/// In how many of its looks one that shares is heard of, also where the record could not be written in one of them.
pub(super) const SHARER_LOOKS: u32 = 2;
/// What one that shares waits for another that says nothing new, beside two looks, before what that has goes to the others:
/// some beats and a change of owner.
pub(super) const SHARER_SILENT: Duration = Duration::from_secs(10);
/// For how long after it last said that it is there one that shares tells events: less than others wait for it, so
/// that nothing is told by one whose shards are another's.
pub(super) const SHARER_SURE: Duration = Duration::from_secs(8);
/// For how long a shard that is to go to another waits for what was told of it to be acknowledged.
pub(super) const SHARER_SETTLES: Duration = Duration::from_secs(10);
/// For how long one for whom there is no room looks whether others are gone: longer than it takes to know that.
pub(super) const SHARER_WAITS: Duration = Duration::from_secs(30);
/// Events of a consumer that wait for their turn.
pub(super) const CONSUMED_AHEAD: usize = 64;
/// Events that a consumer may have without acknowledging one, unless it says another number.
pub(super) const UNACKNOWLEDGED: u32 = 1_000;
/// The most that it may say: each position takes some bytes.
pub(super) const UNACKNOWLEDGED_MAX: u32 = 10_000;
/// Places without an event that a consumer may still acknowledge: some minutes of quiet.
pub(super) const PASSED_MAX: usize = 64;
/// Subscriptions of a tenant: all of them are read now and then.
pub(super) const SUBSCRIPTIONS_MAX: usize = 1_000;
/// How far a device's clock may be off when it asks for a credential: some have no better one.
pub(super) const PROVISION_SKEW_MS: u64 = 5 * 60 * 1000;
/// Devices a second that may ask a node for credentials: a works makes no more, and each costs a signature.
pub(super) const PROVISION_PER_S: u32 = 50;
/// So many at once after a quiet time.
pub(super) const PROVISION_BURST: u32 = 200;
/// Devices that one call puts in a group, or takes out.
pub(super) const MEMBERS_CHANGED_MAX: usize = 1_000;
/// Of those so many at once: they are of many shards.
pub(super) const MEMBERS_AT_ONCE: usize = 64;
/// Devices on a page of a job's, if the caller says nothing.
pub(super) const JOB_PAGE: usize = 100;
/// The most of them: some parts are read for it.
pub(super) const JOB_PAGE_MAX: usize = 1_000;
/// How often a job is looked at for whoever follows it: it is told as often.
pub(super) const JOB_LOOK: Duration = Duration::from_millis(250);
/// Imports at once: each holds some thousand devices.
pub(super) const IMPORTS_MAX: usize = 4;
/// Devices of one import that are being registered at once: some batches of every shard.
pub(super) const IMPORT_CALLS_MAX: usize = 1024;
/// How often an import says how far it is.
pub(super) const IMPORT_TOLD_EVERY: Duration = Duration::from_millis(500);
/// Refusals after which it says so at once: they wait in memory.
pub(super) const IMPORT_REFUSED_MAX: usize = 1000;
/// Bytes of the devices of an import that are all looked at before the first is registered: they wait in memory.
pub(super) const IMPORT_WHOLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Refused lines that an answer over HTTP shows one by one.
pub(super) const IMPORT_SHOWN_MAX: usize = 100;
/// How often a device of an import is tried while the node is busy: a minute or more.
pub(super) const IMPORT_TRIES: usize = 100;
/// How long a token for a joining node is good, if its maker says nothing: as long as it takes to set
/// a machine up.
pub(super) const TOKEN_TIME: Duration = Duration::from_secs(3600);
/// The longest that can be asked for: a token lets a stranger in.
pub(super) const TOKEN_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a token of a principal is good, if its maker says nothing: a quarter of a year, after which somebody has
/// looked whether it is needed.
pub(super) const ACCESS_TOKEN_MS: u64 = 90 * 24 * 3600 * 1000;
/// The shortest: enough for one call.
pub(super) const ACCESS_TOKEN_MS_MIN: u64 = 1_000;
/// The longest: what nobody has looked at for two years is forgotten.
pub(super) const ACCESS_TOKEN_MS_MAX: u64 = 2 * 365 * 24 * 3600 * 1000;
/// Entries of the audit in one answer, if the caller says nothing.
pub(super) const AUDIT_PAGE: usize = 100;
/// The most of them.
pub(super) const AUDIT_PAGE_MAX: usize = 1000;
/// How often an open watch is looked at that nothing changed for: its node may no longer hear of changes.
pub(super) const WATCH_LOOK: Duration = Duration::from_secs(5);
/// Artifacts on a page, if the caller says nothing.
pub(super) const ARTIFACT_PAGE: usize = 100;
/// The most of them.
pub(super) const ARTIFACT_PAGE_MAX: usize = 1_000;
/// When to come again who found all turns to bring or fetch an artifact taken: one takes seconds.
pub(super) const UPLOAD_RETRY_MS: u32 = 5_000;
/// Pieces of an artifact that are read before its reader takes them.
pub(super) const READ_AHEAD: usize = 2;
/// Bytes of an artifact that come at least within [`UPLOAD_PACE_TIME`]: a line of some 70 kbit/s is in time, and who holds
/// one of the few turns for nothing is not.
pub(super) const UPLOAD_BYTES_MIN: u64 = 512 * 1024;
/// For how long that is counted.
pub(super) const UPLOAD_PACE_TIME: Duration = Duration::from_secs(60);
