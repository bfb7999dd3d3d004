//! `pollux dev`: a node to look around in, with simulated devices from a child process, and a line
//! that says how it does.

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use pollux_runtime::config::{Checked, Layers};
use pollux_runtime::metrics::{Counts, Metrics, resident_bytes};
use pollux_runtime::{Node, Router};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::args::{DevArgs, Output};
use crate::exit::{Exit, Failure};
use crate::start::{Signals, announce, node, stop};
use crate::{configure, print, trace};

/// Where `dev` differs from the defaults of a node that is there to stay.
const DEFAULTS: &str = "\
data_dir = \".pollux-dev\"
listen.devices = \"127.0.0.1:4433\"
trace.filter = \"warn,openraft=error\"
";

const SECOND: Duration = Duration::from_secs(1);
/// Without a terminal a line now and then is enough.
const LINE_EVERY: u64 = 5;

/// Runs node and fleet until a signal or the given time.
pub(crate) async fn run(output: Output, args: DevArgs) -> Result<(), Failure> {
    let base = Layers::new().text(DEFAULTS, "the defaults of dev");
    let config = configure::layers(base, &args.node).check().map_err(configure::wrong)?;
    let mut signals = Signals::listen()?;
    trace::set_up(&config.trace)?;
    let node = node(&config).await?;
    announce(output, &node)?;
    let ready = ready(&node.router(), &mut signals).await;
    let fleet = match ready && !args.no_sim {
        true => Some(fleet(&config, &node, &args)?),
        false => None,
    };
    if output == Output::Text {
        print::note(&introduce(&config, &args));
    }
    let (watched, fleet) = match ready {
        true => watch(output, &node, &args, &mut signals, fleet).await,
        false => (Ok(()), fleet),
    };
    // The devices hear the node's bye before they end themselves.
    stop(node, signals).await;
    drop(fleet);
    watched
}

/// Waits for all shards to open; false if a signal came first.
async fn ready(router: &Router, signals: &mut Signals) -> bool {
    while !router.readiness().ready {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            () = signals.next() => return false,
        }
    }
    true
}

fn introduce(config: &Checked, args: &DevArgs) -> String {
    let data = config.data_dir.display();
    let fleet = match args.no_sim {
        true => format!(
            "no simulated devices; make your own known with `pollux device cert NAME --data-dir {data}`"
        ),
        false => format!("{} simulated devices; see them with `pollux twin list`", args.devices),
    };
    format!("{fleet}\nstate in {data}; Ctrl-C stops\n")
}

fn fleet(config: &Checked, node: &Node, args: &DevArgs) -> Result<Child, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Failed, format!("find this program: {error}")))?;
    let at = node.addresses();
    Command::new(program)
        .arg("sim")
        .args(["--devices", &args.devices.to_string()])
        .args(["--rate", &args.rate.unwrap_or(args.devices).to_string()])
        .args(["--target", &at.devices.to_string()])
        .args(["--grpc", &format!("http://{}", at.grpc)])
        .arg("--pki")
        .arg(config.data_dir.join(pollux_runtime::pki::PKI_DIR))
        .args(["--desired-rate", "1", "--command-rate", "1", "--telemetry-rate", "10"])
        .args(["--forever", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the node; the devices go when they have heard its bye.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::new(Exit::Failed, format!("start simulated devices: {error}")))
}

/// Shows how the node does, each second.
async fn watch(
    output: Output,
    node: &Node,
    args: &DevArgs,
    signals: &mut Signals,
    mut fleet: Option<Child>,
) -> (Result<(), Failure>, Option<Child>) {
    let metrics = node.metrics();
    let on_terminal = std::io::stderr().is_terminal();
    let end = tokio::time::sleep(args.duration.unwrap_or(Duration::MAX));
    tokio::pin!(end);
    let mut seconds = tokio::time::interval(SECOND);
    seconds.tick().await;
    let mut before = Sample::take(&metrics);
    let mut count = 0;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = &mut end => break,
            _ = seconds.tick() => {
                let now = Sample::take(&metrics);
                count += 1;
                if output == Output::Json {
                    if let Err(failure) = print::line(&now.since(&before).to_string()) {
                        return (Err(failure), fleet);
                    }
                } else if on_terminal || count % LINE_EVERY == 1 {
                    print::status(&line(&now.since(&before)));
                }
                before = now;
                if let Some(status) = ended(&mut fleet) {
                    print::status_end();
                    print::note(&format!("the simulated devices ended ({status}); the node goes on"));
                }
            }
        }
    }
    print::status_end();
    (Ok(()), fleet)
}

/// How the child ended, the first time that is asked.
fn ended(fleet: &mut Option<Child>) -> Option<std::process::ExitStatus> {
    let status = fleet.as_mut()?.try_wait().ok()??;
    *fleet = None;
    Some(status)
}

/// What the node has counted so far.
struct Sample {
    devices: i64,
    acks: u64,
    ack_seconds: Counts,
    commits: u64,
    rss_bytes: i64,
}

impl Sample {
    fn take(metrics: &Metrics) -> Self {
        Self {
            devices: metrics.devices_connected.get(),
            acks: metrics.acks_total.get(),
            ack_seconds: metrics.ack_seconds.counts(),
            commits: metrics.batches_total.get(),
            rss_bytes: resident_bytes().unwrap_or(0),
        }
    }

    /// What happened in the second since `before`.
    fn since(&self, before: &Self) -> Value {
        let window = self.ack_seconds.since(&before.ack_seconds);
        json!({
            "devices_connected": self.devices,
            "acked_per_s": self.acks - before.acks,
            "ack_p50_us": window.quantile(0.5).map(|ns| ns / 1000),
            "ack_p99_us": window.quantile(0.99).map(|ns| ns / 1000),
            "commits_per_s": self.commits - before.commits,
            "rss_bytes": self.rss_bytes,
        })
    }
}

fn line(sample: &Value) -> String {
    let ms = |name: &str| match sample[name].as_u64() {
        Some(us) => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        None => "-".into(),
    };
    format!(
        "{} devices | {} acked reports/s | ack p50 {} p99 {} | {} commits/s | {} MiB",
        sample["devices_connected"],
        sample["acked_per_s"],
        ms("ack_p50_us"),
        ms("ack_p99_us"),
        sample["commits_per_s"],
        sample["rss_bytes"].as_u64().unwrap_or(0) / (1024 * 1024),
    )
}
