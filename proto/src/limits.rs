//! Bounds of what goes over the wire, each with its reason. What a twin may hold is bounded in
//! [`pollux_twin::limits`]; the bounds here only have to be wide enough for that, so that a caller
//! who asks for too much gets the twin's typed rejection rather than a closed connection.

/// Bytes of one frame from a device. A report of 64 KiB of JSON takes about 100 KiB if it is mostly
/// text, 200 KiB if it is mostly numbers; what is smaller still in its parts has to be sent in parts.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the first frame, read before anyone is authenticated: two ids, a token, and room.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one frame from a node: a desired section of 64 KiB of JSON that consists of very small
/// objects takes up to 14 times as much in the wire's form (a test holds that).
pub const NODE_FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of one datagram: a packet on any path, jumbo frames included.
pub const DATAGRAM_BYTES_MAX: usize = 9_000;
/// Nesting of a value on the wire: twice what a twin takes by default. Bounds every recursion.
pub const VALUE_DEPTH_MAX: usize = 32;
/// Nesting of archived parts: every level of a value takes one for a list, and for an object one
/// for each level of its tree (five for 7,775 keys, more than fit often into one frame).
pub const ARCHIVE_DEPTH_MAX: usize = 192;
/// Bytes of a token in a hello: a signed token with its claims.
pub const TOKEN_BYTES_MAX: usize = 2 * 1024;
/// Bytes of a text beside values (names, reasons, messages): a paragraph. The twin's own bound is
/// lower, and answers with a rejection.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Other nodes named in a welcome: more replicas than a shard has.
pub const REPLICAS_MAX: usize = 16;
/// Addresses that a device names as unreachable: more replicas than a shard usually has. All of them fit
/// into what a node reads before the hello.
pub const UNREACHABLE_MAX: usize = 8;
/// Bytes of such an address: the longest name that DNS knows, and a port.
pub const ADDRESS_BYTES_MAX: usize = 261;
/// Bytes of a device's stream, or of its owner's, in one item between the relaying node and the owner: the
/// share of a turn, so that devices which send much leave room for others.
pub const RELAYED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the reason with which an owner closes a relayed device: what QUIC's own close takes in a packet.
pub const RELAYED_REASON_BYTES_MAX: usize = 512;
/// Bytes of one text in a refusal's metadata: HTTP/2 peers take some KiB of headers in all.
pub const REJECTION_TEXT_BYTES_MAX: usize = 512;
/// Bytes of a refusal's metadata that a caller reads: two texts with every character escaped.
pub const REJECTION_BYTES_MAX: usize = 8 * 1024;
/// Twins on one page of a list.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Twins on one page, if the caller names no number.
pub const PAGE_SIZE: u32 = 100;
/// How long a command is worth doing, if the caller names no time.
pub const COMMAND_DEADLINE_MS: u64 = 60_000;
/// Bytes of a position as text: 4,096 shards, the most there can be, with room for their numbers.
pub const POSITION_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a frame by which nodes greet each other, read before anyone is known: facts of fixed size, or
/// a refusal's text.
pub const GREETING_BYTES_MAX: usize = 1_024;
/// Bytes of a refusal's text between nodes: a sentence or two, with ids of 32 digits.
pub const PEER_MESSAGE_TEXT_BYTES_MAX: usize = 512;
/// Bytes of the head of a frame between nodes: the largest takes about 30.
pub const PEER_HEAD_BYTES_MAX: usize = 128;
/// Bytes of the payload of a frame between nodes: a batch of log entries or a piece of a snapshot is at
/// most 4 MiB, one entry of a log a little more than 1 MiB; with room.
pub const PEER_PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Payloads up to this size are copied out of the buffer they came in, larger ones share it.
pub const PEER_PAYLOAD_COPY_BYTES_MAX: usize = 4 * 1024;
/// Bytes of what a joining node asks and is answered: a signing request, or some certificates, the
/// nodes' addresses and the cluster's configuration.
pub const JOIN_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a frame around it.
pub const JOIN_FRAME_BYTES_MAX: usize = JOIN_PAYLOAD_BYTES_MAX + 64;
/// When to send again what was refused for want of room, if the twin named no time.
pub const RETRY_MS: u32 = 1_000;
/// When a device that the registry keeps out comes again: soon enough for who lets it in, and a million of them
/// are no more than some thousand handshakes a second.
pub const RETRY_REGISTRY_MS: u32 = 5 * 60 * 1000;
/// Pause before asking again for an owner: an election takes a few hundred milliseconds.
pub const RETRY_OWNER_MS: u32 = 200;
/// Pause before asking again for room on a disk: someone has to make it.
pub const RETRY_SPACE_MS: u32 = 5_000;
/// Twins on one page that a node asks of another: its own caller's page and one to see whether there
/// is more.
pub const FORWARDED_PAGE_MAX: usize = PAGE_SIZE_MAX as usize + 1;
/// Changes in one item that a node tells another which watches a shard there: enough that the item's own
/// cost weighs nothing.
pub const FED_EVENTS_MAX: usize = 256;
/// Rows or groups in one item that a node tells another which queries its shards: enough that the item's own
/// bound comes first.
pub const QUERIED_ITEMS_MAX: usize = 4_096;
/// Bytes of an expression between nodes: what a query may have.
pub const QUERY_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Expressions of one kind in a query between nodes: what it may have.
pub const QUERY_TEXTS_MAX: usize = 32;
/// Rows of a query's answer, if the caller names no number: as on a page of a list.
pub const QUERY_ROWS: u32 = PAGE_SIZE;
/// Bytes of a query's cursor: the values of a row that it is sorted by, and its name.
pub const CURSOR_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a line of very many devices: more than a twin's sections may have.
pub const DEVICE_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a frame about a download: names, a digest, a signature and a sentence.
pub const DOWNLOAD_FRAME_BYTES_MAX: usize = 4 * 1024;
/// Bytes of an artifact's name, or of its version, that a device asks for: more than any has.
pub const DOWNLOAD_NAME_BYTES_MAX: usize = 256;
/// Bytes of a certificate signing request in PEM: one of the longest RSA keys takes a quarter of it.
pub const ENROL_CSR_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the frame by which a device enrols, read before anyone is known: a request, three names, and room.
pub const ENROL_BYTES_MAX: usize = 12 * 1024;
/// Bytes of a certificate, or of a CA, that an enrolled device is given, in PEM.
pub const ENROLLED_PEM_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the frame around both.
pub const ENROLLED_BYTES_MAX: usize = 2 * ENROLLED_PEM_BYTES_MAX + 4 * 1024;
