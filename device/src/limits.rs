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
/// A connection must stand by then: two lost first flights at a long round trip.
pub const DIAL_MS: u64 = 5_000;
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
/// A node that answers nothing for so long, while messages wait for it and half that time after a
/// ping, is taken for dead: longer than an election and a stalled disk together.
pub const SILENCE_MS: u64 = 12_000;
/// Keep-alive: below the 30 s after which many NATs forget a UDP flow.
pub const KEEP_ALIVE_MS: u64 = 25_000;
/// A silent node is given up: two keep-alives and a lost packet.
pub const IDLE_TIMEOUT_MS: u64 = 60_000;
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
