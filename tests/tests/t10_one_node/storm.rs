//! Many devices at once, and addresses that nobody is behind: those that are served go on being served,
//! all come in at last, and nothing that was acknowledged is lost.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::Device;
use pollux_proto::device::{ALPN, NodeFrame, RefusedReason};
use pollux_tests::node::{Counters, Devices, NodeOptions, NodeProcess, hello};
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longest that one step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);
/// Devices that return at once.
const RETURNING: usize = 300;
/// Devices that are served meanwhile.
const SERVED: usize = 4;
/// First packets of a flood that differ; they are sent again and again.
const FORGED: usize = 256;
/// Those sent in a row: the sender and the node share few cores.
const FORGED_AT_ONCE: usize = 32;

/// A node that lets few devices in at once.
fn narrow(dir: &Path, handshakes: u32) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "4")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_DEVICES__HANDSHAKES_MAX", &handshakes.to_string())
}

/// What the node counts under this name, labels included.
fn metric(node: &NodeProcess, name: &str) -> Result<u64> {
    let metrics = node.get("/metrics")?;
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(of).with_context(|| format!("no {name} in {metrics}"))
}

fn answered(node: &NodeProcess, answer: &str) -> Result<u64> {
    metric(node, &format!("pollux_handshakes_total{{answer=\"{answer}\"}}"))
}

/// Waits until each of the counters has had `more` reports acknowledged than at `before`.
async fn served(counters: &Counters, before: &[(String, u64)], more: u64) -> Result<()> {
    let has_more = |((_, now), (_, then)): (&(String, u64), &(String, u64))| *now >= then + more;
    let all = async {
        while !counters.must_be_there().iter().zip(before).all(has_more) {
            sleep(LOOK).await;
        }
    };
    timeout(STEP, all).await.with_context(|| format!("not served: {before:?}"))
}

/// All devices report `number`, wherever they are; each must be told that it is the `number`th.
async fn all_report(fleet: &[Arc<Device>], number: u64) -> Result<()> {
    let mut reports = JoinSet::new();
    for device in fleet {
        let device = Arc::clone(device);
        reports.spawn(async move {
            let patch = Object::from([("n".to_owned(), Value::from(number))]);
            timeout(STEP, device.report(Value::Object(patch))).await
        });
    }
    while let Some(acked) = reports.join_next().await {
        let version = acked?.context("a device never came back")??.version;
        ensure!(version == number, "report {number} made version {version}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_return_at_once_starve_nobody_and_all_come_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = narrow(dir.path(), 4).start()?;
    let devices = Devices::of(node.data())?;
    let counters = Counters::start(&node, SERVED, 0)?;
    let nothing: Vec<_> = (0..SERVED).map(|_| (String::new(), 0)).collect();
    served(&counters, &nothing, 1).await?;
    let start = |number| Ok(Arc::new(devices.start(&node.devices, &format!("lamp-{number}"))?));
    let fleet = (0..RETURNING).map(start).collect::<Result<Vec<_>>>()?;
    all_report(&fleet, 1).await?;

    let (retry, refused) = (answered(&node, "retry")?, answered(&node, "refused")?);
    let before = counters.must_be_there();
    fleet.iter().for_each(|device| device.leave(Duration::ZERO));
    let (back, served) = tokio::join!(all_report(&fleet, 2), served(&counters, &before, 20));
    back?;
    served?;

    ensure!(answered(&node, "retry")? > retry, "no address was to be proven");
    ensure!(answered(&node, "refused")? > refused, "all had room");
    ensure!(metric(&node, "pollux_handshakes_max")? == 4);
    ensure!(metric(&node, "pollux_handshakes_waiting")? == 0);
    ensure!(metric(&node, "pollux_handshakes_under_way")? == 0);
    counters.check(&node).await?;
    for (number, device) in fleet.iter().enumerate() {
        device.close();
        if number % 30 == 0 {
            let twin = node.twin(&format!("lamp-{number}"))?;
            ensure!(twin["reported"]["n"] == 2, "{twin}");
        }
    }
    ensure!(node.stop()?.success());
    Ok(())
}

/// First packets that are right in themselves, from an address that answers nothing.
struct Flood {
    over: Arc<AtomicBool>,
    sender: JoinHandle<Result<()>>,
}

impl Flood {
    fn start(node: &NodeProcess, devices: &Devices) -> Result<Self> {
        let packets = first_packets(devices, FORGED)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (to, over) = (node.devices.clone(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&over);
        let sender = thread::spawn(move || {
            for some in packets.chunks(FORGED_AT_ONCE).cycle() {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                for packet in some {
                    socket.send_to(packet, &to)?;
                }
                thread::sleep(LOOK / 4);
            }
            Ok(())
        });
        Ok(Self { over, sender })
    }

    fn stop(self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.sender.join().map_err(|_| anyhow::anyhow!("the flood's sender failed"))?
    }
}

/// What devices send first, taken down by a socket that they take for a node.
fn first_packets(devices: &Devices, count: usize) -> Result<Vec<Vec<u8>>> {
    let ear = UdpSocket::bind("127.0.0.1:0")?;
    ear.set_read_timeout(Some(STEP))?;
    let config = devices.client(Some(&devices.issue("nobody", 0)?), ALPN)?;
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    // By the id that a device made up for the node. They dial on until all are there: one that gives up
    // says so, and its connection would be over.
    let (mut dialling, mut packets) = (Vec::new(), HashMap::new());
    let mut buffer = [0; 2048];
    while packets.len() < count {
        dialling.push(endpoint.connect_with(config.clone(), ear.local_addr()?, "localhost")?);
        let (bytes, _) = ear.recv_from(&mut buffer)?;
        let id_ends = 6 + usize::from(buffer[5]);
        packets.entry(buffer[6..id_ends].to_vec()).or_insert_with(|| buffer[..bytes].to_vec());
    }
    Ok(packets.into_values().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_nobody_is_behind_keep_nobody_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = narrow(dir.path(), 8).start()?;
    let devices = Devices::of(node.data())?;
    let counters = Counters::start(&node, SERVED, 0)?;
    let nothing: Vec<_> = (0..SERVED).map(|_| (String::new(), 0)).collect();
    served(&counters, &nothing, 1).await?;

    let flood = Flood::start(&node, &devices)?;
    let asked = async {
        while answered(&node, "retry")? < FORGED as u64 {
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    timeout(STEP, asked).await.context("nobody is asked for a proof")??;
    ensure!(metric(&node, "pollux_handshakes_under_way")? <= 4, "forged ones take half at most");
    ensure!(metric(&node, "pollux_handshakes_waiting")? == 0, "nothing is kept of them");
    served(&counters, &counters.must_be_there(), 50).await?;
    // One that is behind its address comes in beside them.
    let newcomer = Arc::new(devices.start(&node.devices, "newcomer")?);
    all_report(&[Arc::clone(&newcomer)], 1).await?;

    flood.stop()?;
    counters.check(&node).await?;
    newcomer.close();
    ensure!(node.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_room_says_when_to_come_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = narrow(dir.path(), 64).with("POLLUX_DEVICES__CONNECTIONS_MAX", "2").start()?;
    let devices = Devices::of(node.data())?;
    let mut first = devices.raw(&node.devices, "first").await?;
    let mut second = devices.raw(&node.devices, "second").await?;
    first.hello("first").await?;
    second.hello("second").await?;

    let mut third = devices.raw(&node.devices, "third").await?;
    third.say(&hello("third")).await?;
    match third.frame().await? {
        NodeFrame::Refused { reason: RefusedReason::Busy, message, retry_after_ms } => {
            ensure!(message.contains("as many as it may"), "{message}");
            ensure!(retry_after_ms.is_some_and(|ms| ms >= 1_000), "{retry_after_ms:?}");
        }
        other => anyhow::bail!("no refusal but {other:?}"),
    }
    // A device of the SDK waits and comes in when there is room.
    let fourth = Arc::new(devices.start(&node.devices, "fourth")?);
    sleep(LOOK).await;
    drop(first);
    all_report(&[Arc::clone(&fourth)], 1).await?;
    fourth.close();
    Ok(())
}
