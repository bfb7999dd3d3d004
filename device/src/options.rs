//! What an application says about its device before it connects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pollux_twin::id::DEFAULT_TENANT;
use pollux_twin::{DeviceId, TenantId};

use crate::error::Fault;
use crate::limits::ADDRESSES_MAX;
use crate::session::{Backoff, SessionOptions};
use crate::store::{CommandStore, QueueStore};
use crate::tls::Identity;

/// Options of one device. Cheap to clone; addresses are shared.
#[derive(Clone)]
pub struct Options {
    pub(crate) identity: Identity,
    pub(crate) server_name: Option<Arc<str>>,
    pub(crate) session: SessionOptions,
}

impl Options {
    /// A device of the default tenant that dials one node (`host:port`) first.
    pub fn new(address: &str, device: &str, identity: Identity) -> Self {
        let addresses = Arc::from([Arc::from(address)]);
        let session = SessionOptions::new(DEFAULT_TENANT, device, addresses, rand::random());
        Self { identity, server_name: None, session }
    }

    /// Several nodes to try, in this order; the list may be shared by many devices.
    pub fn addresses(mut self, addresses: Arc<[Arc<str>]>) -> Self {
        self.session.addresses = addresses;
        self
    }

    /// The tenant that the device belongs to.
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.session.tenant = tenant.into();
        self
    }

    /// A secret token, for a device without a certificate.
    pub fn token(mut self, token: &str) -> Self {
        self.session.token = Some(token.into());
        self
    }

    /// The name in the nodes' certificates, if it is not the host that is dialled.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Waits between attempts to connect.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.session.backoff = backoff;
        self
    }

    /// How long a node may answer nothing while messages wait for it, before another is dialled.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.session.silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Messages, and bytes of them, that may wait for their acknowledgement.
    pub fn queue(mut self, len_max: usize, bytes_max: usize) -> Self {
        self.session.queue_len_max = len_max;
        self.session.queue_bytes_max = bytes_max;
        self
    }

    /// Keeps unacknowledged messages over restarts.
    pub fn queue_store(mut self, store: Arc<dyn QueueStore>) -> Self {
        self.session.queue_store = Some(store);
        self
    }

    /// Keeps the ids of executed commands over restarts.
    pub fn command_store(mut self, store: Arc<dyn CommandStore>) -> Self {
        self.session.command_store = Some(store);
        self
    }

    /// Fixes the seed of jitter and of incarnations, for tests that must repeat themselves.
    ///
    /// Two devices, or two runs of one, must not share it: the owner would take their numbers for
    /// one counter.
    pub fn seed(mut self, seed: u64) -> Self {
        self.session.seed = seed;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let bad = |what: &str, error: &dyn fmt::Display| Fault::Options(format!("{what}: {error}"));
        DeviceId::parse(&self.session.device).map_err(|error| bad("device", &error))?;
        TenantId::parse(&self.session.tenant).map_err(|error| bad("tenant", &error))?;
        let addresses = self.session.addresses.len();
        if !(1..=ADDRESSES_MAX).contains(&addresses) {
            let text = format!("{addresses} given; 1 to {ADDRESSES_MAX} are allowed");
            return Err(bad("addresses", &text));
        }
        if self.session.queue_len_max == 0 {
            return Err(bad("queue", &"its length is 0; at least 1 is needed"));
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor the key is printed.
        f.debug_struct("Options")
            .field("tenant", &self.session.tenant)
            .field("device", &self.session.device)
            .field("addresses", &self.session.addresses)
            .finish_non_exhaustive()
    }
}
