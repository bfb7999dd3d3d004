//! Every bound of this room, each with the reason for its value. Owns no logic.

use std::time::Duration;

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
/// How often the log's queue is looked at again before a sync: each look takes what came during the
/// one before, so that a sync covers the burst that woke the writer; bounded, so that no trickle
/// keeps the first of it waiting.
pub const LOOKS_MAX: usize = 64;
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
/// Longest that a sync is slowed down in a trial: far beyond what any test asks of a slow disk.
pub const SLOWED_BY_MS_MAX: u64 = 10_000;
/// Groups one log can carry: the meta group and at most 1,024 shards, with room.
pub const GROUPS_MAX: usize = 4096;
/// Entries read at once for replication: a follower's catch-up must not pin the node's memory.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shortest heartbeat: a beat, as groups tick no more often.
pub const HEARTBEAT_MS_MIN: u64 = BEAT_MS;
/// A voter is handed the leadership only if it answered within this many heartbeats: one may be
/// under way.
pub const HAND_OVER_HEARTBEATS: u64 = 2;
/// A learner further behind than this does not become a voter: a majority that counts on it would
/// wait for it.
pub const PROMOTE_LAG_MAX: u64 = 1000;
/// How often a leader that was just elected looks whether a majority has answered: a round trip with a flush
/// takes about as long. It looks less often the longer it takes.
pub const FIRST_ANSWER_LOOK_MS: u64 = 1;
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
/// From one beat of all groups to the next: a tick waits for one. As long as the library's ticks are with a
/// heartbeat of 100 ms, so that they are as many as before, and a third of the fastest heartbeats in use.
pub const BEAT_MS: u64 = 20;
/// A wait of at least this long is a tick: the library's shortest, with the shortest heartbeat, is longer.
pub const TICK_MS_MIN: u64 = 1;
/// Pieces of one snapshot: of the usual 256 KiB they are 256 GiB, more than a node holds in memory, and
/// what is remembered of them is 8 MiB.
pub const SNAPSHOT_PIECES_MAX: u32 = 1024 * 1024;
/// How long a piece may take to be answered before it is sent again: it waits behind a full lane, and for a
/// disk that has other work.
pub const SNAPSHOT_PIECE_MS_MAX: u64 = 2_000;
/// First wait before a piece is sent again that got no answer; it doubles.
pub const SNAPSHOT_RETRY_MS: u64 = 50;
/// Longest such wait: a peer that is back gets the next piece within a second.
pub const SNAPSHOT_RETRY_MS_MAX: u64 = 1_000;
/// A transfer is given up when a piece has got no answer for this long: a node that is back by then goes on
/// with it, while the cut of the state is held for one that is gone.
pub const SNAPSHOT_UNANSWERED_MS_MAX: u64 = 30_000;
/// Bytes of snapshots that leave a node per second by default: twice what catching up asks for, while a
/// 10 Gbit/s network has nine tenths left.
pub const SNAPSHOT_BYTES_PER_S_DEFAULT: u64 = 100 * 1024 * 1024;
/// Slowest pace that can be set: a piece takes a quarter of a second, and no transfer is taken for a dead one.
pub const SNAPSHOT_BYTES_PER_S_MIN: u64 = 1024 * 1024;
/// Fastest pace that can be set: beyond it no network limits anything.
pub const SNAPSHOT_BYTES_PER_S_MAX: u64 = 100 * 1024 * 1024 * 1024;
/// What a pace allows at once, as the time it takes: a few pieces, far less than anybody feels.
pub const SNAPSHOT_BURST_MS: u64 = 20;
/// A transfer without a new piece for this long is over: its sender gave up long before, and at the slowest
/// pace other transfers of a node have had their turn.
pub const SNAPSHOT_IDLE_MS_MAX: u64 = 600_000;

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
/// addresses take 13 MB, all that is agreed on about access 8 MB, about devices in general 8 MB, about artifacts 5 MB.
pub const META_BYTES_MAX: usize = 40 * 1024 * 1024;
/// Device types of a cluster, with those that were taken away: kinds of devices, not devices.
pub const TYPES_MAX: usize = 500;
/// Bytes of the schemas of one type: all of them are in the memory of every node.
pub const SCHEMAS_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the schemas of all types.
pub const TYPES_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Groups of a cluster.
pub const DEVICE_GROUPS_MAX: usize = 1000;
/// Bytes of the filter of a group: as long as filters are anywhere else.
pub const FILTER_BYTES_MAX: usize = 2048;
/// Tenants with limits: those that share a cluster with others. Each has a number for each shard.
pub const TENANTS_MAX: usize = 100;
/// Bytes of a CA's certificate by which devices come.
pub const CLAIM_CA_BYTES_MAX: usize = 4096;
/// Enrolments of a cluster: one for each batch of devices.
pub const ENROLMENTS_MAX: usize = 200;
/// Bytes of what one is for.
pub const TERMS_BYTES_MAX: usize = 4096;
/// Days that what a device gets by one may be good for: a hundred years, beyond which is a mistake.
pub const ENROLMENT_DAYS_MAX: u32 = 36_500;
/// Versions of a type that may have been agreed on and lost with a majority.
pub(crate) const TYPE_VERSIONS_LOST: u64 = 1 << 32;
/// Counts of one that are remembered: those that may be under way at once.
pub const COUNTED_MAX: usize = 64;
/// Artifacts of a cluster: releases that are kept, not builds.
pub const ARTIFACTS_MAX: usize = 2_000;
/// Of one tenant: no tenant leaves others without.
pub const ARTIFACTS_OF_TENANT_MAX: usize = 500;
/// Keys that artifacts are signed by, of a cluster.
pub const ARTIFACT_KEYS_MAX: usize = 1_000;
/// Of one tenant: each is tried where an upload does not say which.
pub const ARTIFACT_KEYS_OF_TENANT_MAX: usize = 16;
/// Longest name of an artifact, and longest version.
pub const ARTIFACT_NAME_BYTES_MAX: usize = 64;
/// Longest media type: those that are registered have no more.
pub const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// For how long it is kept that a job was about to be made with an artifact: making one takes less, and clocks of
/// nodes differ by less than the rest.
pub const ARTIFACT_NAMING_MS: u64 = 60_000;
/// Jobs that may be made with one artifact within that time.
pub const ARTIFACT_NAMINGS_MAX: usize = 16;
/// Longest name of a type, a group or an enrolment.
pub const FLEET_NAME_BYTES_MAX: usize = 64;
/// Services and operators of a cluster; devices are none of them.
pub const PRINCIPALS_MAX: usize = 1000;
/// Names by which issuers know one principal: a few identity providers.
pub const SUBJECTS_MAX: usize = 4;
/// Longest name of an issuer, or of a subject there: issuers are addresses, subjects mostly ids.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Living tokens of one principal: the old and the new one while it changes over, in a few places.
pub const TOKENS_PER_PRINCIPAL_MAX: usize = 8;
/// Living tokens of all principals.
pub const ACCESS_TOKENS_MAX: usize = 4000;
/// Longest note for people.
pub const NOTE_BYTES_MAX: usize = 128;
/// Policies: each call looks at all of them.
pub const POLICIES_MAX: usize = 500;
/// Bytes of one policy: some dozens of principals, or of selectors.
pub const POLICY_BYTES_MAX: usize = 4096;
/// Bytes of the filter of a policy: several of them go into the filter that a question is carried out with.
pub const POLICY_FILTER_BYTES_MAX: usize = 1024;
/// Longest tenant or device in a selector, as twins have it.
pub const ID_BYTES_MAX: usize = 256;
/// Entries of the audit that are kept: months of what people do by hand.
pub const AUDIT_ENTRIES_MAX: usize = 1000;
/// Longest text of such an entry.
pub const AUDIT_TEXT_BYTES_MAX: usize = 256;
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
/// Entries a replica may lack and count as caught up: what the group itself asks of a new voter.
pub const CAUGHT_UP_ENTRIES: u64 = PROMOTE_LAG_MAX;
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
/// Largest snapshot that is collected in memory before it is installed; one that goes to the disk as it
/// comes is bounded by the disk.
pub const INCOMING_SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Streams of a connection between nodes: one a lane.
pub const PEER_LANES: u32 = 4;
/// Bytes on their way on one lane: 10 Gbit/s over 3 ms, 1 Gbit/s over 30 ms.
pub const PEER_STREAM_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Bytes on their way on one connection: all lanes full, so that no lane takes another's window.
pub const PEER_RECEIVE_BYTES_MAX: u32 = PEER_LANES * PEER_STREAM_BYTES_MAX;
/// Bytes sent and not acknowledged on one connection: twice the windows, since what was read may be
/// replaced before its acknowledgement comes.
pub const PEER_SEND_BYTES_MAX: u64 = 2 * PEER_RECEIVE_BYTES_MAX as u64;
/// Round trip assumed until one was measured: a lost first packet is sent again after three of it.
pub const PEER_INITIAL_RTT_MS: u64 = 50;
/// Silence after which a packet is sent on an idle connection: several fit into the longest silence.
pub const PEER_KEEP_ALIVE_MS: u64 = 500;
/// Silence after which a connection is taken for dead. A peer that stood still for less than that (a
/// stalled machine) keeps it; a killed one that comes back replaces it at once.
pub const PEER_IDLE_MS_MAX: u32 = 3_000;
/// What a frame counts for beside its payload, in queues and credits: bounds their number too.
pub const PEER_FRAME_COST_BYTES: usize = 128;
/// Bytes waiting to be written on each lane (control, entries, application, snapshot); then callers wait.
/// The largest message fits, and on the control lane tens of thousands of heartbeats.
pub const PEER_LANE_QUEUE_BYTES_MAX: [u32; 4] =
    [4 * 1024 * 1024, 32 * 1024 * 1024, 32 * 1024 * 1024, 32 * 1024 * 1024];
/// Bytes of a peer's calls under way on each lane; more are refused as not executed. Several times what
/// all groups of a node keep under way.
pub const PEER_LANE_SERVED_BYTES_MAX: [u32; 4] =
    [16 * 1024 * 1024, 64 * 1024 * 1024, 64 * 1024 * 1024, 32 * 1024 * 1024];
/// Frames waiting on a lane beyond which a peer that causes more (refusals, credits, cancels) is
/// taken for one that does not read.
pub const PEER_QUEUE_FRAMES_MAX: usize = 64 * 1024;
/// Bytes of one write, beyond which what waits goes with the next one: a small frame that comes in
/// between waits for one write at most.
pub const PEER_WRITE_BYTES_MAX: usize = 256 * 1024;
/// Payloads up to this size are copied into one buffer with their neighbours; larger ones are written
/// as they are.
pub const PEER_JOIN_FRAMES_BYTES_MAX: usize = 8 * 1024;
/// Bytes read from a stream at once.
pub const PEER_READ_BYTES: usize = 64 * 1024;
/// Calls of this node under way on one connection; more are refused here.
pub const PEER_CALLS_MAX: usize = 64 * 1024;
/// Requests and streams of a peer under way on one connection; more are refused as not executed.
pub const PEER_SERVED_MAX: usize = 16 * 1024;
/// Bytes of items that may be on their way to the reader of one stream, and wait for it: a page of
/// changes; thousands of slow readers stay within memory.
pub const PEER_STREAM_CREDIT_BYTES: u32 = 256 * 1024;
/// Largest item of a stream: a batch of changes with its envelope, with room.
pub const PEER_ITEM_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of snapshots sent to one peer per second: a million twins in some seconds, while a 10 Gbit/s
/// network has nine tenths left.
pub const PEER_SNAPSHOT_BYTES_PER_S: u64 = 128 * 1024 * 1024;
/// How long a handshake and both greetings may take, each side.
pub const PEER_GREETING_MS_MAX: u64 = 3_000;
/// Handshakes and greetings begun by others at once; more are refused before any work. Far above the
/// number of peers that return together, far below what their cryptography would block.
pub const PEER_GREETINGS_MAX: usize = 64;
/// Two connections made within this time crossed each other: longer than any greeting.
pub const PEER_DUPLICATE_MS: u64 = 2 * PEER_GREETING_MS_MAX;
/// How long a peer's process is given to show that it still answers, before another one under its id
/// is let in: many round trips and the delay of an acknowledgement.
pub const PEER_PROBE_MS: u64 = 250;
/// First wait between two attempts to connect; it doubles.
pub const PEER_BACKOFF_MS: u64 = 50;
/// Longest such wait: a peer that comes back is found within a second, if it does not call itself.
pub const PEER_BACKOFF_MS_MAX: u64 = 1_000;
/// What the node with the higher id waits longer than the other one: a handshake's time.
pub const PEER_SECOND_DIAL_MS: u64 = 100;
/// Addresses of one peer that are tried in turn.
pub const PEER_ADDRESSES_MAX: usize = 8;
/// Joining nodes at the desk at once: each costs a certificate and an entry in the meta group.
pub const PEER_JOINS_MAX: usize = 8;
/// Requests to join answered per second, whoever asks: a cluster grows by hand, and a token cannot
/// be guessed at this rate.
pub const PEER_JOINS_PER_S: u64 = 10;
/// How long the answer to a joining node may take: an election fits.
pub const PEER_JOIN_MS_MAX: u64 = 10_000;
/// How long a checkpoint may take to be noted before it is announced again: noting it takes a turn of
/// the group's task.
pub const CHECKPOINT_RETRY: Duration = Duration::from_millis(100);
