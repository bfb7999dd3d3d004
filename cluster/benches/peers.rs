//! What three nodes cost that have nothing to do: processes of their own, groups of three over real
//! connections on loopback, heartbeat each 100 ms.
//! `cargo bench -p pollux-cluster --bench peers [-- SECONDS GROUPS…]`.

#![expect(clippy::print_stdout, reason = "a benchmark reports on the terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pollux_cluster::limits::SNAPSHOT_BYTES_PER_S_DEFAULT;
use pollux_cluster::{
    Disk, Fault, Group, GroupId, GroupOptions, Identity, Log, LogOptions, NodeId, PeerNetwork,
    PeerOptions, PeerRecord, PeerTls, Position, Recovered, SnapshotSink, SnapshotSource, Standing,
    StateMachine, Uuid,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

const CLUSTER: Uuid = Uuid(7);
const NODES: [u64; 3] = [1, 2, 3];

/// Answers with nothing; remembers nothing.
struct Sink;

impl StateMachine for Sink {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        Ok(Recovered::default())
    }
    fn apply(&mut self, _: Position, _: &[u8]) -> Bytes {
        Bytes::new()
    }
    fn advance(&mut self, _: Position, _: Option<Bytes>) {}
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        Err(Fault::StateMachine("nothing to cut".into()))
    }
    fn install(&mut self, _: Position, _: Bytes, _: Box<dyn SnapshotSink>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Certificates of a CA and three nodes, in files.
fn write_certificates(dir: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = params.self_signed(&key).expect("a CA");
    fs::write(dir.join("ca.der"), ca.der()).expect("a file");
    let issuer = Issuer::from_ca_cert_der(ca.der(), key).expect("a CA");
    for node in NODES {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let uri = format!("pollux-node:{:032x}/{node}", CLUSTER.0);
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().expect("ascii"))];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        fs::write(dir.join(format!("{node}.der")), certificate.der()).expect("a file");
        fs::write(dir.join(format!("{node}.key")), key.serialize_der()).expect("a file");
    }
}

fn read_tls(dir: &Path, node: u64) -> PeerTls {
    let read = |name: String| fs::read(dir.join(name)).expect("a file");
    let ca = read("ca.der".into());
    PeerTls {
        roots: vec![ca.clone().into()],
        chain: vec![read(format!("{node}.der")).into(), ca.into()],
        key: rustls::pki_types::PrivatePkcs8KeyDer::from(read(format!("{node}.key"))).into(),
    }
}

/// One node: says when each group has a leader, then its counts whenever it is asked.
async fn node(node: u64, groups: u32, dir: &Path, ports: &[u16]) {
    let id = NodeId(node);
    let identity = Identity {
        cluster: CLUSTER,
        node_uuid: Uuid(node.into()),
        node: id,
        lineage: 1,
        shards: groups,
        starts: 1,
        standing: Standing::Member,
    };
    let own = ports[usize::try_from(node).expect("small") - 1];
    let socket = UdpSocket::bind(("127.0.0.1", own)).expect("the port is free");
    let tls = read_tls(dir, node);
    let network = PeerNetwork::start(PeerOptions {
        socket,
        identity,
        config: 0,
        tls,
        snapshot_bytes_per_s: SNAPSHOT_BYTES_PER_S_DEFAULT,
    });
    let network = network.expect("a network");
    let record =
        |port| PeerRecord { addresses: vec![format!("127.0.0.1:{port}")], ..PeerRecord::default() };
    let records = NODES.iter().zip(ports).map(|(node, port)| (NodeId(*node), record(port)));
    network.set_peers(records.collect::<BTreeMap<_, _>>());
    for other in NODES {
        while !network.is_connected(NodeId(other)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let options = LogOptions::new(dir.join(format!("log-{node}")));
    let (log, _) = Log::open(options, Disk).expect("a log");
    let mut running = Vec::new();
    for group in 1..=groups {
        let network = Arc::new(network.clone());
        let options = GroupOptions::shard();
        let group = Group::start(GroupId(group), id, options, &log, network, Sink);
        running.push(group.await.expect("a group"));
    }
    // Each node begins a third of them, and so leads about a third.
    for (group, n) in running.iter().zip(0_u64..) {
        if n % 3 + 1 == node {
            group.initialize(&NODES.map(NodeId)).await.expect("a running group");
        }
    }
    for group in &running {
        let mut leadership = group.leadership();
        leadership.wait_for(|l| l.leader.is_some()).await.expect("a running group");
    }
    let mut commands = BufReader::new(std::io::stdin()).lines();
    println!("ready");
    while tokio::task::block_in_place(|| commands.next()).is_some() {
        let stats = network.stats();
        let led = running.iter().filter(|g| g.leadership().borrow().ours.is_some()).count();
        println!("{} {} {led}", stats.frames_out, stats.writes_out);
    }
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(node: u64, groups: u32, dir: &Path, ports: &[u16]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("--node").arg(node.to_string()).arg(groups.to_string()).arg(dir);
        command.args(ports.iter().map(ToString::to_string));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the node runs").expect("a line")
    }

    /// Frames, writes, groups led.
    fn counts(&mut self) -> Vec<u64> {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"counts\n").expect("the node runs");
        self.line().split(' ').map(|n| n.parse().expect("a number")).collect()
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("the node runs");
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks = fields.skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// UDP packets sent by this machine.
fn packets() -> u64 {
    let mut text = String::new();
    let file = fs::File::open("/proc/net/snmp");
    file.and_then(|mut file| file.read_to_string(&mut text)).expect("the kernel counts");
    let row = text.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap_or_default();
    row.split(' ').nth(4).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn measure(groups: u32, seconds: u64) {
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk under test");
    write_certificates(dir.path());
    // Held until all are known, so that they differ; free again when the nodes bind them.
    let sockets = NODES.map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let ports: Vec<_> =
        sockets.iter().map(|s| s.local_addr().expect("a bound socket").port()).collect();
    drop(sockets);
    let start = |node: &u64| Process::start(*node, groups, dir.path(), &ports);
    let mut nodes: Vec<_> = NODES.iter().map(start).collect();
    for node in &mut nodes {
        assert_eq!(node.line(), "ready");
    }
    std::thread::sleep(Duration::from_secs(3));
    let mut before: Vec<_> = nodes.iter_mut().map(Process::counts).collect();
    let (began, cpu, sent) =
        (Instant::now(), nodes.iter().map(Process::cpu).sum::<Duration>(), packets());
    std::thread::sleep(Duration::from_secs(seconds));
    let took = began.elapsed().as_secs_f64();
    let used = nodes.iter().map(Process::cpu).sum::<Duration>() - cpu;
    let sent = packets() - sent;
    let after: Vec<_> = nodes.iter_mut().map(Process::counts).collect();
    before.iter_mut().zip(&after).for_each(|(before, after)| {
        before.iter_mut().zip(after).for_each(|(before, after)| *before = after - *before);
    });
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let per_s = |count: u64| count as f64 / took;
    let sum = |at: usize| per_s(before.iter().map(|counts| counts[at]).sum());
    let led: Vec<_> = after.iter().map(|counts| counts[2]).collect();
    println!(
        "{groups:>4} groups: {:>5.1} % of a core, all three; frames {:>6.0}/s in {:>6.0} writes/s, \
         {:>6.0} packets/s; led {led:?}",
        used.as_secs_f64() / took * 100.0,
        sum(0),
        sum(1),
        per_s(sent),
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |arg: &String| arg.parse::<u64>().expect("a number");
    if args.first().is_some_and(|arg| arg == "--node") {
        let ports: Vec<_> = args[4..].iter().map(|port| port.parse().expect("a port")).collect();
        let groups = args[2].parse().expect("a number");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        return runtime.block_on(node(number(&args[1]), groups, Path::new(&args[3]), &ports));
    }
    let seconds = args.first().map_or(10, number);
    let groups: Vec<u32> = args.iter().skip(1).map(|arg| arg.parse().expect("a number")).collect();
    for groups in if groups.is_empty() { vec![16, 64, 256] } else { groups } {
        measure(groups, seconds);
    }
}
