//! Devices come for artifacts over QUIC: interrupted, with and without signatures, and because a job says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::session::Backoff;
use pollux_device::{Device, Download, DownloadError, Options};
use pollux_proto::device::{ALPN, ALPN_FIRST, DeviceFrame};
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, Raw, bytes_of, hello};
use pollux_twin::Value as Sent;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{content, digest, ok, put, refuses, sha256};

/// Longest that anything of a test may take on a busy machine.
const LONG: Duration = Duration::from_secs(180);

fn device(devices: &Devices, addresses: &[String], name: &str) -> Result<Device> {
    let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
    let addresses: Arc<[Arc<str>]> =
        addresses.iter().map(|address| Arc::from(address.as_str())).collect();
    devices.open(Options::new(addresses, name, devices.identity(name)?).backoff(backoff))
}

fn number(value: i64) -> Sent {
    Sent::Object([("n".to_owned(), Sent::Int(value))].into_iter().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_outlives_connections_and_nodes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let text = content(7, 40_000_000);
    ok(&put(cluster.running()?, "fw/1", &[], &text)?)?;
    let devices = Devices::of(cluster.running()?.data())?;
    let pump = device(&devices, &cluster.device_addresses(), "pump")?;
    timeout(LONG, pump.online()).await??;
    let to = dir.path().join("fw.bin");
    let part = dir.path().join(format!("fw.bin.{}.part", &sha256(&text)[..16]));
    let wanted = Download::new("fw", "1", &to);
    let coming = tokio::spawn({
        let (pump, wanted) = (pump.clone(), wanted.clone());
        async move { pump.download(&wanted).await }
    });
    let begun = grown(&part, 0).await?;
    // Reports go on beside it.
    timeout(LONG, pump.report(number(1))).await??;
    pump.leave(Duration::from_millis(50));
    let more = grown(&part, begun).await?;
    let owner = cluster.busiest()?;
    cluster.kill(owner)?;
    ensure!(more < 40_000_000 && !coming.is_finished(), "it was over before it was interrupted");
    let came = timeout(LONG, coming).await???;
    ensure!(came.sha256 == digest(&text) && came.size == 40_000_000, "{came:?}");
    ensure!(std::fs::read_to_string(&to)? == text && !part.exists());
    ensure!(pump.counts().sessions > 1, "{:?}", pump.counts());
    timeout(LONG, pump.report(number(2))).await??;
    // A part that was kept, as by a process that ended, is gone on with; one that is none is noticed.
    std::fs::remove_file(&to)?;
    for kept in [&text[..39_000_000], &"x".repeat(1000)] {
        std::fs::write(&part, kept)?;
        let came = timeout(LONG, pump.download(&wanted.clone().sha256(digest(&text)))).await??;
        ensure!(came.sha256 == digest(&text) && std::fs::read_to_string(&to)? == text);
        ensure!(!part.exists());
    }
    Ok(())
}

/// Waits until a file has more bytes than so many.
async fn grown(path: &Path, than: u64) -> Result<u64> {
    let looked = timeout(LONG, async {
        loop {
            let now = std::fs::metadata(path).map_or(0, |there| there.len());
            if now > than {
                return now;
            }
            sleep(Duration::from_millis(1)).await;
        }
    });
    looked.await.with_context(|| format!("{} does not grow", path.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_has_a_kind_of_its_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    ok(&put(&node, "plain/1", &[], "plain")?)?;
    let made = KeyPair::generate_for(&PKCS_ED25519)?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("a.pem"), made.serialize_pem())?;
    std::fs::write(path("a.pub"), made.public_key_pem())?;
    std::fs::write(path("fw.bin"), "signed")?;
    node.ask(&["artifact", "key", "add", "release", &path("a.pub")])?;
    let signed = node.ask(&[
        "artifact",
        "sign",
        &path("fw.bin"),
        "--version",
        "1",
        "--key",
        &path("a.pem"),
    ])?;
    let signature = signed["signature"].as_str().context("a signature")?;
    ok(&put(&node, "fw/1", &[("pollux-signature", signature)], "signed")?)?;

    let devices = Devices::of(node.data())?;
    let pump = device(&devices, std::slice::from_ref(&node.devices), "pump")?;
    timeout(LONG, pump.online()).await??;
    let to = dir.path().join("got.bin");
    let key = <[u8; 32]>::try_from(made.public_key_raw())?;
    let of = |name: &str| Download::new(name, "1", &to);
    let come = async |wanted: Download| timeout(LONG, pump.download(&wanted)).await;
    let came = come(of("fw").signed_by([9; 32]).signed_by(key)).await??;
    ensure!(came.key.as_deref() == Some("release") && std::fs::read_to_string(&to)? == "signed");
    std::fs::remove_file(&to)?;
    ensure!(
        matches!(come(of("fw").signed_by([9; 32])).await?, Err(DownloadError::WrongSignature { key }) if key == "release")
    );
    ensure!(matches!(come(of("plain").signed_by(key)).await?, Err(DownloadError::Unsigned)));
    ensure!(matches!(come(of("none")).await?, Err(DownloadError::NotFound { .. })));
    ensure!(matches!(come(of("../fw")).await?, Err(DownloadError::NotFound { .. })));
    ensure!(matches!(
        come(of("fw").sha256([1; 32])).await?,
        Err(DownloadError::OtherContent { .. })
    ));
    let nowhere = Download::new("fw", "1", dir.path().join("no/such/folder/fw.bin"));
    ensure!(matches!(come(nowhere).await?, Err(DownloadError::Disk(_))));
    ensure!(!to.exists(), "nothing that is wrong gets the name");
    // Of another tenant it is not this device's.
    let other = device(&devices, std::slice::from_ref(&node.devices), "pump-2")?;
    timeout(LONG, other.online()).await??;
    ok(&node.send("PUT", "/v1/tenants/acme/artifacts/theirs/1", &[], b"theirs")?)?;
    let theirs = Download::new("theirs", "1", &to);
    ensure!(matches!(
        timeout(LONG, other.download(&theirs)).await?,
        Err(DownloadError::NotFound { .. })
    ));
    the_older_wire(&devices, &node).await?;
    what_is_no_question(&devices, &node).await
}

/// A stream that asks nothing that can be understood ends, and the session goes on beside it.
async fn what_is_no_question(devices: &Devices, node: &NodeProcess) -> Result<()> {
    let config = devices.client(Some(&devices.issue("default/odd", 0)?), ALPN)?;
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
    let connection = endpoint.connect_with(config, node.devices.parse()?, "localhost")?.await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&bytes_of(&hello("odd"))).await?;
    let mut first = [0; 16];
    timeout(LONG, recv.read_exact(&mut first)).await??;
    for nonsense in [&[0xff; 64][..], &[8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], &[1, 0]] {
        let (mut asks, mut hears) = timeout(LONG, connection.open_bi()).await??;
        asks.write_all(nonsense).await?;
        let _ = asks.finish();
        let heard = timeout(LONG, hears.read(&mut first)).await?;
        ensure!(heard.is_err(), "{nonsense:?}: {heard:?}");
        // Only then is there room for the next.
        let _ = hears.stop(0_u8.into());
    }
    send.write_all(&bytes_of(&DeviceFrame::Ping { nonce: 7 })).await?;
    let mut rest = [0; 1024];
    ensure!(timeout(LONG, recv.read(&mut rest)).await??.is_some(), "the session goes on");
    ensure!(connection.close_reason().is_none());
    Ok(())
}

/// A device of the wire before is served as before.
async fn the_older_wire(devices: &Devices, node: &NodeProcess) -> Result<()> {
    let config = devices.client(Some(&devices.issue("default/old", 0)?), ALPN_FIRST)?;
    let mut old = Raw::connect(&node.devices, config).await?;
    ensure!(old.hello("old").await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_has_devices_come_for_an_artifact() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let (old, new) = (content(1, 50_000), content(2, 70_000));
    ok(&put(&node, "fw/1", &[], &old)?)?;
    ok(&put(&node, "fw/2", &[], &new)?)?;
    let devices = Devices::of(node.data())?;
    let pump = device(&devices, std::slice::from_ref(&node.devices), "pump")?;
    timeout(LONG, pump.online()).await??;
    updates_itself(&pump, dir.path().join("installed"));
    let missing = ["job", "create", "no", "--device", "pump", "--artifact", "fw@3"];
    let said = node.ask(&missing).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("there is no fw@3"), "{said}");
    for (version, text) in [("1", &old), ("2", &new)] {
        let (name, artifact) = (format!("to-{version}"), format!("fw@{version}"));
        let job = node.ask(&[
            "job",
            "create",
            &name,
            "--device",
            "pump",
            "--artifact",
            &artifact,
            "--wait",
        ])?;
        ensure!(job["totals"]["done"] == 1, "{job}");
        ensure!(std::fs::read_to_string(dir.path().join("installed"))? == **text);
        let twin = node.twin("pump")?;
        ensure!(twin["reported"]["version"] == version, "{twin}");
        let named = &twin["desired"]["firmware"];
        let wanted = json!({
            "artifact": "fw", "version": version, "size": text.len(), "sha256": sha256(text),
        });
        ensure!(*named == wanted, "{named}");
    }
    what_a_job_needs_stays(&node)
}

fn what_a_job_needs_stays(node: &NodeProcess) -> Result<()> {
    ok(&node.send_json("PATCH", "/v1/twins/away/tags", r#"{"n":1}"#)?)?;
    let spec = json!({"devices": ["away"], "artifact": {"name": "fw", "version": "2", "at": "software.main"}});
    let job = ok(&node.send_json("PUT", "/v1/jobs/waits", &spec.to_string())?)?;
    ensure!(job["spec"]["artifact"]["sha256"].is_string(), "{job}");
    let again: Value = ok(&node.send_json("PUT", "/v1/jobs/waits", &spec.to_string())?)?;
    ensure!(again["created_at_ms"] == job["created_at_ms"], "a repetition is the same: {again}");
    let remove = || node.send("DELETE", "/v1/artifacts/fw/2", &[], b"");
    refuses(&remove()?, 409, "needs artifact fw@2")?;
    ok(&node.send("DELETE", "/v1/artifacts/fw/1", &[], b"")?)?;
    ok(&node.send("POST", "/v1/jobs/waits/cancel", &[], b"")?)?;
    let mut last = remove()?;
    for _ in 0..200 {
        if last.status == 200 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
        last = remove()?;
    }
    anyhow::bail!("it is still needed: {last:?}")
}

/// A device that installs what its desired names, and reports it.
fn updates_itself(device: &Device, installed: PathBuf) {
    let own = device.clone();
    device.on_desired(move |desired| {
        let (own, installed) = (own.clone(), installed.clone());
        async move {
            let Some(named) = desired.value.get("firmware") else { return Ok(()) };
            let wanted = Download::from_desired(named, installed).ok_or("it names no artifact")?;
            own.download(&wanted).await.map_err(|error| error.to_string())?;
            let version = named.get("version").cloned().unwrap_or_default();
            let report = Sent::Object([("version".to_owned(), version)].into_iter().collect());
            own.report(report).await.map_err(|error| error.to_string()).map(drop)
        }
    });
}
