//! Devices of a node under test: certificates from its own CA, the SDK on top.

use std::path::Path;

use anyhow::Result;
use pollux_device::session::Backoff;
use pollux_device::{Device, Endpoint, Identity, Options, Trust};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki;
use pollux_twin::TwinKey;

/// Issues devices for one node's data directory.
pub struct Devices {
    authority: pki::Authority,
    trust: Trust,
    endpoint: Endpoint,
}

impl Devices {
    /// Reads the CAs that a node made at its start. To be called on a tokio runtime.
    pub fn of(data: &Path) -> Result<Self> {
        let authority = pki::device_authority(&data.join(pki::PKI_DIR), Clock::new().wall())?;
        let trust = Trust::from_pem(&std::fs::read(pki::server_ca_path(data))?)?;
        Ok(Self { authority, trust, endpoint: Endpoint::open()? })
    }

    /// What a device proves itself with.
    pub fn identity(&self, device: &str) -> Result<Identity> {
        let key = TwinKey::parse(device)?;
        let issued = self.authority.issue_device(&key, Clock::new().wall(), 1)?;
        Ok(Identity::from_der(issued.chain().to_vec(), issued.key().clone_key(), &self.trust)?)
    }

    /// A device that dials `address`, and comes back soon when it is lost.
    pub fn start(&self, address: &str, device: &str) -> Result<Device> {
        let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
        let options = Options::new(address, device, self.identity(device)?).backoff(backoff);
        Ok(Device::start(&self.endpoint, options)?)
    }
}
