//! A device that only wants to be served: while others misbehave, each of its reports must be
//! acknowledged in its one session.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::Device;
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::time::timeout;

use super::Devices;

/// Longest wait for one acknowledgement, on a busy machine.
const ACK: Duration = Duration::from_secs(60);

/// See the module.
pub struct Witness {
    device: Device,
    reports: u64,
}

impl Witness {
    /// Connects it.
    pub async fn start(devices: &Devices, address: &str) -> Result<Self> {
        let device = devices.start(address, "witness")?;
        timeout(ACK, device.online()).await.context("the witness gets no session")??;
        Ok(Self { device, reports: 0 })
    }

    /// Reports once; it must be acknowledged, applied once, in the session that it has.
    pub async fn is_served(&mut self) -> Result<()> {
        self.reports += 1;
        let patch = Object::from([("n".to_owned(), Value::from(self.reports))]);
        let report = self.device.report(Value::Object(patch));
        let acked = timeout(ACK, report).await.context("the witness is not served")??;
        ensure!(acked.version == self.reports, "version {} of {}", acked.version, self.reports);
        let counts = self.device.counts();
        ensure!(counts.sessions == 1 && counts.losses == 0, "it lost its session: {counts:?}");
        Ok(())
    }
}
