//! Bounds of the client, each with its reason.

use std::time::Duration;

/// Bytes of one answer: a page of full twins may be large.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Patience for a connection; a node that is there answers at once.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a call may take in all, unless said otherwise: some elections.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a watch or a consumer looks for a node after its stream broke, unless said otherwise: longer than
/// a node takes to start again.
pub(crate) const RESUME: Duration = Duration::from_secs(60);
/// How often a connection without traffic is probed, so that streams notice a node that is frozen or cut off.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long such a probe waits.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(5);
/// A refusal that asks for a longer pause than this is the caller's to wait for.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The first pause after all nodes were tried; it doubles from there.
pub(crate) const BACKOFF: Duration = Duration::from_millis(50);
/// The longest.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Attempts of one call: with these pauses no usual patience allows more.
pub(crate) const ATTEMPTS_MAX: u32 = 64;
/// Connections of one call that break as nodes' do not: what is there may be no node.
pub(crate) const BROKEN_MAX: u32 = 3;
/// Events after the last position that a watch remembers, to know them when they come again. Nodes give positions
/// far more often; those beyond may be told twice.
pub(crate) const REMEMBERED_MAX: usize = 10_000;
/// Acknowledgements of a consumer that wait to be sent: each stands for those before it.
pub(crate) const SAID_AHEAD: usize = 1024;
/// Nodes of which one client asks: all others are found through any.
pub(crate) const NODES_MAX: usize = 64;
/// Of a list that is asked for page after page, what one page holds: the most that nodes give.
pub(crate) const PAGE: u32 = 1_000;
/// The same of jobs, each of which may be some ten thousand bytes.
pub(crate) const JOBS_PAGE: u32 = 100;
