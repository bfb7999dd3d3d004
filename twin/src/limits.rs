//! Bounds of everything a twin holds, each with its reason. The configurable ones are defaults of
//! [`Limits`], checked where an input is decided, never in apply (safety rule 9).

use core::num::NonZeroU64;

/// Bytes of a tenant or device id: fits a certificate's name and a path segment.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of one section as JSON: eight times what AWS IoT allows, still one datagram train.
pub const SECTION_BYTES_MAX: usize = 64 * 1024;
/// Nesting of a value: deeper documents are mistakes or attacks; bounds every recursion.
pub const DEPTH_MAX: usize = 16;
/// No configuration raises the depth beyond this: images are read no deeper, on any node.
pub const DEPTH_CEILING: usize = 60;
/// Bytes of one key in an object: longer ones are data, not names.
pub const KEY_BYTES_MAX: usize = 256;
/// Keys of one object: keeps a merge of sorted keys short.
pub const OBJECT_KEYS_MAX: usize = 1024;
/// Reports of one device in flight: how many answers a twin remembers for resends.
pub const REPORTS_IN_FLIGHT_MAX: usize = 64;
/// Latest telemetry values of a twin: a device has tens of sensors, not thousands.
pub const TELEMETRY_KEYS_MAX: usize = 256;
/// Bytes of one telemetry value as JSON: a reading, not a document.
pub const TELEMETRY_VALUE_BYTES_MAX: usize = 1024;
/// Live (queued or delivering) commands of one twin.
pub const COMMANDS_LIVE_MAX: usize = 32;
/// Calls that wait in one twin for the end of a command: eight for each live one.
pub const CALLS_WAITING_MAX: usize = 256;
/// When a call that found no place to wait may come back: commands that devices answer take about
/// as long.
pub const WAITING_RETRY_MS: u32 = 1_000;
/// Finished commands kept to be asked about.
pub const COMMANDS_DONE_MAX: usize = 16;
/// Bytes of a command's payload or answer.
pub const COMMAND_BYTES_MAX: usize = 16 * 1024;
/// Longest life of a command: a week of being offline.
pub const COMMAND_DEADLINE_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Idempotency keys remembered per twin; when all are within their window, writes are refused.
pub const KEYS_MAX: usize = 512;
/// Keys that nodes made for calls without one remembered per twin: what may be decided on a twin that is
/// written often between an attempt and its repetition would take more than twins should.
pub const ENTRY_KEYS_MAX: usize = 16;
/// How long an idempotency key is remembered: longer than any sane retry.
pub const KEY_WINDOW_MS: u64 = 5 * 60 * 1000;
/// Bytes of an idempotency key as the caller gives it: a UUID with room.
pub const KEY_TEXT_BYTES_MAX: usize = 128;
/// Bytes of free text in a name, a reason or a caller.
pub const TEXT_BYTES_MAX: usize = 256;

/// Bytes of a batch, beyond which another begins: a quarter of the 1 MiB that an entry of the log
/// may have, as one decision more may be added to a batch that is nearly full.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Batches of one shard on their way: one being written while the next is being handed over.
pub const BATCHES_IN_FLIGHT_MAX: usize = 2;
/// How long a batch may be kept in which there are only ends of sessions, and which nobody waits for:
/// when devices come and go, the next hello of the shard takes it along. A presence that is stale by
/// so much is nothing beside the seconds that a silent device needs to be missed.
pub const LINGER_MS: u64 = 100;
/// Bytes that changes and outputs of one shard may hold while they wait for the log: some tens of
/// batches, so that a slow disk is felt by senders within a second.
pub const GATE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a twin is quiet before it is let go: longer than most devices' reporting interval.
pub const IDLE_MS: u64 = 10 * 60 * 1000;
/// Quiet twins looked at in one turn, some tenths of a millisecond; the rest are due at once again.
pub const QUIET_TURN_MAX: usize = 1024;
/// Pause before an opening or a read barrier that failed is tried again: well below an election,
/// and slow enough not to burden a log that is in trouble.
pub const RETRY_MS: u64 = 50;
/// Twins of one table that are kept unpacked: those that report within a second or so, at some
/// kilobytes each.
pub const HOT_TWINS_MAX: usize = 2048;
/// Bytes of their documents, about: what the number above comes to with documents of 4 KiB.
pub const HOT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Pictures of one table under way at once: more replicas than these are not brought up together.
pub const PICTURES_MAX: usize = 4;
/// Bytes of images that a picture holds because their twins changed before their turn. They go out
/// first, so that only a link slower than the changes gets here; the picture is then given up.
pub const PICTURE_EARLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Twins of a picture looked at in one turn: tenths of a millisecond, for which nothing is applied.
pub const PICTURE_TURN_MAX: usize = 512;

/// Groups that one device may be put in: places, owners and kinds of a device are few.
pub const GROUPS_MAX: usize = 16;
/// When to come back where a twin was checked by a version of its type that this owner did not hear of yet: all nodes
/// hear of it within moments.
pub const TYPES_RETRY_MS: u32 = 200;
/// Bytes of each text that says what a schema found wrong: a twin remembers it for resends.
pub const VIOLATION_BYTES_MAX: usize = 256;

/// How long a deleted twin can be brought back: a week, in which somebody misses it.
pub const RESTORABLE_MS: u64 = 7 * 24 * 3600 * 1000;

/// Credentials of one device: two of each kind while they are changed, and some more.
pub const CREDENTIALS_MAX: usize = 8;

/// Which devices may come, as the operator wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// Any that proves itself and is not disabled: it is registered just in time.
    #[default]
    Proven,
    /// Only those that were registered before.
    Registered,
}

impl Admission {
    /// By the name that operators write.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "proven" => Some(Self::Proven),
            "registered" => Some(Self::Registered),
            _ => None,
        }
    }
}
/// Paths of a table that may have an index: each costs some bytes a twin, and something at each change.
pub const INDEXES_MAX: usize = 16;
/// Bytes of a text that an index knows: longer ones are prose, and found by what they begin with.
pub const INDEXED_TEXT_BYTES_MAX: usize = 256;
/// The part of a table's twins up to which an index is worth asking: one in so many. Beyond it, looking at
/// all costs no more than finding each.
pub const INDEX_PART: usize = 4;
/// So few twins are always found rather than looked for.
pub const INDEX_FEW: usize = 128;

/// The bounds that an operator may raise, as the owner checks them when it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`SECTION_BYTES_MAX`].
    pub section_bytes_max: usize,
    /// See [`DEPTH_MAX`].
    pub depth_max: usize,
    /// See [`KEY_BYTES_MAX`].
    pub key_bytes_max: usize,
    /// See [`OBJECT_KEYS_MAX`].
    pub object_keys_max: usize,
    /// See [`COMMAND_BYTES_MAX`].
    pub command_bytes_max: usize,
    /// Which devices may come.
    pub admission: Admission,
    /// How long a deleted twin can be brought back; see [`RESTORABLE_MS`].
    pub restorable_ms: Option<NonZeroU64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            section_bytes_max: SECTION_BYTES_MAX,
            depth_max: DEPTH_MAX,
            key_bytes_max: KEY_BYTES_MAX,
            object_keys_max: OBJECT_KEYS_MAX,
            command_bytes_max: COMMAND_BYTES_MAX,
            admission: Admission::default(),
            restorable_ms: NonZeroU64::new(RESTORABLE_MS),
        }
    }
}
