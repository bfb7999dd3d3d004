//! Bounds of artifacts on a node, each with its reason. How many there may be is in cluster's `limits`, how large one
//! is in the configuration.

use std::time::Duration;

/// Artifacts that are brought to a node at once: each writes to the disk that the log is on.
pub(crate) const UPLOADS_MAX: usize = 8;
/// Artifacts that a node gives to devices at once: each reads the disk, and holds some pieces in memory. A fleet that
/// is updated waits in turns.
pub(crate) const DOWNLOADS_MAX: usize = 256;
/// Artifacts that services read from a node at once: no device waits for them.
pub(crate) const READS_MAX: usize = 64;
/// Bytes of one piece on its way: what a read of the disk is worth, and a fraction of what peers have under way.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that wait in memory before they are written: few trips to the disk, and nothing beside a gate.
pub(crate) const WRITE_BYTES: usize = 512 * 1024;
/// Pieces of them, however small.
pub(crate) const WRITE_PIECES: usize = 1024;
/// Bytes after which what was written is brought onto the disk: the last sync is short, and so is what a sync of the log
/// on the same disk waits for.
pub(crate) const SYNC_BYTES: usize = 8 * 1024 * 1024;
/// How long another node may take to say how far it is with what it shall hold; it says so sooner.
pub(crate) const HOLD_ASK: Duration = Duration::from_secs(10);
/// How long a node that is asked waits for what it fetches before it says how far it is.
pub(crate) const HOLD_WAIT: Duration = Duration::from_secs(2);
/// Pause before a node is asked again that did not answer.
pub(crate) const HOLD_RETRY: Duration = Duration::from_millis(300);
/// A node that comes no further for so long counts no more: longer than an election and a stalled disk.
pub(crate) const HOLD_STALLED: Duration = Duration::from_secs(20);
/// How long all of that may take: much less than what nobody names yet is kept, so that who held it first still does.
pub(crate) const SPREAD_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the next piece from another node may take.
pub(crate) const PIECE_WAIT: Duration = Duration::from_secs(15);
/// How often it is looked for what is missing here, or nobody names, when nothing has changed.
pub(crate) const KEEP_EVERY: Duration = Duration::from_secs(30);
/// How soon what could not be fetched is tried again.
pub(crate) const KEEP_RETRY: Duration = Duration::from_secs(2);
/// For how long a file is kept that nobody names: an upload whose record is not decided yet must not lose it, and who
/// reads one may read it to its end.
pub(crate) const UNNAMED_KEPT: Duration = Duration::from_secs(3600);
/// How much may be fetched at once after a quiet time, as time at the pace.
pub(crate) const PACE_BURST: Duration = Duration::from_millis(100);
/// Bytes of what nodes say to each other about an artifact: digests and numbers.
pub(crate) const ASKED_BYTES_MAX: usize = 1024;
