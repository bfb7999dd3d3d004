//! Bounds of everything a device holds or waits for, each with its reason. The ones an application
//! may change are defaults of [`crate::Options`].

/// Messages waiting for their acknowledgement, sent or not: a day offline at one a minute fits.
pub const QUEUE_LEN_MAX: usize = 2048;
/// Bytes of those messages as frames: what a small device can spare.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Places beyond the bounds for the SDK's own answers (command results, desired acks), so that an
/// application that fills its queue still answers what it is asked.
pub const QUEUE_RESERVE: usize = 64;
/// Redirects followed in a row before it counts as a failure: more is a loop.
pub const REDIRECTS_MAX: u8 = 3;
/// Connections that are made at once while a session is looked for: a majority of three replicas,
/// and one that a node names.
pub const RACE_MAX: usize = 3;
/// Shortest time before another node is dialled beside one that has not answered: handshakes are
/// dear to nodes, and a fleet that comes back makes them slow.
pub const STAGGER_MS: u64 = 250;
/// That time in round trips: two for the handshake, and one lost flight.
pub const STAGGER_ROUND_TRIPS: u64 = 4;
/// Longest such time, reached by doubling with each further node.
pub const STAGGER_MS_MAX: u64 = 4_000;
/// Before another node is dialled beside one that holds the hello: it lives, and an election ends.
pub const HOLD_MS: u64 = 1_000;
/// A node that names an owner which was just lost, or has old news, is asked again after this time,
/// doubled each time: about an election; each asking costs the node a handshake.
pub const ASK_AGAIN_MS: u64 = 250;
/// Times that a node is asked again before others have their turn, and before it is believed that
/// the lost owner is the owner still.
pub const ASKED_MAX: u32 = 3;
/// A node without room that names no time is tried again after this time, doubled each time: some
/// hundred handshakes.
pub const OVERLOAD_MS: u64 = 500;
/// Dials in a burst: a race, three redirects, and a race again.
pub const DIALS_BURST: u64 = 10;
/// One more dial is allowed after each such time: whatever nodes say, nobody spins.
pub const DIAL_EVERY_MS: u64 = 250;
/// A hello that was given up without an answer may still open a session within this time: a node
/// holds it for ten seconds at most, and the way may take some.
pub const RIVAL_MS: u64 = 30_000;
/// A connection ahead of a move is made within this time, at random: all devices of a shard are told
/// at once.
pub const PREPARE_SPREAD_MS: u64 = 250;
/// A connection made ahead of a move is kept so long: nodes wait no longer for a hello.
pub const SPARE_MS: u64 = 10_000;
/// For so long, or half as long again or half of it by chance, an owner that did not answer where a node said
/// that it is counts as unreachable; doubled each time. A network that was mended is noticed in a minute.
pub const UNREACHABLE_MS: u64 = 60_000;
/// Longest such time: an address that is wrong for good costs some fifty dials a day.
pub const UNREACHABLE_MS_MAX: u64 = 30 * 60 * 1000;
/// Rounds of all addresses without a session after which old news of the owner is forgotten: a
/// cluster that was made anew counts its epochs from the start.
pub const STALE_ROUNDS: u32 = 2;
/// A connection must stand by then: two lost first flights at a long round trip.
pub const DIAL_MS: u64 = 5_000;
/// Addresses of one name that share that time: a service's nodes.
pub const RESOLVED_MAX: usize = 4;
/// A welcome must come by then: longer than an election, during which the node holds the hello.
pub const GREETING_MS: u64 = 10_000;
/// First reconnect: at once, but spread so that a fleet does not come back in one burst.
pub const BACKOFF_FIRST_MS: u64 = 100;
/// First real wait, doubled with each round of addresses that failed.
pub const BACKOFF_BASE_MS: u64 = 500;
/// Longest wait between two attempts: a node that returns has its fleet back within it.
pub const BACKOFF_MAX_MS: u64 = 30_000;
/// A session that stood this long makes the next reconnect a first one again.
pub const STABLE_MS: u64 = 5_000;
/// Longest wait a node may ask for: a wrong number must not silence a device for ever.
pub const RETRY_AFTER_MS_MAX: u64 = 10 * 60 * 1000;
/// Addresses remembered from a welcome: replicas of one shard are three to five.
pub const REPLICAS_MAX: usize = 8;
/// Commands running at once on one device: as many as its twin keeps alive.
pub const COMMANDS_RUNNING_MAX: usize = 32;
/// Answers of finished commands kept to be asked about, when there is no durable store.
pub const COMMANDS_DONE_MAX: usize = 32;
/// Numbered frames in flight, whatever the owner offers: its memory of answers for resends.
pub const IN_FLIGHT_MAX: usize = 64;
/// Bytes encoded but not yet taken by the connection: one window, the rest waits in the queue.
pub const OUT_BYTES_MAX: usize = 16 * 1024;
/// Bytes taken from the connection in one read.
pub const READ_BYTES_MAX: usize = 16 * 1024;
/// Shortest silence that makes a device look for another node, though messages or a ping wait for
/// an answer: a node that lives answers a ping in a round trip, and an election takes about as long
/// as this, so that the device knocks when the new owner opens.
pub const SILENCE_MS: u64 = 200;
/// A silence is too long at so many round trips: one flight may be lost, and its resend late.
pub const SILENCE_ROUND_TRIPS: u64 = 4;
/// A silence is too long at so many times the longest that ended by itself of late: a node or a
/// device under load must not be taken for dead.
pub const SILENCE_TIMES: u64 = 2;
/// A silence that ended by itself is half forgotten after this time: load comes and goes in minutes.
pub const SILENCE_HALVES_MS: u64 = 30_000;
/// A node that takes nothing for so long, though it lives, is left for another one, and a node that
/// is the only one known is not given up before: longer than an election and a stalled disk.
pub const STALL_MS: u64 = 12_000;
/// Timers that rang late in one silence and say more of this machine than of the node: after these
/// the silence counts.
pub const LATE_TIMERS_MAX: u8 = 2;
/// Idle, a node is pinged this often: below the 30 s after which many NATs forget a UDP flow, and
/// one small packet each way.
pub const PING_MS: u64 = 20_000;
/// Keep-alive of connections without a session; sessions ping before it is due.
pub const KEEP_ALIVE_MS: u64 = 25_000;
/// A silent node is given up: two keep-alives and a lost packet.
pub const IDLE_TIMEOUT_MS: u64 = 60_000;
/// How long a node may hold a QUIC acknowledgement back, so that it goes in one packet with that of
/// the report: quinn asks for no more than a round trip (or 25 ms), so a lost packet is sent again at
/// most a round trip later.
pub const ACK_DELAY_MS: u64 = 250;
/// Streams that a node may open: quinn allocates for each in advance.
pub const STREAMS_MAX: u32 = 1;
/// Bytes a node may send ahead on a stream: one section of the default size.
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes a node may send ahead on all streams.
pub const RECEIVE_WINDOW_BYTES: u32 = 128 * 1024;
/// Bytes sent and not yet acknowledged by QUIC: two large reports.
pub const SEND_WINDOW_BYTES: u64 = 128 * 1024;
/// Buffers asked of the kernel for a shared socket: a burst of some thousand small packets.
pub const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// Addresses an application may give: more are a mistake.
pub const ADDRESSES_MAX: usize = 64;
/// Bytes of datagrams kept unread: nodes send none, but quinn sends none either if this is zero.
pub const DATAGRAM_BYTES: usize = 2 * 1024;
/// How long a node may take to answer what a device comes for: it may have to ask others.
pub const DOWNLOAD_ANSWER_MS: u64 = 30_000;
/// Pause before a download that broke is gone on with: a reconnect takes as long.
pub const DOWNLOAD_AGAIN_MS: u64 = 500;
/// The longest such pause, where nothing comes at all.
pub const DOWNLOAD_AGAIN_MS_MAX: u64 = 30_000;
/// Bytes of an artifact taken from the connection, or from the file, at once.
pub const DOWNLOAD_READ_BYTES: usize = 64 * 1024;
/// How long a node may take to answer a device that enrols: it waits for the owner of its shard, and for the cluster.
pub const ENROL_ANSWER_MS: u64 = 40_000;
