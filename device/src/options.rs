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
    /// A device of the default tenant, and the nodes (`host:port`) that it may dial: one address, or
    /// several. Any of the cluster's will do; each device begins with another of them.
    pub fn new(addresses: impl Into<Addresses>, device: &str, identity: Identity) -> Self {
        let Addresses(addresses) = addresses.into();
        let session = SessionOptions::new(DEFAULT_TENANT, device, addresses, rand::random());
        Self { identity, server_name: None, session }
    }

    /// Other nodes to dial than those given first.
    pub fn addresses(mut self, addresses: impl Into<Addresses>) -> Self {
        self.session.addresses = addresses.into().0;
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

    /// Shortest silence of a node, while messages or a ping wait for it, after which others are
    /// dialled beside it: 200 ms. The limit grows with the round trip and with slow answers; with
    /// nobody else to turn to it is twelve seconds.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.session.silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// How often a node that has nothing to answer is pinged, so that its loss is noticed: every 20 s.
    /// `None`: never, and the loss of the connection is noticed when QUIC's idle timeout is over.
    pub fn ping(mut self, every: Option<Duration>) -> Self {
        let every_ms = every.map_or(0, |every| every.as_millis().max(1));
        self.session.ping_ms = u64::try_from(every_ms).unwrap_or(0);
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

/// Addresses of nodes, `host:port` each. The list of many devices is best made once and shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Arc<[Arc<str>]>);

impl Addresses {
    pub(crate) fn as_slice(&self) -> &[Arc<str>] {
        &self.0
    }
}

impl From<&str> for Addresses {
    /// One address, or several with commas between them.
    fn from(text: &str) -> Self {
        let each = text.split(',').map(str::trim).filter(|address| !address.is_empty());
        Self(each.map(Arc::from).collect())
    }
}

impl From<&String> for Addresses {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Arc<[Arc<str>]>> for Addresses {
    fn from(addresses: Arc<[Arc<str>]>) -> Self {
        Self(addresses)
    }
}

impl<S: AsRef<str>> From<&[S]> for Addresses {
    fn from(addresses: &[S]) -> Self {
        Self(addresses.iter().map(|address| Arc::from(address.as_ref())).collect())
    }
}

impl<S: AsRef<str>> From<Vec<S>> for Addresses {
    fn from(addresses: Vec<S>) -> Self {
        Self::from(addresses.as_slice())
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for Addresses {
    fn from(addresses: [S; N]) -> Self {
        Self::from(addresses.as_slice())
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
