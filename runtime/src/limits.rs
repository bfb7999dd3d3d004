//! Bounds of a running node, each with its reason. What an operator may change is in config/; these
//! are the ones that only a developer should.

use std::time::Duration;

/// Messages that wait at one shard's actor: calls beyond that are refused, not queued.
pub const SHARD_MAILBOX_MAX: usize = 4096;
/// How long a twin keeps its document unpacked after a message: most reports come in bursts.
pub const REST_MS: u64 = 1000;
/// Messages that wait at one twin: a device's 64 numbered frames in flight, and calls beside them.
pub const TWIN_MAILBOX_MAX: usize = 96;
/// Twins woken in one turn after an opening, so that opening a shard does not stall its devices.
pub const WAKES_PER_TURN: usize = 256;
/// Events that a watcher takes in one turn, so that a slow one holds no lock for long; one item to another
/// node takes them all.
pub const WATCH_EVENTS_PER_TURN: usize = pollux_proto::limits::FED_EVENTS_MAX;
/// Bytes of changes that go to a watcher at another node at once, if they are several: what its stream has
/// credit for. A single change may be larger.
pub const WATCH_ITEM_BYTES: usize = 256 * 1024;
/// A watch that tells changes in batches tells one every so often, where there are that many.
pub const WATCH_BATCH_EVERY: Duration = Duration::from_millis(5);
/// And where very many do, no more often than this for each of them: what a message costs whatever it holds, some 10 µs,
/// is then a part of one core.
pub const WATCH_BATCH_EACH: Duration = Duration::from_micros(20);
/// Steps over the changes of its shards that make one batch.
pub const WATCH_BATCH_STEPS: usize = 64;
/// How long a node may take to say whether it knows what a watcher wants, before another is asked: one that
/// is there answers at once.
pub const WATCH_ASK_MS_MAX: u64 = 2_000;
/// Telemetry of a shard that waits for one who listens: seconds of most fleets. What comes beyond is left out.
pub const LIVE_AHEAD: usize = 1_024;
/// Its bytes for one who listens, so that few large messages are no more than many small ones.
pub const LIVE_BYTES: usize = 256 * 1024;
/// Its bytes for all who listen at a node, however many shards it owns.
pub const LIVE_BYTES_ALL: usize = 64 * 1024 * 1024;
/// Of that so much is taken at once, and goes to another node in one item.
pub const LIVE_PER_ITEM: usize = 64;
/// How often is looked whether a shard that is listened to has another owner: what is missed meanwhile is no more than
/// an election costs.
pub const LIVE_OWNER_LOOK: Duration = Duration::from_millis(250);
/// How often the replicas of a watched shard are looked for while none is found: within an election.
pub const WATCH_LOOK_MS: u64 = 100;
/// How long changes are kept with the twins around them after somebody watched with a filter:
/// those who lost their node or their connection come back sooner.
pub const STATES_KEPT_MS: u64 = 5 * 60 * 1000;
/// How often those who watch with a filter say so to all nodes that they may go on at: several times within that.
pub const KEEP_STATES_EVERY_MS: u64 = 10_000;
/// How long a node may take to hear that: one that does not is told again.
pub const KEEP_STATES_MS_MAX: u64 = 2_000;
/// Changes that a filter is asked of before others have their turn: at most some ten milliseconds.
pub const SIFTED_PER_TURN: usize = 16;
/// Twins taken from a table at once to ask a filter of them: a tenth of a millisecond, for which nothing is applied.
pub const SIFTED_SCAN: usize = 128;
/// Twins that a filter is asked of for one page of a picture: some milliseconds of a thread.
pub const SIFTED_LOOKS_PER_PAGE: usize = 8 * 1024;
/// Bytes of twins on one page of a filter's picture, about.
pub const SIFTED_BYTES_PER_PAGE: usize = 1024 * 1024;
/// Queries that look at this node's twins at once: each takes a core while nothing more urgent wants it, and
/// a picture of a table at a time, of which snapshots and backups need some too.
pub const QUERIES_MAX: usize = 2;
/// Queries that wait for that.
pub const QUERIES_WAITING_MAX: usize = 32;
/// How long they wait.
pub const QUERY_WAIT_MS_MAX: u64 = 5_000;
/// When to come back if they waited for nothing: a million twins take about a second.
pub const QUERY_RETRY_MS: u32 = 1_000;
/// How long another node may take to look at the twins that it owns: some ten million.
pub const QUERY_MS_MAX: u64 = 30_000;
/// How much less a query's thread counts than others: a tenth of a core where they want all of it.
pub const QUERY_NICENESS: i32 = 10;
/// Twins that a query looks at before it lets a thread that waits go first: some 20 microseconds.
pub const QUERY_TWINS_PER_YIELD: usize = 16;
/// Bytes of twins that a query takes at once while it holds their table: some 100 microseconds.
pub const QUERY_SLICE_BYTES: usize = 256 * 1024;
/// Bytes of what a query found that go to another node at once.
pub const QUERY_ITEM_BYTES: usize = 256 * 1024;
/// Twins that one page of a list may hold.
pub const PAGE_MAX: usize = 1000;
/// The same of a picture of one shard: one that shares a subscription draws those of all its shards at once.
pub const PART_PAGE_MAX: usize = 32;
/// Bytes read from a device's stream in one turn: its fair share.
pub const SESSION_READ_BYTES: usize = 64 * 1024;
/// Frames of one device that may wait to be written; acknowledgements are bounded by what is in
/// flight, so only a device that does not read gets here, and it is let go.
pub const OUTBOX_FRAMES_MAX: usize = 512;
/// Devices for each core that are pushed to at once, at the most: what a push, its answer and all that follows cost,
/// some 0.1 ms, is then done before the shortest probe timeout of QUIC, 25 ms and a round trip.
pub const PUSHES_MOST_PER_CORE: usize = 256;
/// The same when nothing is known yet of how soon devices answer.
pub const PUSHES_FIRST_PER_CORE: usize = 64;
/// The same where none answers in time: a few hundred a second, of which the retransmissions leave a core something.
pub const PUSHES_LEAST_PER_CORE: usize = 16;
/// Answers in time that make room for one more: as many that are late do away with eight, so that one in nine may be.
pub const PUSH_ANSWERS: usize = 8;
/// Round trips that a device has to answer a push, before it counts as late.
pub const PUSH_ROUND_TRIPS: u32 = 3;
/// And the least time that it has.
pub const PUSH_TURN_MS_MIN: u64 = 250;
/// Pings of one device that wait for their answer.
pub const PONGS_MAX: usize = 8;
/// How long a device may take from connection to hello.
pub const HELLO_MS_MAX: u64 = 10_000;
/// How long a handshake may take: devices give a dial up after this time, and who never goes on must
/// not keep a turn.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;
/// Handshakes under way for each core when nothing is known yet of what it gives: some 0.35 ms each, so
/// that a storm's first ones make others wait for 90 ms, once. Half of them are begun without Retry: more
/// than devices that come and go on a calm day have under way.
pub const HANDSHAKES_FIRST_PER_CORE: usize = 256;
/// Fewest handshakes under way for each core, however late it is: some ten milliseconds of work, so that
/// no core is idle while devices wait, and 300 a second where a round trip takes 100 ms.
pub const HANDSHAKES_MIN_PER_CORE: usize = 32;
/// By how many more handshakes may be under way after each calm pulse: the first number doubles within a
/// second or so on two cores.
pub const HANDSHAKES_GROWTH: usize = 12;
/// Connections that wait for their handshake, in times of those that may be under way at most: by
/// default 2,048, which a core does in less than a second, and some 3 KiB each.
pub const HANDSHAKES_WAITING_TIMES: usize = 2;
/// How long a connection may wait for its handshake: its device dials for five seconds, and a handshake
/// that nobody waits for any more is work for nothing.
pub const HANDSHAKE_WAIT_MS_MAX: u64 = 3_000;
/// How often is felt whether the runtime is late: several times within the silence after which a device
/// looks for another node, and at no cost.
pub const PULSE: Duration = Duration::from_millis(25);
/// Lateness at which fewer handshakes may be under way. A report and its answer wait for some six turns
/// of tasks; with this for each they stay below the 200 ms of silence after which devices that have a
/// session look for another node.
pub const LATE_MS_MAX: u64 = 24;
/// Lateness below which more may be: half of that, so that the number rests in between.
pub const LATE_MS_CALM: u64 = 12;
/// Connections that arrive while the node is at others: beyond these and those that wait, QUIC drops
/// first packets before it does any work for them, and devices send them again a second later.
pub const ARRIVALS_MAX: usize = 1024;
/// Bytes that a connection may send before it is let in: its first packets, and their repetitions.
pub const ARRIVAL_BYTES: u64 = 8 * 1024;
/// Bytes that all of them may send: what a storm of repetitions takes, and little beside sessions.
pub const ARRIVALS_BYTES: u64 = 8 << 20;
/// When a device for which a node has no room may come again, if few do: devices that leave make room,
/// and each coming costs a handshake.
pub const BUSY_RETRY_MS: u32 = 1_000;
/// The same while as many are coming as can be: with the devices' own back-off, a crowd thins out.
pub const BUSY_RETRY_MS_MAX: u32 = 11_000;
/// Devices that a node relays at once. To relay is for those that cannot help it: each takes two streams of
/// a connection between nodes, which has 16,384, and up to 1 MiB where both sides read slowly.
pub const RELAYED_MAX: usize = 4_096;
/// Items of a relayed device that wait for the connection between the nodes, each way: one is being made
/// while the others are written.
pub const RELAYED_ITEMS_MAX: usize = 4;
/// When a device for which there is no room among the relayed may come again: until one of them leaves, or
/// its own owner can be dialled.
pub const RELAY_RETRY_MS: u32 = 5_000;
/// How long a stop waits for devices to be told and checkpoints to be written.
pub const STOP_MS_MAX: u64 = 20_000;
/// Bytes that a device may send before its session read them: one frame of the largest size.
pub const SESSION_WINDOW_BYTES: u32 = 256 * 1024;
/// Streams that a device may have open at once: its session's, and one on which it comes for an artifact.
pub const SESSION_STREAMS: u32 = 2;
/// How long a device may take for one piece of an artifact: a radio of some kilobytes a second is in time.
pub const DOWNLOAD_STALLED: Duration = Duration::from_secs(30);
/// When a device comes again for an artifact that it did not get: others are served meanwhile.
pub const DOWNLOAD_RETRY_MS: u32 = 5_000;
/// Bytes of datagrams that wait for their session: volatile ones are dropped beyond it.
pub const DATAGRAM_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that the kernel may hold for the socket of all devices, each way: what it drops under a burst
/// comes again a probe timeout later. Asked for; the kernel grants up to its own bound.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// When a caller may ask again after a shard, its gate or a twin had no room: a few commits later.
pub const CALL_RETRY_MS: u32 = 100;
/// When a device may send again what found its twin's mailbox full: a mailbox empties within a turn.
pub const MAILBOX_RETRY_MS: u32 = 50;
/// When a device may send again what found no disk space: someone has to make room first.
pub const SPACE_RETRY_MS: u32 = 1000;
/// How often the free space of the disk is looked at: what is written in between is far less than any
/// sensible reserve.
pub const SPACE_PERIOD: Duration = Duration::from_millis(200);
/// How often the checkpointer looks for something to do: a small part of any sensible interval.
pub const CHECKPOINT_PERIOD: Duration = Duration::from_millis(250);
/// Images taken out of a table at once: short enough that no twin waits for it.
pub const CUT_IMAGES: usize = 512;
/// How often a shard looks at its deadlines: passivation and retries, nothing that is in a hurry.
pub const SHARD_PERIOD: Duration = Duration::from_millis(100);
/// How often the metrics take in what others count: as often as anybody reads them.
pub const SAMPLE_PERIOD: Duration = Duration::from_secs(1);
/// How long nothing may happen before a watcher is told that its position moved all the same: a
/// resumption repeats no more than that.
pub const WATCH_PROGRESS: Duration = Duration::from_secs(10);
/// Bytes of an input as the gate reckons them before they are known: a report with its answer.
pub const INPUT_BYTES: usize = 512;
/// Bytes of a twin's view beside its values: versions, times, presence.
pub const VIEW_BYTES: usize = 1024;
/// Shortest time between two stateless resets: a fleet of ten thousand hears of a restart within
/// seconds, and a flood of nonsense is not answered with another.
pub const RESET_PERIOD: Duration = Duration::from_millis(1);
/// Numbered messages of devices that may be on their way to the log for each core, before the socket is
/// read only now and then: enough for large batches of all its shards, and not many more than a core takes
/// in while a QUIC acknowledgement may be held back. Of 384 to 2,500, those from 1,000 to 1,500 cost least.
pub const ON_THE_WAY_PER_CORE_MAX: usize = 1_536;
/// How long the socket of devices is left unread at most: a slow disk must not make others wait who have
/// nothing to do with it, and the kernel's buffer holds what comes meanwhile.
pub const INTAKE_PAUSE_MS_MAX: u64 = 2;
/// How long the last words to a device may wait to be acknowledged: some round trips of a bad radio,
/// and far less than a stop allows. What has lost its power acknowledges nothing.
pub const LAST_WORDS_MS_MAX: u64 = 3_000;
/// Parts of a checkpoint's interval over which shards are spread: as many as there are shards by default.
pub const CHECKPOINT_SPREAD: u32 = 16;
/// Free bytes beside twice what a checkpoint would write, below which none is begun: sled writes whole
/// segments of half a MiB, and does not recover from a full disk before the next start.
pub const CHECKPOINT_ROOM_BYTES: u64 = 4 << 20;
/// How long a caller waits before it looks again for a shard's owner: within an election, and often
/// enough that it costs little beside one.
pub const OWNER_LOOK_MS: u64 = 25;
/// For how long after a call came it may be repeated: well within the time for which its key is remembered,
/// even where a shard's time runs at twice the speed.
pub const REPEAT_MS_MAX: u64 = pollux_twin::limits::KEY_WINDOW_MS / 2;
/// How often a call may end unclear until its caller is told so, where its key was made here: the twin says
/// it too, of one that it may have forgotten. More takeovers than these do not follow on each other.
pub const UNCLEAR_MAX: u32 = 3;
/// How long a device's hello or a call may be held while nobody owns the shard: several elections.
pub const OWNER_WAIT_MS_MAX: u64 = 8_000;
/// How much earlier than the entry node's own patience an owner must answer, so that its word still
/// arrives.
pub const FORWARD_MARGIN_MS: u64 = 10;
/// How long another node may take for a page of twins.
pub const LIST_MS_MAX: u64 = 10_000;
/// How long one node may take to have something decided by the meta group, before another is asked.
pub const META_ASK_MS: u64 = 2_000;
/// How long is waited before the meta group is asked again.
pub const META_LOOK_MS: u64 = 100;
/// How long a step of a move may take on the node that leads the group: a change of voters waits for
/// two entries, a hand-over for an election.
pub const STEP_MS_MAX: u64 = 5_000;
/// Over how long a shard's load is counted.
pub const LOAD_MS: u64 = 1_000;
/// How long a shard that is handed over may take to finish what it was asked before: a slow disk takes a
/// part of that. Beyond it callers have waited enough, and the shard stays for now.
pub const DRAIN_MS_MAX: u64 = 1_500;
/// How often is looked whether it has finished: a commit takes about this long.
pub const DRAIN_LOOK_MS: u64 = 2;
/// Twins that are told in one turn of a move ahead: with one for each core each [`SHARD_PERIOD`] nodes do far fewer
/// handshakes than their cores are good for, and go on serving beside them.
pub const PREPARES_PER_TURN: usize = 32;
/// How long the devices of a shard may take to be told of a move ahead: well below what the steward
/// waits for a hand-over. Those left out connect when the move has come.
pub const PREPARE_MS_MAX: u64 = 2_000;
/// How long devices that were told are given to connect ahead: they spread over a quarter of a second,
/// and a handshake of a bad radio takes as long; nobody waits for it.
pub const PREPARE_WAIT_MS: u64 = 500;
/// How long the farewell of a device waits for the next owner to be known: an election.
pub const MOVED_WAIT_MS_MAX: u64 = 800;
/// How long another node may take to say whether it can take what this one hands over: one that is
/// there answers at once, and a stop should not wait for those that are not.
pub const TAKER_MS_MAX: u64 = 500;
/// Shards handed over at once by a node that stops: two to each of two others, as the balancer does.
pub const HAND_OVERS_MAX: usize = 4;
/// How often a node that stops looks again for shards it owns: an election in between may have given it
/// one back.
pub const DEPARTURES_MAX: usize = 3;
/// How often is looked whether the shards held here are those that the map wants here.
pub const HOLD_LOOK_MS: u64 = 1_000;
/// How long something may wait to be decided by the meta group: several elections.
pub const META_DECIDE_MS_MAX: u64 = 10_000;
/// How long a node may take to say how it is before it counts as silent.
pub const STATUS_MS_MAX: u64 = 1_500;
/// Bytes of the file of the peers' addresses: 10,000 nodes with long names.
pub const PEERS_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Devices' certificates that are known to be of a trusted CA: those of all devices of a busy node, in
/// some MiB.
pub const KNOWN_CERTIFICATES_MAX: usize = 64 * 1024;
/// Days that a node's certificate is good for. It gets a new one at each start, and when a third of it is left.
pub const NODE_CERTIFICATE_DAYS: u32 = 2 * 365;
/// How often is looked whether groups are meant to be elsewhere.
pub const STEWARD_LOOK_MS: u64 = 500;
/// Requests to even everything that wait for the steward: people ask, one at a time.
pub const URGES_MAX: usize = 4;
/// Bytes of one chunk of a shard's state on its way to another replica: large enough that its head and
/// call weigh nothing, small enough that a shared link is never held for long.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of images put into a fresh tree at once while a state comes in.
pub const FILL_BYTES: usize = 1 << 20;
/// Bytes of a twin's key: two names and the stroke between them.
pub const KEY_BYTES_MAX: usize = 2 * pollux_twin::limits::ID_BYTES_MAX + 1;
/// Bytes of a twin's image: more than all its parts come to at the highest limits that can be
/// configured. Read from a peer; memory is taken only as bytes come.
pub const IMAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a shard's owner may take to confirm what is committed: a round to a majority.
pub const BARRIER_MS_MAX: u64 = 2_000;
/// How often is looked whether a replica has caught up with what was confirmed: about a commit.
pub const APPLIED_LOOK_MS: u64 = 5;
/// Bytes of entries looked at in one turn where a log is read as a whole, without a node.
pub const REPLAY_BYTES: usize = 4 << 20;
/// How long before its end a certificate is an alarm: time for people to plan, buy and roll out.
pub const EXPIRY_WARN_MS: u64 = 30 * 24 * 3600 * 1000;
/// How often an end that is near is told: once a day is heard and does not drown the rest.
pub const EXPIRY_LOOK: Duration = Duration::from_secs(24 * 3600);
/// How long a node may take to write the files of a CA and to use them.
pub const AUTHORITY_MS_MAX: u64 = 10_000;
/// Bytes of a backup's manifest: a line of a few hundred for each of 4,096 shards, with room.
pub const MANIFEST_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How often a file with the keys of an issuer is looked at, at most: a key that was taken away is soon worth
/// nothing.
pub const ISSUER_LOOK: Duration = Duration::from_secs(2);
/// Keys of one issuer: some in use, some to come, some that go.
pub const ISSUER_KEYS_MAX: usize = 64;
/// Bytes of the address of an issuer's keys.
pub const ISSUER_URL_BYTES_MAX: usize = 2048;
/// Bytes of a document that an issuer serves: 64 keys with their certificates, with room.
pub const ISSUER_DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// How long an issuer may take to serve a document, connecting included.
pub const ISSUER_FETCH_MAX: Duration = Duration::from_secs(10);
/// How long fetched keys are good at least, whatever the answer says: an issuer that says 0 means that they may
/// change, not that it wants to be asked all the time.
pub const ISSUER_AGE_MIN: Duration = Duration::from_secs(60);
/// How soon an issuer that did not serve its keys is asked again; twice as late each time.
pub const ISSUER_RETRY_FIRST: Duration = Duration::from_secs(1);
/// How late at most.
pub const ISSUER_RETRY_MAX: Duration = Duration::from_secs(60);
/// How far apart attempts are that tokens cause which name keys that are not there: names can be made up.
pub const ISSUER_WISHES_APART: Duration = Duration::from_secs(5);
/// When to come back with a token whose key is being fetched.
pub const ISSUER_NOT_NOW_MS: u32 = 500;
/// Bytes of a signed token: headers have room for no more.
pub const ISSUER_TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far an issuer's clock may be off this node's.
pub const ISSUER_SKEW_MS: u64 = 30_000;
/// Parts of a twin that one patch writes, where its caller may write some parts only: each is held against the policies, in
/// turn with all that the shard does. People name a handful.
pub const WRITTEN_PARTS_MAX: usize = 256;
/// How often a node that checks callers looks whether it hears the meta group, which changes who may what.
pub const ACCESS_LOOK: Duration = Duration::from_secs(5);
/// How long a node lets principals in after it heard the meta group last: an election takes a second, a restart of
/// several nodes less than this, and a token that was revoked is worth nothing anywhere after it.
pub const ACCESS_DEAF_MAX: Duration = Duration::from_secs(60);
/// How long a change of access is waited for at the node that was asked, so that it sees its own changes.
pub const ACCESS_SEEN: Duration = Duration::from_secs(2);

/// For how long a rate of a tenant is measured.
pub const TENANT_WINDOW_MS: u64 = 1_000;
/// How often all nodes are asked what tenants with limits use, and told their shares.
pub const TENANT_LOOK_MS: u64 = 1_000;
/// For how long a node's share of a rate counts: several rounds, and a change of who asks.
pub const TENANT_SHARE_MS_MAX: u64 = 10_000;
/// How often a shard looks whether it has a share to give back.
pub const TENANT_GIVE_BACK_MS: u64 = 1_000;
/// How soon one is looked at again who waits for a shard's share: about as long as the meta group takes.
pub const TENANT_WAIT_MS: u64 = 50;
/// How many may wait for a shard's share; more are refused for now.
pub const TENANT_WAITING_MAX: usize = 1_024;
/// For how long one who was let in counts as a device though its twin is not there: longer than a batch takes.
pub const TENANT_COMING_MS: u64 = 15_000;
/// How many of these are kept before it is looked which have come.
pub const TENANT_COMING_MAX: usize = 8 * 1_024;
/// Certificates that whoever comes by one of a batch may show: its own, and those of CAs between.
pub const CLAIM_CHAIN_MAX: usize = 4;
/// Bytes of a client's first words of TLS that are kept until they are whole: what QUIC keeps of them, too.
pub const CLIENT_HELLO_BYTES_MAX: usize = 16 * 1_024;
/// Bytes of all those certificates.
pub const CLAIM_CHAIN_BYTES_MAX: usize = 16 * 1_024;
/// How often a store that is locked is tried to be opened: two seconds in all, longer than what a store writes when
/// it is closed takes on a busy disk.
pub const STORE_LOCK_TRIES: u32 = 100;
/// After what time it is tried again: a start is not to wait for much more than the lock.
pub const STORE_LOCK_LOOK: Duration = Duration::from_millis(20);
