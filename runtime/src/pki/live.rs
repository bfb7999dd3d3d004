//! TLS of an endpoint, replaced while the endpoint runs: a connection begins with what there is then, and keeps
//! it. A whole configuration is replaced, so that nobody meets a new certificate beside old CAs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

/// See the module.
#[derive(Debug)]
pub(crate) struct LiveTls(RwLock<Arc<ServerConfig>>);

impl LiveTls {
    pub(crate) fn new(tls: Arc<ServerConfig>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(tls)))
    }

    /// What a connection that begins now begins with.
    pub(crate) fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on connections begin with this.
    pub(super) fn set(&self, tls: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }
}
