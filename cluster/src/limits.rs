//! Every bound of this room, each with the reason for its value. Owns no logic.

/// Default size of one log segment: large enough that rotation (two syncs) is rare at full speed,
/// small enough that zero-filling a spare one takes well under a second.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Smallest segment the log accepts: tests use it to see many rotations in little data.
pub const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
/// Largest segment: offsets inside a segment are 32 bits wide in the format.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Segments kept ready by default: one for the next rotation, one as the reserve that lets
/// writes end in good order when the disk is full.
pub const SPARE_SEGMENTS_DEFAULT: usize = 2;
/// Freed segment files kept for recycling beside the ready ones: a burst of purges frees several at
/// once and writing zeros again would cost more than keeping them; more would waste the disk.
pub const RECYCLED_SEGMENTS_MAX: usize = 2;
/// Most bytes taken from the queue for one write and one sync: at about 1 GB/s this is 4 ms, the
/// longest that one group's small write waits behind another's large one.
pub const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes waiting in the log's queue; beyond it appends wait. Several full drains, so that the
/// writer never starves, and far below what would hurt memory.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most requests waiting in the log's queue, so that tiny requests are bounded as well.
pub const QUEUE_REQUESTS_MAX: usize = 64 * 1024;
/// Largest entry: one batch of changes is at most 1 MiB, and its envelope is small.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;
/// Entries are cut into frames of about this size: one checksum covers one frame, and a frame is
/// what a torn write can take away.
pub const FRAME_BYTES_TARGET: usize = 256 * 1024;
/// A front segment with fewer live bytes than a segment's size divided by this is emptied by
/// rewriting: idle groups then cost at most this fraction in extra writes.
pub const REWRITE_FRACTION: usize = 16;
/// Segments in use before rewriting starts: with fewer there is nothing worth winning.
pub const REWRITE_SEGMENTS_MIN: usize = 3;
/// How often the preparing of a spare segment is tried again after it failed (full disk).
pub const SPARE_RETRY_MS: u64 = 500;
/// Zeros are written in pieces of this size when a segment is prepared, so that the log's own sync
/// is never behind more than one of them.
pub const ZERO_CHUNK_BYTES: usize = 1024 * 1024;
/// Groups one log can carry: the meta group and at most 1,024 shards, with room.
pub const GROUPS_MAX: usize = 4096;
/// Entries read at once for replication: a follower's catch-up must not pin the node's memory.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shortest heartbeat: below it the ticks of many groups cost more than the sooner election is worth.
pub const HEARTBEAT_MS_MIN: u64 = 10;
/// A voter is handed the leadership only if it answered within this many heartbeats: one may be
/// under way.
pub const HAND_OVER_HEARTBEATS: u64 = 2;
/// A learner further behind than this does not become a voter: a majority that counts on it would
/// wait for it.
pub const PROMOTE_LAG_MAX: u64 = 1000;
/// How often a learner's progress is looked at while somebody waits for it.
pub const PROGRESS_POLL_MS: u64 = 10;
/// Requests waiting for one group's consensus core. Back-pressure for proposers begins here.
pub const GROUP_REQUESTS_MAX: u64 = 4096;
/// Commands waiting for one group's state machine before its consensus core waits.
pub const APPLY_COMMANDS_MAX: u64 = 256;
/// Internal notices of one group (ticks, syncs, acknowledgements) before their senders wait.
pub const NOTICES_MAX: u64 = 4096;
/// Entries merged into one append of the log.
pub const APPEND_ENTRIES_MAX: u64 = 4096;
/// Entries of one replication message; its bytes are bounded by [`READ_BYTES_MAX`].
pub const REPLICATE_ENTRIES_MAX: u64 = 300;
/// A follower further behind than this gets a snapshot instead of entries.
pub const REPLICATION_LAG_MAX: u64 = 50_000;
/// Entries kept behind a checkpoint by default: a short outage of a replica is then served from
/// the log.
pub const KEEP_ENTRIES_DEFAULT: u64 = 5_000;
/// Bytes kept behind a checkpoint by default, whatever the number of entries.
pub const KEEP_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;
/// Memberships remembered between two checkpoints of a group; a change of members is rare, and
/// a checkpoint follows long before this many.
pub const MEMBERSHIPS_MAX: usize = 1024;
/// Largest answer or message accepted from a peer.
pub const PEER_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one piece of a snapshot on its way to a peer.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Nodes the meta group will list: far more than any cluster planned, small enough to send whole.
pub const META_NODES_MAX: usize = 10_000;
/// Shards of a cluster.
pub const META_SHARDS_MAX: u32 = 1024;
/// Replicas of one shard.
pub const META_REPLICAS_MAX: usize = 7;
/// Voters of the meta group: five survive the loss of two, more would only make each decision dearer.
pub const META_VOTERS_MAX: u32 = 5;
/// Nodes that follow the meta group without a vote; its leader sends each of them every decision.
pub const META_LEARNERS_MAX: usize = 1000;
/// Largest command or image of the meta group: [`META_NODES_MAX`] nodes with the longest names and
/// addresses take 13 MB.
pub const META_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest name of a node or a zone: what fits into a line of a listing.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest advertised address: a domain name has at most 253 characters, and a port is added.
pub const ADDRESS_BYTES_MAX: usize = 260;
/// A node's weight when nothing is said: a hundred, so that a share can be given in percent of it.
pub const WEIGHT_DEFAULT: u32 = 100;
/// Largest weight: a hundred times the usual machine, and sums of weights stay far from overflow.
pub const WEIGHT_MAX: u32 = 10_000;
/// Tokens that can let nodes in at once: a rack is rolled out with one each.
pub const TOKENS_MAX: usize = 1000;
/// Shortest life of a token: time to carry it to the other machine.
pub const TOKEN_TTL_MS_MIN: u64 = 10_000;
/// Longest life of a token: a week of preparing; what lies around longer gets lost.
pub const TOKEN_TTL_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// How much the clock that judges a token may be behind the one that dated it: well above the
/// difference at which a node may not own any more.
pub const TOKEN_SKEW_MS: u64 = 60_000;
/// Authorities accepted at once: the old and the new one while certificates change over.
pub const ROOTS_MAX: usize = 2;
/// Largest certificate of an authority: ours take under 1 KiB, RSA ones of others under 4.
pub const ROOT_BYTES_MAX: usize = 8 * 1024;
/// Owners moved at once by default: more at a time would be an election storm (four
/// were harmless at 256 groups).
pub const TRANSFERS_DEFAULT: u32 = 4;
/// Most owners moved at once that can be set.
pub const TRANSFERS_MAX: u32 = 64;
/// Groups that change their replicas at once by default: each copies a whole shard.
pub const MOVES_DEFAULT: u32 = 4;
/// Most groups changing their replicas at once that can be set.
pub const MOVES_MAX: u32 = 64;
/// How far a node's load may be from the mean before owners move: below it devices' own ups and downs
/// would move them.
pub const THRESHOLD_PERCENT_DEFAULT: u32 = 10;
/// Largest threshold that can be set; beyond it pausing is what is meant.
pub const THRESHOLD_PERCENT_MAX: u32 = 100;
/// Replicas of a shard by default: three survive the loss of one.
pub const REPLICAS_DEFAULT: u32 = 3;
/// A silent node is taken for lost after this long by default: a reboot is over by then, and copying
/// its data for nothing would cost more than waiting.
pub const LOST_AFTER_MS_DEFAULT: u64 = 5 * 60 * 1000;
/// Shortest time that can be set: below it a slow restart would copy shards about.
pub const LOST_AFTER_MS_MIN: u64 = 10_000;
/// A node that nobody heard for this long is not counted on: ten heartbeats and more.
pub const SILENT_MS: u64 = 3_000;
/// Entries a replica may lack and count as caught up: they are sent within a heartbeat or two.
pub const CAUGHT_UP_ENTRIES: u64 = 1_000;
/// A node that came back owns nothing for this long: it catches up first, and one that restarts over and
/// over is left alone.
pub const OWNER_RETURN_MS: u64 = 15_000;
/// Owners handed to one node at once: its devices come with them, and handshakes cost.
pub const TRANSFERS_PER_NODE_MAX: usize = 2;
/// A transfer that shows no effect for this long has failed; they take milliseconds when all is well.
pub const TRANSFER_MS_MAX: u64 = 5_000;
/// A step whose effect is not seen is asked for again after this long.
pub const ASK_AGAIN_MS: u64 = 5_000;
/// Loads are smoothed over about this long: bursts of devices are over by then.
pub const LOAD_SMOOTHING_MS: u64 = 30_000;
/// Loads are observed for this long before anything moves for them.
pub const LOAD_OBSERVED_MS_MIN: u64 = 60_000;
/// A shard that was moved for its load rests for this long, so that its new owner's load is known.
pub const LOAD_REST_MS: u64 = 300_000;
/// Threshold of an evening that was asked for: people want to see it even.
pub const REBALANCE_PERCENT: u32 = 2;
/// Messages a second and shard below which their distribution is noise.
pub const LOAD_MESSAGES_FLOOR: u64 = 20;
/// Sessions a shard below which their distribution is noise.
pub const LOAD_SESSIONS_FLOOR: u64 = 100;
/// Bytes a shard below which their distribution is noise.
pub const LOAD_BYTES_FLOOR: u64 = 1024 * 1024;
/// A clock further off its peers' median than this may not date what a shard decides.
pub const CLOCK_OFF_MS: u64 = 5_000;
/// Within this a clock that was off is trusted again: the room between keeps it from coming and going.
pub const CLOCK_BACK_MS: u64 = 4_000;
/// Peers it takes to say whose clock is wrong: of two clocks that differ nobody can tell.
pub const CLOCK_PEERS_MIN: usize = 2;
/// Largest snapshot taken in from a peer: it is collected in memory before it is installed.
pub const INCOMING_SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
