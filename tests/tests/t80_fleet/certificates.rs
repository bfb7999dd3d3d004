//! Certificates, keys and CAs are replaced while a real node runs: who comes meets the new ones, who is there goes on,
//! and files that are broken change nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pollux_proto::device::{ALPN, DeviceFrame, NodeFrame};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::{Authority, Identity};
use pollux_tests::node::raw;
use pollux_tests::node::{NodeOptions, NodeProcess, Raw, Secure};
use pollux_twin::{Time, TwinKey, Value};
use quinn::ConnectionError;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The files of a node, and the CAs that issue them.
struct Place {
    dir: PathBuf,
    ca: Authority,
}

impl Place {
    fn new(dir: &Path) -> Result<Self> {
        let place = Self { dir: dir.to_owned(), ca: authority(dir, "own-ca", 100)? };
        place.issue("devices", 9)?;
        place.issue("services", 9)?;
        authority(dir, "devices-1", 100)?;
        place.trust("devices-1")?;
        Ok(place)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn options(&self, look_ms: u64) -> NodeOptions {
        let file = |name: &str| self.at(name).display().to_string();
        NodeOptions::new(&self.at("data"))
            .with("POLLUX_CLUSTER__SHARDS", "2")
            .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
            .with("POLLUX_NODE__CERTIFICATES_LOOK_MS", &look_ms.to_string())
            .with("POLLUX_DEVICES__CA", &file("devices-ca.pem"))
            .with("POLLUX_DEVICES__CERT", &file("devices.pem"))
            .with("POLLUX_DEVICES__KEY", &file("devices.key"))
            .with("POLLUX_SERVICES__CERT", &file("services.pem"))
            .with("POLLUX_SERVICES__KEY", &file("services.key"))
    }

    /// Issues the certificate of an endpoint; the key first, as somebody would who copies two files.
    fn issue(&self, name: &str, days: u32) -> Result<Identity> {
        let issued = self.ca.issue_server(&[], Clock::new().wall(), days)?;
        issued.write(&self.at(&format!("{name}.pem")), &self.at(&format!("{name}.key")))?;
        Ok(issued)
    }

    /// From now on the file names this CA of devices.
    fn trust(&self, name: &str) -> Result<()> {
        fs::copy(self.at(&format!("{name}.pem")), self.at("new.pem"))?;
        Ok(fs::rename(self.at("new.pem"), self.at("devices-ca.pem"))?)
    }

    /// What the node says of a device whose certificate is good from a day before so many days from now, for two days.
    async fn refuses(&self, node: &NodeProcess, days: i64) -> Result<String> {
        let authority = authority(&self.dir, "devices-1", 100)?;
        let then = Time::from_ms(Clock::new().wall().ms.saturating_add_signed(days * DAY_MS));
        let issued = authority.issue_device(&TwinKey::parse("pump")?, then, 1)?;
        let config = raw::trusting([self.ca.certificate().clone()], Some(&issued), ALPN)?;
        // With TLS 1.3 a client may hear of it only once its own part of the handshake is over.
        let error = match Raw::connect(&node.devices, config).await {
            Err(error) => error,
            Ok(raw) => raw.ended().await?.error,
        };
        match error {
            ConnectionError::ConnectionClosed(close) => Ok(close.to_string()),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// A device with a certificate of one of the CAs, connected.
    async fn device(&self, node: &NodeProcess, name: &str, ca: &str) -> Result<Raw> {
        let authority = authority(&self.dir, ca, 100)?;
        let issued = authority.issue_device(&TwinKey::parse(name)?, Clock::new().wall(), 1)?;
        let config = raw::trusting([self.ca.certificate().clone()], Some(&issued), ALPN)?;
        let mut raw = Raw::connect(&node.devices, config).await?;
        raw.hello(name).await?;
        Ok(raw)
    }

    fn service(&self, node: &NodeProcess) -> Result<Secure> {
        Secure::connect(&node.http, self.ca.certificate(), None)
    }

    /// A number that the node counts.
    fn metric(&self, node: &NodeProcess, line: &str) -> Result<u64> {
        let all = self.service(node)?.send("GET", "/metrics", "")?;
        let value = all.lines().find_map(|found| found.strip_prefix(line)).context(all.clone())?;
        Ok(value.trim().parse()?)
    }
}

fn authority(dir: &Path, name: &str, days: u32) -> Result<Authority> {
    Ok(Authority::open_or_make(dir, name, name, Clock::new().wall(), days)?)
}

/// A report of a session is acknowledged: it is well.
async fn reports(raw: &mut Raw, seq: u64) -> Result<()> {
    let patch = Value::Object([("seq".into(), Value::from(seq))].into_iter().collect());
    raw.say(&DeviceFrame::Report { seq, patch, observed_at: None }).await?;
    loop {
        match raw.frame().await? {
            NodeFrame::Ack { seq: acked, .. } if acked == seq => return Ok(()),
            NodeFrame::Ack { .. } | NodeFrame::Desired { .. } => {}
            other => anyhow::bail!("no acknowledgement but {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_makes_the_node_take_new_certificates() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new(dir.path())?;
    // It looks by itself once an hour: what happens here, the signal does.
    let node = place.options(3_600_000).start()?;
    let mut old = place.device(&node, "old", "devices-1").await?;
    reports(&mut old, 1).await?;
    let mut call = place.service(&node)?;
    let (of_devices, of_services) = (old.shown(), call.shown()?);

    let (devices, services) = (place.issue("devices", 9)?, place.issue("services", 9)?);
    authority(&place.dir, "devices-2", 100)?;
    place.trust("devices-2")?;
    // Files alone do nothing.
    ensure!(place.service(&node)?.shown()? == of_services);
    node.hang_up()?;
    node.says(r#""part":"services""#)?;
    node.says(r#""part":"devices""#)?;
    ensure!(&place.service(&node)?.shown()? == &services.chain()[0]);
    let mut new = place.device(&node, "new", "devices-2").await?;
    ensure!(new.shown().as_ref() == Some(&devices.chain()[0]) && new.shown() != of_devices);
    reports(&mut new, 1).await?;
    let refused = place.device(&node, "late", "devices-1").await;
    ensure!(refused.is_err(), "its CA is accepted no more");

    // Who was there goes on: the session, and the connection for calls.
    reports(&mut old, 2).await?;
    let twin = call.send("GET", "/v1/twins/old", "")?;
    ensure!(twin.contains("\"seq\":2"), "{twin}");
    ensure!(node.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_files_change_nothing_and_are_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new(dir.path())?;
    let node = place.options(200).start()?;
    let mut device = place.device(&node, "pump", "devices-1").await?;
    let (first, stale) =
        (place.service(&node)?.shown()?, "pollux_certificates_stale{part=\"services\"} ");
    ensure!(place.metric(&node, stale)? == 0);
    // A key without its certificate, then one that has ended, then half a file.
    place.issue("elsewhere", 9)?;
    fs::copy(place.at("elsewhere.key"), place.at("services.key"))?;
    node.says("KeyMismatch")?;
    place.issue("services", 0)?;
    node.says("it ended 0 days ago")?;
    fs::write(place.at("devices.pem"), "-----BEGIN CERTIFICATE-----\nhalf")?;
    node.says("devices.pem does not hold certificates in PEM form")?;
    ensure!(place.service(&node)?.shown()? == first);
    ensure!(place.metric(&node, stale)? == 1);
    place.device(&node, "valve", "devices-1").await?;
    reports(&mut device, 1).await?;
    // Mended, without a signal.
    let services = place.issue("services", 9)?;
    let devices = place.issue("devices", 9)?;
    node.says("as they should be again")?;
    while place.metric(&node, stale)? == 1 {
        tokio::task::yield_now().await;
    }
    ensure!(&place.service(&node)?.shown()? == &services.chain()[0]);
    while place.device(&node, "late", "devices-1").await?.shown().as_ref()
        != Some(&devices.chain()[0])
    {
        tokio::task::yield_now().await;
    }
    reports(&mut device, 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_count_from_their_beginning_to_their_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new(dir.path())?;
    let node = place.options(3_600_000).start()?;
    for (days, said) in [(3, "not valid yet"), (-3, "expired")] {
        let reason = place.refuses(&node, days).await?;
        ensure!(reason.contains(said), "{days}: {reason}");
    }
    let mut device = place.device(&node, "pump", "devices-1").await?;
    reports(&mut device, 1).await?;
    Ok(())
}
