//! A node whose devices' address leads nowhere: the others relay to it, with everything that is promised to
//! a device that dials its owner itself.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_proto::device::{CloseCode, DeviceFrame, NodeFrame};
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::cluster::{self, Cluster, Place, QUICK};
use pollux_tests::node::raw::{Raw, bytes_of};
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, hello};
use pollux_twin::value::Object;
use pollux_twin::{TwinKey, Value};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// The place in the list of the node that no device reaches.
const HIDDEN: usize = 2;
/// Longest that one step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);

/// Three nodes, the last of them at an address for devices that answers nobody.
struct Hidden {
    cluster: Cluster,
    /// The nodes as devices know them.
    known: Vec<NodeOptions>,
    address: String,
    // Bound, so that nobody else answers there.
    _silence: UdpSocket,
}

impl Hidden {
    /// Forms the cluster; the second node may have something configured.
    fn form(dir: &Path, second: Option<(&str, &str)>) -> Result<Self> {
        let silence = UdpSocket::bind("127.0.0.1:0")?;
        let address = silence.local_addr()?.to_string();
        let options = |number| cluster::options(dir, number, QUICK, &Place::Loopback);
        let first = options(1)?;
        let mut cluster = Cluster { nodes: vec![Some(first.start()?)], options: vec![first] };
        let plain = options(2)?;
        cluster.join(match second {
            Some((variable, value)) => plain.with(variable, value),
            None => plain,
        })?;
        cluster.join(options(3)?.with("POLLUX_ADVERTISE__DEVICES", &address))?;
        cluster.settled()?;
        // Rather than wait until the balancer has given each node its share.
        let to = cluster.id(HIDDEN)?.to_string();
        for shard in ["0", "1"] {
            cluster.running()?.ask(&["shard", "move", shard, "--to", &to])?;
        }
        cluster.until("two shards of the hidden node", |status| {
            let id = |shard: usize| status["shards"][shard]["owner"].to_string();
            id(0) == to && id(1) == to
        })?;
        let mut known = cluster.options.clone();
        known[HIDDEN].devices.clone_from(&address);
        Ok(Self { cluster, known, address, _silence: silence })
    }

    /// A device of a shard that the hidden node owns, and one of a shard that it does not.
    fn devices(&self) -> Result<[String; 2]> {
        let shards = self.cluster.status()?["shards"].as_array().map_or(0, Vec::len);
        let owners: Vec<usize> =
            (0..shards).map(|shard| self.cluster.owner(shard)).collect::<Result<_>>()?;
        let shards = u16::try_from(shards)?;
        let of = |hidden: bool| {
            let names = (0..1_000).map(|number| format!("pump-{number}"));
            let mut named = names.filter_map(|name| Some((TwinKey::parse(&name).ok()?, name)));
            let is = |key: &TwinKey| (owners[usize::from(key.shard(shards).0)] == HIDDEN) == hidden;
            let found = named.find(|(key, _)| is(key)).map(|(_, name)| name);
            found.with_context(|| format!("a device of that node; owners are {owners:?}"))
        };
        Ok([of(true)?, of(false)?])
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
    let mut hidden = Hidden::form(dir.path(), None)?;
    let devices = Devices::of(hidden.cluster.node(0)?.data())?;
    let load = Load::start(&hidden.known, &devices, Crowd::default())?;
    one_device_has_it_all(&hidden, &devices).await?;
    load.all_served().await?;

    // Without one of the nodes that relay, and again with it.
    hidden.cluster.kill(0)?;
    load.all_served().await?;
    ensure!(metric(hidden.cluster.node(1)?, "pollux_sessions_relayed")? > 0);
    hidden.cluster.start(0)?;
    hidden.cluster.settled()?;
    load.all_served().await?;

    // Without the owner: others own its shards, and nobody is relayed any more.
    hidden.cluster.kill(HIDDEN)?;
    load.all_served().await?;
    for at in hidden.cluster.there() {
        let relayed = metric(hidden.cluster.node(at)?, "pollux_sessions_relayed")?;
        ensure!(relayed == 0, "node {at} relays {relayed} devices to a node that is gone");
    }
    load.check(&hidden.cluster.there()).await?;
    Ok(())
}

/// Reports, volatile telemetry, desired and a command of a device that knows a single node.
async fn one_device_has_it_all(hidden: &Hidden, devices: &Devices) -> Result<()> {
    let [name, _] = hidden.devices()?;
    let (relay, owner) = (hidden.cluster.node(0)?, hidden.cluster.node(HIDDEN)?);
    let device = devices.start(&relay.devices, &name)?;
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
    let seen = relay.twin(&name)?;
    ensure!(seen["reported"]["n"] == 5 && seen["versions"]["reported"] == 5, "{seen}");
    ensure!(metric(relay, "pollux_sessions_relayed")? > 0, "nothing is relayed");
    ensure!(metric(relay, "pollux_hellos_total{result=\"relayed\"}")? > 0, "nothing is relayed");

    let before = metric(owner, "pollux_datagrams_total")?;
    device.telemetry_volatile(vec![("rssi".to_owned(), Value::Int(-61))])?;
    counted(owner, "pollux_datagrams_total", before + 1).await?;

    relay.ask(&["twin", "patch", &name, r#"{"w":1}"#])?;
    while timeout(STEP, tells.recv()).await?.context("the device is closed")? < 1 {}
    let verb = ["command", "send", &name, "echo", r#"{"a":7}"#, "--wait"];
    let done = relay.ask(&verb)?;
    ensure!(done.to_string().contains("\"a\":7"), "{done}");
    device.close();
    Ok(())
}

/// What a device says before its hello: that it cannot dial the hidden node.
fn asks(address: &str) -> DeviceFrame {
    DeviceFrame::Relay { unreachable: vec!["192.0.2.1:4433".to_owned(), address.to_owned()] }
}

/// A raw device that is relayed, or redirected.
async fn greeted(
    hidden: &Hidden,
    devices: &Devices,
    at: usize,
    name: &str,
) -> Result<(Raw, NodeFrame)> {
    let mut raw = devices.raw(&hidden.cluster.node(at)?.devices, name).await?;
    raw.write(&[bytes_of(&asks(&hidden.address)), bytes_of(&hello(name))].concat()).await?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_rules_through_a_relay_is_told_and_disturbs_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let hidden = Hidden::form(dir.path(), Some(("POLLUX_DEVICES__RELAY", "false")))?;
    let (relay, owner) = (hidden.cluster.node(0)?, hidden.cluster.node(HIDDEN)?);
    let devices = Devices::of(relay.data())?;
    let [name, other] = hidden.devices()?;
    let neighbour = devices.start(&relay.devices, &name)?;
    timeout(STEP, neighbour.report(report("n", 1))).await??;
    let [stranger, _] = [format!("{name}-not"), other.clone()];

    // Another node does not relay: it says where the owner is, as to any device.
    let (_raw, frame) = greeted(&hidden, &devices, 1, &name).await?;
    let NodeFrame::Redirect { address, .. } = frame else { anyhow::bail!("{frame:?}") };
    ensure!(address == hidden.address, "{address}");
    // A device whose owner it can dial is not relayed.
    let at = hidden.cluster.owner(usize::from(TwinKey::parse(&other)?.shard(4).0))?;
    let (_raw, frame) = greeted(&hidden, &devices, 1 - at, &other).await?;
    ensure!(matches!(frame, NodeFrame::Redirect { .. }), "{frame:?}");
    // A device is who its certificate says, through a relay too.
    let mut raw = devices.raw(&relay.devices, &name).await?;
    raw.write(&[bytes_of(&asks(&hidden.address)), bytes_of(&hello(&stranger))].concat()).await?;
    let ended = raw.ended().await?;
    ensure!(matches!(ended.frames[..], [NodeFrame::Refused { .. }]), "{ended:?}");

    // From here on with a device of its own, as a device has one session.
    let mine = names_beside(&hidden, &name)?;
    let cases: [(&str, Vec<u8>, CloseCode); 4] = [
        ("a frame that is too long", u32::MAX.to_le_bytes().to_vec(), CloseCode::FrameTooLong),
        ("no frame", [&4_u32.to_le_bytes()[..], &[0xff; 4]].concat(), CloseCode::NotAFrame),
        ("a second hello", bytes_of(&hello(&mine)), CloseCode::Unexpected),
        ("a wish that is too late", bytes_of(&asks(&hidden.address)), CloseCode::Unexpected),
    ];
    for (what, bytes, code) in cases {
        let (mut raw, frame) = greeted(&hidden, &devices, 0, &mine).await?;
        ensure!(matches!(frame, NodeFrame::Welcome { .. }), "{what}: {frame:?}");
        raw.write(&bytes).await?;
        let ended = raw.ended().await?;
        let said = ended.close().map(|(code, _)| code);
        ensure!(said == Some(u64::from(code.code())), "{what}: {ended:?}");
    }
    // One that goes without a word is gone on both sides.
    let connected = metric(owner, "pollux_devices_connected")?;
    let (raw, _) = greeted(&hidden, &devices, 0, &mine).await?;
    ensure!(metric(owner, "pollux_devices_connected")? == connected + 1);
    drop(raw);
    timeout(STEP, neighbour.report(report("n", 2))).await??;
    neighbour.close();
    nobody_is_relayed(relay).await?;
    for node in hidden.cluster.nodes.iter().flatten() {
        let said = hidden.cluster.options.iter().map(NodeOptions::said).collect::<String>();
        ensure!(node.get("/health/live").is_ok() && !said.contains("panicked"), "{said}");
    }
    Ok(())
}

/// Another device of the same shard.
fn names_beside(hidden: &Hidden, name: &str) -> Result<String> {
    let shards = hidden.cluster.status()?["shards"].as_array().map_or(0, Vec::len);
    let shards = u16::try_from(shards)?;
    let shard = TwinKey::parse(name)?.shard(shards);
    let mut names = (0..1_000).map(|number| format!("valve-{number}"));
    let is = |name: &String| TwinKey::parse(name).is_ok_and(|key| key.shard(shards) == shard);
    names.find(is).context("a device of that shard")
}
