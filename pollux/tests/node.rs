//! Nodes as processes, started and stopped by the program: what they say, what they refuse, what
//! they remember. What they do when killed or damaged is tested in `tests/`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pollux"));
    command.env_remove("POLLUX_CONFIG").env_remove("POLLUX_GRPC").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

const ANY: &str = "127.0.0.1:0";

struct Node {
    child: Child,
    founded: bool,
    devices: String,
    grpc: String,
    http: String,
}

impl Node {
    fn start(data: &Path) -> Self {
        let mut child = program()
            .args(["start", "-o", "json", "--trace", "error", "--devices-listen", ANY])
            .args(["--grpc-listen", ANY, "--http-listen", ANY, "--peers-listen", ANY, "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it was piped");
        BufReader::new(out).read_line(&mut line).expect("a node says where it listens");
        let said: Value = serde_json::from_str(&line).expect("its first line is JSON");
        let at = |name: &str| said["listening"][name].as_str().expect("an address").to_owned();
        let founded = said["founded"].as_bool().expect("it says whether it made a cluster");
        Self { child, founded, devices: at("devices"), grpc: at("grpc"), http: at("http") }
    }

    /// Ends it by SIGTERM; its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        let pid = rustix::process::Pid::from_raw(pid).expect("it has an id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn a_twin_outlives_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let patch = ["twin", "patch", "pump", "{\"n\":18446744073709551615}", "--timeout", "30s"];
    let patched = program().args(patch).args(["--grpc", &node.grpc]).output().unwrap();
    assert_eq!(patched.status.code(), Some(0), "{}", text(&patched.stderr));
    assert!(node.founded, "the directory was empty");
    assert_eq!(node.stop(), Some(0));

    let node = Node::start(dir.path());
    assert!(!node.founded, "its cluster was there");
    let get = ["twin", "get", "pump", "-o", "json", "--timeout", "30s", "--grpc", &node.grpc];
    let got = run(&get);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    let twin: Value = serde_json::from_slice(&got.stdout).unwrap();
    assert_eq!(twin["desired"]["n"], u64::MAX);
    assert_eq!(twin["versions"]["desired"], 1);
    let missing = run(&["twin", "get", "nobody", "--timeout", "30s", "--grpc", &node.grpc]);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn taken_ports_are_named_with_their_flags() {
    let (mine, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(theirs.path());
    let taken = [
        ("--devices-listen", &node.devices),
        ("--grpc-listen", &node.grpc),
        ("--http-listen", &node.http),
    ];
    for (number, (flag, address)) in taken.into_iter().enumerate() {
        let data = mine.path().join(number.to_string());
        let mut command = program();
        command.args(["start", "--peers-listen", ANY, "--data-dir"]).arg(&data);
        for (other, _) in taken {
            command.args([other, if other == flag { address } else { ANY }]);
        }
        let refused = command.output().unwrap();
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(address) && said.contains(flag), "{flag} {address}: {said}");
        assert!(!data.join("identity").exists(), "{flag}: no cluster is left behind");
    }
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_data_directory_has_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let data = dir.path().to_str().unwrap();
    let places = [
        "--devices-listen",
        ANY,
        "--grpc-listen",
        ANY,
        "--http-listen",
        ANY,
        "--peers-listen",
        ANY,
    ];
    let refused = program().args(["start", "--data-dir", data]).args(places).output().unwrap();
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(data) && said.contains("in use"), "{said}");
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn dev_shows_devices_that_report() {
    let dir = tempfile::tempdir().unwrap();
    let shown = program()
        .args(["dev", "-o", "json", "--devices", "10", "--duration", "15s", "--data-dir"])
        .arg(dir.path().join("dev"))
        .args([
            "--devices-listen",
            ANY,
            "--grpc-listen",
            ANY,
            "--http-listen",
            ANY,
            "--peers-listen",
            ANY,
        ])
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let lines: Vec<Value> = text(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    assert!(lines[0]["listening"]["devices"].is_string());
    assert!(lines.iter().any(|line| line["devices_connected"] == 10), "{lines:?}");
    assert!(lines.iter().any(|line| line["acked_per_s"].as_u64() > Some(0)), "{lines:?}");
}

#[test]
fn a_verified_run_reports_under_stable_names() {
    let dir = tempfile::tempdir().unwrap();
    let ran = program()
        .current_dir(dir.path())
        .args(["sim", "--devices", "20", "--rate", "50", "--duration", "3s", "--seed", "7"])
        .args(["--verify", "--output", "json"])
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    for name in [
        "acked",
        "acked_per_s",
        "ack_p50_us",
        "ack_p99_us",
        "connects_per_s",
        "lost",
        "doubled",
        "errors",
        "server_cpu_s",
        "server_rss_bytes",
    ] {
        assert!(report[name].is_number(), "{name}: {report}");
    }
    assert!(report["acked"].as_u64() > Some(0), "{report}");
    assert_eq!((report["lost"].as_u64(), report["doubled"].as_u64()), (Some(0), Some(0)));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "the run leaves nothing behind: {left:?}");
}
