//! What a session needs to know before it starts.

use std::sync::Arc;

use super::backoff::Backoff;
use crate::limits::{PING_MS, QUEUE_BYTES_MAX, QUEUE_LEN_MAX, SILENCE_MS};
use crate::store::{CommandStore, QueueStore};

/// What a session needs to know before it starts.
#[derive(Clone)]
pub struct SessionOptions {
    /// Tenant; empty for the certificate's or the default one.
    pub tenant: Arc<str>,
    /// Device id.
    pub device: Arc<str>,
    /// Secret token, for devices without a certificate.
    pub token: Option<Arc<str>>,
    /// `host:port` of nodes of the cluster, at least one; each device begins at another.
    pub addresses: Arc<[Arc<str>]>,
    /// Waits between rounds of attempts.
    pub backoff: Backoff,
    /// Shortest silence of a node, while messages or a ping wait for it, that makes the device look
    /// for another; longer with a long round trip or slow answers. It is pinged at half of it.
    pub silence_ms: u64,
    /// How often an idle node is pinged; 0: never.
    pub ping_ms: u64,
    /// Messages the queue holds.
    pub queue_len_max: usize,
    /// Bytes the queue holds.
    pub queue_bytes_max: usize,
    /// Seed of jitter and of incarnations: random in production, fixed in tests.
    pub seed: u64,
    /// Keeps messages over restarts.
    pub queue_store: Option<Arc<dyn QueueStore>>,
    /// Keeps executed commands over restarts.
    pub command_store: Option<Arc<dyn CommandStore>>,
}

impl SessionOptions {
    /// Options of a device that dials `addresses`, with the defaults for everything else.
    pub fn new(tenant: &str, device: &str, addresses: Arc<[Arc<str>]>, seed: u64) -> Self {
        Self {
            tenant: tenant.into(),
            device: device.into(),
            token: None,
            addresses,
            backoff: Backoff::default(),
            silence_ms: SILENCE_MS,
            ping_ms: PING_MS,
            queue_len_max: QUEUE_LEN_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            seed,
            queue_store: None,
            command_store: None,
        }
    }
}
