//! `pollux dev`: a node to look around in, or several that form a cluster, with simulated devices from a
//! child process, and a line that says how it does.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pollux_runtime::config::{Checked, Layers};
use pollux_runtime::{Node, Router};
use tokio::process::{Child, Command};

use crate::args::{DevArgs, Output};
use crate::exit::{Exit, Failure};
use crate::limits::LINE_EVERY;
use crate::live::{Sample, line};
use crate::local_cluster::{LocalCluster, Options, Places};
use crate::start::{Signals, announce, node, stop};
use crate::{configure, print, scrape, trace};

/// Where `dev` differs from the defaults of a node that is there to stay.
const DEFAULTS: &str = "\
data_dir = \".pollux-dev\"
listen.devices = \"127.0.0.1:4433\"
trace.filter = \"warn,openraft=error\"
";
/// The folder of several nodes: one of a single node holds no cluster.
const CLUSTER_DIR: &str = "data_dir = \".pollux-dev-cluster\"";

const SECOND: Duration = Duration::from_secs(1);

/// What is looked at.
enum Nodes {
    /// In this process.
    One(Box<Node>),
    /// Processes of their own.
    Several(Box<LocalCluster>),
}

impl Nodes {
    /// What they have counted; those that do not answer now are left out.
    async fn sample(&self) -> Sample {
        match self {
            Self::One(node) => Sample::read(&node.metrics().encode()),
            Self::Several(cluster) => {
                let mut all = Sample::default();
                for node in &cluster.nodes {
                    if let Ok(text) = scrape::metrics(node.places.http).await {
                        all = all.and(&Sample::read(&text));
                    }
                }
                all
            }
        }
    }
}

/// Where the simulated devices go.
struct Doors {
    devices: Vec<String>,
    grpc: Vec<String>,
    pki: PathBuf,
}

/// Runs nodes and fleet until a signal or the given time.
pub(crate) async fn run(output: Output, args: DevArgs) -> Result<(), Failure> {
    let base = Layers::new().text(DEFAULTS, "the defaults of dev");
    if args.nodes > 1 {
        let base = base.text(CLUSTER_DIR, "the defaults of dev");
        let config = configure::layers(base, &args.node).check().map_err(configure::wrong)?;
        return cluster(output, &config, &args).await;
    }
    let config = configure::layers(base, &args.node).check().map_err(configure::wrong)?;
    let mut signals = Signals::listen()?;
    trace::set_up(&config.trace)?;
    let node = node(&config).await?;
    announce(output, &node, None)?;
    let ready = ready(&node.router(), &mut signals).await;
    let at = node.addresses();
    let doors = Doors {
        devices: vec![at.devices.to_string()],
        grpc: vec![format!("http://{}", at.grpc)],
        pki: config.data_dir.join(pollux_runtime::pki::PKI_DIR),
    };
    let fleet = match ready && !args.no_sim {
        true => Some(fleet(&doors, &args)?),
        false => None,
    };
    if output == Output::Text {
        print::note(&introduce(&config.data_dir, &config.data_dir, &args));
    }
    let nodes = Nodes::One(Box::new(node));
    let (watched, fleet) = match ready {
        true => watch(output, &nodes, &args, &mut signals, fleet).await,
        false => (Ok(()), fleet),
    };
    if let Nodes::One(node) = nodes {
        stop(*node, signals).await;
    }
    // The devices hear the node's bye before they end themselves.
    drop(fleet);
    watched
}

/// The same with several nodes.
async fn cluster(output: Output, config: &Checked, args: &DevArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    trace::set_up(&config.trace)?;
    let listen = &config.listen;
    let first = Places {
        devices: listen.devices,
        grpc: listen.grpc,
        http: listen.http,
        peers: listen.peers,
    };
    let dir = config.data_dir.clone();
    let options = Options::new(dir.clone(), first, args.node.clone());
    if output == Output::Text {
        print::note(&format!("{} nodes start in {}", args.nodes, dir.display()));
    }
    let cluster = tokio::select! {
        cluster = LocalCluster::open(options, args.nodes) => cluster?,
        () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted")),
    };
    let doors = Doors {
        devices: cluster.nodes.iter().map(|node| node.places.devices.to_string()).collect(),
        grpc: cluster.nodes.iter().map(|node| format!("http://{}", node.places.grpc)).collect(),
        pki: cluster.pki(),
    };
    let text: Vec<_> = (1..)
        .zip(&cluster.nodes)
        .map(|(id, node)| {
            let Places { devices, grpc, http, .. } = node.places;
            format!("node {id}  devices quic://{devices}  gRPC http://{grpc}  HTTP http://{http}")
        })
        .collect();
    let json =
        serde_json::json!({"nodes": cluster.nodes.iter().map(|n| n.places).collect::<Vec<_>>()});
    print::result(output, &text.join("\n"), &json)?;
    let fleet = if args.no_sim { None } else { Some(fleet(&doors, args)?) };
    if output == Output::Text {
        print::note(&introduce(&dir, &dir.join("node-1"), args));
    }
    let nodes = Nodes::Several(Box::new(cluster));
    let (watched, fleet) = watch(output, &nodes, args, &mut signals, fleet).await;
    let stopped = match nodes {
        Nodes::Several(mut cluster) => {
            print::note("stopping: bye to the devices, then checkpoints; once more to end at once");
            tokio::select! {
                stopped = cluster.stop() => stopped,
                () = signals.next() => {
                    print::note("ended at once");
                    Ok(())
                }
            }
        }
        Nodes::One(_) => Ok(()),
    };
    drop(fleet);
    watched.and(stopped)
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

/// What there is to see, and where; `authority` has the CA of devices.
fn introduce(data: &Path, authority: &Path, args: &DevArgs) -> String {
    let fleet = match args.no_sim {
        true => format!(
            "no simulated devices; make your own known with `pollux device cert NAME --data-dir {}`",
            authority.display()
        ),
        false => format!("{} simulated devices; see them with `pollux twin list`", args.devices),
    };
    let cluster = match args.nodes {
        1 => "",
        _ => "see nodes and shards with `pollux cluster status`\n",
    };
    format!("{fleet}\n{cluster}state in {}; Ctrl-C stops\n", data.display())
}

fn fleet(doors: &Doors, args: &DevArgs) -> Result<Child, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Failed, format!("find this program: {error}")))?;
    Command::new(program)
        .arg("sim")
        .args(["--devices", &args.devices.to_string()])
        .args(["--rate", &args.rate.unwrap_or(args.devices).to_string()])
        .args(["--target", &doors.devices.join(",")])
        .args(["--grpc", &doors.grpc.join(",")])
        .arg("--pki")
        .arg(&doors.pki)
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

/// Shows how the nodes do, each second.
async fn watch(
    output: Output,
    nodes: &Nodes,
    args: &DevArgs,
    signals: &mut Signals,
    mut fleet: Option<Child>,
) -> (Result<(), Failure>, Option<Child>) {
    let on_terminal = std::io::stderr().is_terminal();
    let end = tokio::time::sleep(args.duration.unwrap_or(Duration::MAX));
    tokio::pin!(end);
    let mut seconds = tokio::time::interval(SECOND);
    seconds.tick().await;
    let mut before = nodes.sample().await;
    let mut count = 0;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = &mut end => break,
            _ = seconds.tick() => {
                let now = nodes.sample().await;
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
                    let text = format!("the simulated devices ended ({status}); the rest goes on");
                    print::note(&text);
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
