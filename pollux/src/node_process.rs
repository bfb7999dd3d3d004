//! A node, or a bare server, as a child process, for runs that measure it: its data in a folder of
//! its own, its ports free ones, ended with the run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use pollux_runtime::pki::PKI_DIR;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::exit::{Exit, Failure};
use crate::limits::{START_MAX, STOP_MAX};

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
    pub(crate) async fn node(dir: PathBuf, core: Option<u32>) -> Result<Self, Failure> {
        Self::node_with(dir, core, &[]).await
    }

    /// The same, with variables of its configuration.
    pub(crate) async fn node_with(
        dir: PathBuf,
        core: Option<u32>,
        variables: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        Self::start_with(Self::arguments(&dir), dir, core, variables).await
    }

    /// Starts a node on the data that another left in `dir`.
    pub(crate) async fn again(dir: PathBuf, core: Option<u32>) -> Result<Self, Failure> {
        Self::again_with(dir, core, &[]).await
    }

    /// The same, with variables of its configuration.
    pub(crate) async fn again_with(
        dir: PathBuf,
        core: Option<u32>,
        variables: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        Self::spawn(Self::arguments(&dir), dir, core, variables).await
    }

    fn arguments(dir: &Path) -> Vec<String> {
        let place = ["--devices-listen", "--grpc-listen", "--http-listen", "--peers-listen"];
        let own = ["start", "--until-stdin-closes", "--trace", "warn,openraft=error", "--data-dir"];
        let mut arguments = own.map(str::to_owned).to_vec();
        arguments.push(dir.display().to_string());
        for flag in place {
            arguments.extend([flag.to_owned(), "127.0.0.1:0".to_owned()]);
        }
        arguments
    }

    /// Starts this program with `arguments`, on one core if asked; what it writes goes to `dir`,
    /// which must not exist yet and is removed in the end.
    pub(crate) async fn start(
        arguments: Vec<String>,
        dir: PathBuf,
        core: Option<u32>,
    ) -> Result<Self, Failure> {
        Self::start_with(arguments, dir, core, &[]).await
    }

    async fn start_with(
        arguments: Vec<String>,
        dir: PathBuf,
        core: Option<u32>,
        variables: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        if dir.exists() {
            return Err(failed("start", &format_args!("{} exists already", dir.display()))
                .next("remove it, or name another folder with --data-dir"));
        }
        Self::spawn(arguments, dir, core, variables).await
    }

    /// Starts this program with `arguments` and variables on what is in `dir`, if anything is.
    pub(crate) async fn resume(
        arguments: Vec<String>,
        dir: PathBuf,
        variables: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        Self::spawn(arguments, dir, None, variables).await
    }

    async fn spawn(
        arguments: Vec<String>,
        dir: PathBuf,
        core: Option<u32>,
        variables: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("start", &error))?;
        let mut command = match core {
            None => Command::new(program),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(program);
                command
            }
        };
        let mut child = command
            .args(arguments)
            .args(["--output", "json"])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // One that was told so ends with this process.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("start", &error))?;
        let out = child.stdout.take().expect("it was piped");
        let mut lines = BufReader::new(out).lines();
        let line = match tokio::time::timeout(START_MAX, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failed("start", &"it ended; what it said stands above")),
            Ok(Err(error)) => return Err(failed("start", &error)),
            Err(_) => return Err(failed("start", &"it did not listen in time")),
        };
        let first: FirstLine =
            serde_json::from_str(&line).map_err(|error| failed("start", &error))?;
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

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| failed("kill", &error))
    }

    /// Stops it in order and removes its data.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let dir = self.dir.clone();
        self.stop_and_keep().await?;
        std::fs::remove_dir_all(&dir).map_err(|error| failed("stop", &error))
    }

    /// Stops it in order; its data stays.
    pub(crate) async fn stop_and_keep(mut self) -> Result<(), Failure> {
        // Open until it has ended: a node that takes its end for the parent's would take the signal for
        // a second one.
        let _open = self.child.stdin.take();
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            let sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            sent.map_err(|error| failed("stop", &error))?;
        }
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed("stop", &status)),
            Ok(Err(error)) => Err(failed("stop", &error)),
            Err(_) => Err(failed("stop", &"it did not end in time")),
        }
    }
}

fn failed(step: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{step} the server of this run: {what}"))
}
