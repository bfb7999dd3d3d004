//! A node as a child process, for runs that measure one: its data in a folder of its own, its
//! ports free ones, ended with the run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pollux_runtime::pki::PKI_DIR;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::exit::{Exit, Failure};

/// A node starts within milliseconds; a slow disk may take seconds.
const START_MAX: Duration = Duration::from_secs(30);
/// As long as a node gives itself to stop in order, and some.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Where the child listens, as it says in its first line.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listening {
    /// Devices.
    pub(crate) devices: String,
    /// gRPC.
    pub(crate) grpc: String,
}

#[derive(Deserialize)]
struct FirstLine {
    listening: Listening,
}

/// A running child.
pub(crate) struct NodeProcess {
    child: Child,
    dir: PathBuf,
    listening: Listening,
}

impl NodeProcess {
    /// Starts a node whose data goes to `dir`, which must not exist yet.
    pub(crate) async fn start(dir: PathBuf) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("start a node for this run: {what}"))
        };
        if dir.exists() {
            return Err(failed(&format_args!("{} exists already", dir.display()))
                .next("remove it, or name another folder with --data-dir"));
        }
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            .args(["start", "--output", "json", "--trace", "warn,openraft=error"])
            .arg("--data-dir")
            .arg(&dir)
            .args(["--devices-listen", "127.0.0.1:0"])
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let out = child.stdout.take().expect("it was piped");
        let mut lines = BufReader::new(out).lines();
        let line = tokio::time::timeout(START_MAX, lines.next_line()).await;
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failed(&"it ended; what it said stands above")),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(failed(&"it did not listen in time")),
        };
        let first: FirstLine = serde_json::from_str(&line).map_err(|error| failed(&error))?;
        Ok(Self { child, dir, listening: first.listening })
    }

    /// Where it listens.
    pub(crate) const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Its certificate authorities.
    pub(crate) fn pki(&self) -> PathBuf {
        self.dir.join(PKI_DIR)
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops it in order and removes its data.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let failed = |what: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("stop the node of this run: {what}"))
        };
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            let sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            sent.map_err(|error| failed(&error))?;
        }
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => return Err(failed(&status)),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(failed(&"it did not end in time")),
        }
        remove(&self.dir).map_err(|error| failed(&error))
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(dir)
}
