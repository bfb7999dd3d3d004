//! A node as a real process, child of a test: started on loopback with ports of its own choice,
//! killed by its own id, bounded in time. What is asked of it goes through the real command line.

mod binary;
pub mod cluster;
mod counter;
mod devices;
mod disk;
mod faults;
pub mod http;
pub mod keys;
pub mod lan;
mod offline;
pub mod raw;
mod secure;
mod site;
mod wire;
mod witness;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

pub use binary::pollux as program;
pub use counter::Counters;
pub use devices::Devices;
pub use disk::SmallDisk;
pub use http::Reply;
pub use offline::offline;
pub use pollux_runtime::pki::Identity;
pub use raw::{Ended, Raw, bytes_of, hello};
pub use secure::Secure;
pub use site::Site;
pub use wire::Wire;
pub use witness::Witness;

/// How long a node may take to start: long, as tests share few cores.
const START: Duration = Duration::from_secs(120);
/// How long a node may take to stop.
const STOP: Duration = Duration::from_secs(60);
/// How often a node that is to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How to start a node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its data directory.
    pub data: PathBuf,
    /// Where devices dial; port 0 takes any.
    pub devices: String,
    /// Where gRPC listens.
    pub grpc: String,
    /// Where HTTP listens.
    pub http: String,
    /// Where other nodes connect.
    pub peers: String,
    /// Configuration by variables, such as `POLLUX_LOG__SEGMENT_BYTES`.
    pub variables: Vec<(String, String)>,
    /// The network namespace that it runs in, if not the test's own.
    pub namespace: Option<String>,
}

impl NodeOptions {
    /// A node with this data directory and any ports.
    pub fn new(data: &Path) -> Self {
        let any = || "127.0.0.1:0".to_owned();
        Self {
            data: data.to_owned(),
            devices: any(),
            grpc: any(),
            http: any(),
            peers: any(),
            variables: Vec::new(),
            namespace: None,
        }
    }

    /// The same with one key of the configuration set.
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Starts the node and waits until it listens.
    pub fn start(&self) -> Result<NodeProcess> {
        let mut child = self.spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        match announced(stdout) {
            Ok([devices, grpc, http, peers]) => {
                Ok(NodeProcess { devices, grpc, http, peers, child, options: self.clone() })
            }
            Err(error) => {
                // It ended by itself, or is stuck: either way it is ours to end.
                let _ended = child.kill();
                let status = child.wait()?;
                Err(error.context(format!("{status}; it said: {}", self.said())))
            }
        }
    }

    /// Starts the node and kills it after a while, whatever it is at by then.
    pub fn start_for(&self, life: Duration) -> Result<()> {
        let mut child = self.spawn()?;
        thread::sleep(life);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts the node, which must refuse to: what it said.
    pub fn refused(&self) -> Result<String> {
        match self.start() {
            Ok(node) => bail!("the node started at {}", node.devices),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    fn spawn(&self) -> Result<Child> {
        let said = File::create(self.said_path())?;
        self.program()?
            .args(["start", "--output", "json", "--data-dir"])
            .arg(&self.data)
            .args(["--devices-listen", &self.devices])
            .args(["--grpc-listen", &self.grpc])
            .args(["--http-listen", &self.http])
            .args(["--peers-listen", &self.peers])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .context("start the node")
    }

    /// The program under test, where the node is. Neither way adds a process: its id is the node's.
    fn program(&self) -> Result<Command> {
        let program = binary::pollux()?;
        let Some(namespace) = &self.namespace else { return Ok(Command::new(program)) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        Ok(command)
    }

    /// What the node wrote to its error output, traces among it.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.said_path()).unwrap_or_default()
    }

    fn said_path(&self) -> PathBuf {
        self.data.with_extension("said")
    }
}

/// Runs a verb of the command line on a node's data directory, which comes last.
pub fn run(verb: &[&str], options: &NodeOptions) -> Result<()> {
    let output = Command::new(binary::pollux()?)
        .args(verb)
        .arg(&options.data)
        .envs(options.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("{}; it said: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A running node; killed when dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    options: NodeOptions,
    /// Where devices dial.
    pub devices: String,
    /// Where gRPC listens.
    pub grpc: String,
    /// Where HTTP listens.
    pub http: String,
    /// Where other nodes connect.
    pub peers: String,
}

impl NodeProcess {
    /// Options that start it again with the same data at the same addresses.
    pub fn again(&self) -> NodeOptions {
        NodeOptions {
            devices: self.devices.clone(),
            grpc: self.grpc.clone(),
            http: self.http.clone(),
            peers: self.peers.clone(),
            ..self.options.clone()
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits until it has stopped in order.
    pub fn stop(mut self) -> Result<ExitStatus> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        for _ in 0..STOP.as_millis() / LOOK.as_millis() {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
        Err(anyhow!("the node did not stop within {STOP:?}"))
    }

    /// SIGHUP: it looks at its files.
    pub fn hang_up(&self) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(id, rustix::process::Signal::HUP)?)
    }

    /// Waits until what it said contains a text.
    pub fn says(&self, text: &str) -> Result<()> {
        for _ in 0..START.as_millis() / LOOK.as_millis() {
            if self.options.said().contains(text) {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("the node did not say {text:?}, but: {}", self.options.said())
    }

    /// Runs a verb of the command line against it; the JSON that it prints. Where the node checks its callers, by
    /// the secret of its data directory.
    pub fn ask(&self, verb: &[&str]) -> Result<Value> {
        let root = self.data().join(pollux_runtime::ROOT_TOKEN_FILE);
        let file = if root.exists() { root } else { PathBuf::new() };
        self.ask_by(verb, "POLLUX_TOKEN_FILE", &file.display().to_string())
    }

    /// As [`Self::ask`], with a token; empty: without any.
    pub fn ask_as(&self, token: &str, verb: &[&str]) -> Result<Value> {
        self.ask_by(verb, "POLLUX_TOKEN", token)
    }

    fn ask_by(&self, verb: &[&str], variable: &str, value: &str) -> Result<Value> {
        let mut command = Command::new(binary::pollux()?);
        if !value.is_empty() {
            command.env(variable, value);
        }
        let output = command
            .args(verb)
            .args(["--output", "json"])
            .env("POLLUX_GRPC", format!("http://{}", self.grpc))
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{verb:?}: {}; it said: {said}", output.status);
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A twin's document.
    pub fn twin(&self, device: &str) -> Result<Value> {
        self.ask(&["twin", "get", device])
    }

    /// The body of `GET path` over HTTP, whatever its status.
    pub fn get(&self, path: &str) -> Result<String> {
        Ok(self.send("GET", path, &[], b"")?.body)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.options.data
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Nothing to do about a child that is gone already.
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Waits for the line that says where the node listens: devices, gRPC, HTTP, peers.
fn announced(stdout: std::process::ChildStdout) -> Result<[String; 4]> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Only the first line is waited for; the rest is read so that the node can write it.
            let _nobody_waits = sender.try_send(line);
        }
    });
    let line = receiver.recv_timeout(START).context("the node did not say where it listens")?;
    let said: Value = serde_json::from_str(&line)?;
    let at = |what: &str| {
        let address = said["listening"][what].as_str().map(str::to_owned);
        address.ok_or_else(|| anyhow!("{line}"))
    };
    Ok([at("devices")?, at("grpc")?, at("http")?, at("peers")?])
}
