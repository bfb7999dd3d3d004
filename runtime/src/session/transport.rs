//! QUIC transport parameters for very many small connections. Where the bytes of a connection go
//! is in BENCHMARKS.md.

use std::sync::Arc;
use std::time::Duration;

use quinn::{TransportConfig, VarInt};

use crate::limits::{DATAGRAM_BUFFER_BYTES, SESSION_STREAMS, SESSION_WINDOW_BYTES};

/// The parameters of a device endpoint. One bidirectional stream is all a session needs, and one more lets it come
/// for an artifact; every further one would cost memory on both sides from the handshake on.
pub fn device_transport(
    keep_alive: Option<Duration>,
    idle_timeout: Duration,
) -> Arc<TransportConfig> {
    let window = VarInt::from_u32(SESSION_WINDOW_BYTES);
    let idle_ms = u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(SESSION_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(window)
        .receive_window(window)
        .send_window(u64::from(SESSION_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        // Frames are far smaller than any path's packet: probing for a larger one is only traffic.
        .mtu_discovery_config(None)
        .keep_alive_interval(keep_alive)
        .max_idle_timeout(Some(VarInt::from_u32(idle_ms).into()));
    Arc::new(transport)
}
