//! A node whose devices' address leads nowhere: the others relay to it, with everything that is promised to
//! a device that dials its owner itself.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pollux_device::Download;
use pollux_proto::device::{CloseCode, DeviceFrame, NodeFrame};
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::cluster::{self, Cluster, Place, QUICK};
use pollux_tests::node::raw::{Raw, bytes_of};
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, hello};
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// The place in the list of the node that no device reaches: the first, which owns all shards at first.
const HIDDEN: usize = 0;
/// The place of one that relays.
const RELAY: usize = 1;
/// The place of another.
const OTHER: usize = 2;
/// A device that is relayed.
const DEVICE: &str = "pump";
/// Longest that one step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);

/// Three nodes, the first of them at an address for devices that answers nobody.
struct Hidden {
    cluster: Cluster,
    /// The nodes as devices know them.
    known: Vec<NodeOptions>,
    address: String,
    // Bound, so that nobody else answers there.
    _silence: UdpSocket,
}

impl Hidden {
    fn form(dir: &Path) -> Result<Self> {
        let silence = UdpSocket::bind("127.0.0.1:0")?;
        let address = silence.local_addr()?.to_string();
        let options = |number| cluster::options(dir, number, QUICK, &Place::Loopback);
        let first = options(1)?.with("POLLUX_ADVERTISE__DEVICES", &address);
        let mut cluster = Cluster { nodes: vec![Some(first.start()?)], options: vec![first] };
        cluster.join(options(2)?)?;
        cluster.join(options(3)?)?;
        cluster.settled()?;
        // The others get no shard before the hidden node is lost.
        cluster.running()?.ask(&["cluster", "pause"])?;
        let mut known = cluster.options.clone();
        known[HIDDEN].devices.clone_from(&address);
        Ok(Self { cluster, known, address, _silence: silence })
    }
}

fn metric(node: &NodeProcess, name: &str) -> Result<u64> {
    let metrics = node.get("/metrics")?;
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(of).with_context(|| format!("no {name} in {metrics}"))
}

/// Waits until a count of a node has come to at least this.
async fn counted(node: &NodeProcess, name: &str, least: u64) -> Result<()> {
    let all = async {
        while metric(node, name)? < least {
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    timeout(STEP, all).await.with_context(|| format!("{name} never came to {least}"))?
}

fn report(name: &str, value: u64) -> Value {
    Value::Object(Object::from([(name.to_owned(), Value::from(value))]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_of_a_hidden_owner_are_served_whoever_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut hidden = Hidden::form(dir.path())?;
    let devices = Devices::of(hidden.cluster.node(HIDDEN)?.data())?;
    let load = Load::start(&hidden.known, &devices, Crowd::default())?;
    one_device_has_it_all(&hidden, &devices).await?;
    who_breaks_the_rules_is_told(&hidden, &devices).await?;
    load.all_served().await?;

    // Without one of the nodes that relay.
    hidden.cluster.kill(RELAY)?;
    load.all_served().await?;
    ensure!(metric(hidden.cluster.node(OTHER)?, "pollux_sessions_relayed")? > 0);

    // It comes back as one that does not relay: it says where the owner is, as to any device.
    let options = hidden.cluster.options[RELAY].clone();
    hidden.cluster.options[RELAY] = options.with("POLLUX_DEVICES__RELAY", "false");
    hidden.cluster.start(RELAY)?;
    hidden.cluster.settled()?;
    let (_raw, frame) = greeted(&hidden, &devices, RELAY, &hidden.address).await?;
    let NodeFrame::Redirect { address, .. } = frame else { bail!("{frame:?}") };
    ensure!(address == hidden.address, "{address}");
    load.all_served().await?;

    // Without the owner: others own its shards, and nobody is relayed any more.
    hidden.cluster.kill(HIDDEN)?;
    load.all_served().await?;
    for at in hidden.cluster.there() {
        nobody_is_relayed(hidden.cluster.node(at)?).await?;
    }
    let said = hidden.cluster.options.iter().map(NodeOptions::said).collect::<String>();
    ensure!(!said.contains("panicked"), "{said}");
    load.check(&hidden.cluster.there()).await?;
    Ok(())
}

/// Reports, volatile telemetry, desired and a command of a device that knows a single node.
async fn one_device_has_it_all(hidden: &Hidden, devices: &Devices) -> Result<()> {
    let (relay, owner) = (hidden.cluster.node(RELAY)?, hidden.cluster.node(HIDDEN)?);
    let device = devices.start(&relay.devices, DEVICE)?;
    let (told, mut tells) = mpsc::channel(8);
    device.on_desired(move |desired| {
        let told = told.clone();
        async move {
            let _test_is_over = told.send(desired.version).await;
            Ok(())
        }
    });
    device.on_command(|command| async move { Ok(command.payload) });
    for number in 1..=5 {
        let acked = timeout(STEP, device.report(report("n", number))).await??;
        ensure!(acked.version == number, "report {number} gave version {}", acked.version);
    }
    let seen = relay.twin(DEVICE)?;
    ensure!(seen["reported"]["n"] == 5 && seen["versions"]["reported"] == 5, "{seen}");
    ensure!(metric(relay, "pollux_sessions_relayed")? > 0, "nothing is relayed");
    ensure!(metric(relay, "pollux_hellos_total{result=\"relayed\"}")? > 0, "nothing is relayed");

    // Larger than what goes between the nodes at once, up and down.
    let long = |letter: &str| Object::from([("long".to_owned(), letter.repeat(64_000).into())]);
    let acked = timeout(STEP, device.report(Value::Object(long("u")))).await??;
    ensure!(acked.version == 6, "{acked:?}");

    let before = metric(owner, "pollux_datagrams_total")?;
    device.telemetry_volatile(vec![("rssi".to_owned(), Value::Int(-61))])?;
    counted(owner, "pollux_datagrams_total", before + 1).await?;

    let wanted = Value::Object(long("d")).to_json();
    relay.ask(&["twin", "patch", DEVICE, &wanted])?;
    while timeout(STEP, tells.recv()).await?.context("the device is closed")? < 1 {}
    let verb = ["command", "send", DEVICE, "echo", r#"{"a":7}"#, "--wait"];
    let done = relay.ask(&verb)?;
    ensure!(done.to_string().contains("\"a\":7"), "{done}");

    // What it comes for beside its session, the relaying node gives.
    let reply = relay.send("PUT", "/v1/artifacts/fw/1", &[], b"firmware")?;
    ensure!(reply.status == 200, "{reply:?}");
    let to = relay.data().with_extension("fw");
    timeout(STEP, device.download(&Download::new("fw", "1", &to))).await??;
    ensure!(std::fs::read_to_string(&to)? == "firmware");
    counted(relay, "pollux_downloads_total{result=\"done\"}", 1).await?;
    device.close();
    Ok(())
}

/// What a device says before its hello: that it cannot dial these.
fn asks(address: &str) -> DeviceFrame {
    DeviceFrame::Relay { unreachable: vec!["192.0.2.2:4433".to_owned(), address.to_owned()] }
}

/// A raw device that says so, and its first answer.
async fn greeted(
    hidden: &Hidden,
    devices: &Devices,
    at: usize,
    unreachable: &str,
) -> Result<(Raw, NodeFrame)> {
    let mut raw = devices.raw(&hidden.cluster.node(at)?.devices, DEVICE).await?;
    raw.write(&[bytes_of(&asks(unreachable)), bytes_of(&hello(DEVICE))].concat()).await?;
    let frame = raw.frame().await?;
    Ok((raw, frame))
}

/// Waits until nobody is relayed by a node.
async fn nobody_is_relayed(node: &NodeProcess) -> Result<()> {
    let none = async {
        while metric(node, "pollux_sessions_relayed")? > 0 {
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    timeout(STEP, none).await.context("a device that is gone is relayed still")?
}

/// Each is told what is wrong as by its owner itself, and the neighbours notice nothing.
async fn who_breaks_the_rules_is_told(hidden: &Hidden, devices: &Devices) -> Result<()> {
    let (relay, owner) = (hidden.cluster.node(RELAY)?, hidden.cluster.node(HIDDEN)?);
    // A device that does not reach somebody else is not relayed.
    let (_raw, frame) = greeted(hidden, devices, RELAY, "192.0.2.1:4433").await?;
    ensure!(matches!(frame, NodeFrame::Redirect { .. }), "{frame:?}");
    // A device is who its certificate says, through a relay too.
    let mut raw = devices.raw(&relay.devices, DEVICE).await?;
    raw.write(&[bytes_of(&asks(&hidden.address)), bytes_of(&hello("valve"))].concat()).await?;
    let ended = raw.ended().await?;
    ensure!(matches!(ended.frames[..], [NodeFrame::Refused { .. }]), "{ended:?}");

    let cases: [(&str, Vec<u8>, CloseCode); 4] = [
        ("a frame that is too long", u32::MAX.to_le_bytes().to_vec(), CloseCode::FrameTooLong),
        ("no frame", [&4_u32.to_le_bytes()[..], &[0xff; 4]].concat(), CloseCode::NotAFrame),
        ("a second hello", bytes_of(&hello(DEVICE)), CloseCode::Unexpected),
        ("a wish that is too late", bytes_of(&asks(&hidden.address)), CloseCode::Unexpected),
    ];
    for (what, bytes, code) in cases {
        let (mut raw, frame) = greeted(hidden, devices, RELAY, &hidden.address).await?;
        ensure!(matches!(frame, NodeFrame::Welcome { .. }), "{what}: {frame:?}");
        raw.write(&bytes).await?;
        let ended = raw.ended().await?;
        let said = ended.close().map(|(code, _)| code);
        ensure!(said == Some(u64::from(code.code())), "{what}: {ended:?}");
    }
    // One that goes without a word is gone for its twin too.
    let (mut raw, _) = greeted(hidden, devices, RELAY, &hidden.address).await?;
    ensure!(owner.twin(DEVICE)?["presence"]["connected"] == true, "{}", owner.twin(DEVICE)?);
    raw.finish()?;
    let gone = async {
        while owner.twin(DEVICE)?["presence"]["connected"] == true {
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    timeout(STEP, gone).await.context("a device that is gone is connected still")?
}
