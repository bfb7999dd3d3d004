//! Devices of a node under test: certificates from its own CA, the SDK on top.

use std::path::Path;

use anyhow::Result;
use pollux_device::session::Backoff;
use pollux_device::{Device, Endpoint, Identity, Options, Trust};
use pollux_proto::device::ALPN;
use pollux_runtime::clock::Clock;
use pollux_runtime::pki;
use pollux_twin::{Time, TwinKey};

use super::raw::Raw;

/// Issues devices for one node's data directory.
pub struct Devices {
    authority: pki::Authority,
    ca: Vec<u8>,
    trust: Trust,
    endpoint: Endpoint,
}

impl Devices {
    /// Reads the CAs that a node made at its start. To be called on a tokio runtime.
    pub fn of(data: &Path) -> Result<Self> {
        let authority = pki::device_authority(&data.join(pki::PKI_DIR), Clock::new().wall())?;
        let ca = std::fs::read(pki::server_ca_path(data))?;
        let trust = Trust::from_pem(&ca)?;
        Ok(Self { authority, ca, trust, endpoint: Endpoint::open()? })
    }

    /// A certificate of the node's own device CA, good from a day before `days_ago` days ago for
    /// two days.
    pub fn issue(&self, device: &str, days_ago: u64) -> Result<pki::Identity> {
        let now = Clock::new().wall();
        let then = Time::from_ms(now.ms - days_ago * 24 * 3600 * 1000);
        Ok(self.authority.issue_device(&TwinKey::parse(device)?, then, 1)?)
    }

    /// What a raw client connects with: a certificate or none, and the name of a protocol.
    pub fn client(
        &self,
        identity: Option<&pki::Identity>,
        alpn: &[u8],
    ) -> Result<quinn::ClientConfig> {
        super::raw::client(&self.ca, identity, alpn)
    }

    /// A raw client of a device, connected as the protocol wants it.
    pub async fn raw(&self, address: &str, device: &str) -> Result<Raw> {
        let config = self.client(Some(&self.issue(device, 0)?), ALPN)?;
        Ok(Raw::connect(address, config).await?)
    }

    /// What a device proves itself with.
    pub fn identity(&self, device: &str) -> Result<Identity> {
        let issued = self.issue(device, 0)?;
        Ok(Identity::from_der(issued.chain().to_vec(), issued.key().clone_key(), &self.trust)?)
    }

    /// A device that dials `address`, and comes back soon when it is lost.
    pub fn start(&self, address: &str, device: &str) -> Result<Device> {
        let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
        let options = Options::new(address, device, self.identity(device)?).backoff(backoff);
        self.open(options)
    }

    /// A device with these options.
    pub fn open(&self, options: Options) -> Result<Device> {
        Ok(Device::start(&self.endpoint, options)?)
    }
}
