//! `pollux bench …`: a node and a bare server under the same load, in turn, in one run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_runtime::clock::Clock;
use pollux_runtime::{device_transport, pki};
use pollux_simulator::echo::{self, ServerTls, Sizes};
use pollux_simulator::{Identities, Load, Options, Progress, Report, frame_bytes, greeting_bytes};
use serde_json::{Value, json};

use crate::args::{BenchArgs, BenchCommand, Output, ServeArgs};
use crate::exit::{Exit, Failure};
use crate::node_process::NodeProcess;
use crate::start::Signals;
use crate::{
    bench_job, bench_policies, bench_query, bench_register, bench_start, bench_watch, bench_writes,
    print, sim, trace,
};

/// As a node's default, so that both sides hold the same connection state.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Days that a bare server's certificate is good for.
const CERTIFICATE_DAYS: u32 = 1;

/// What is compared.
#[derive(Clone, Copy)]
struct Figure {
    name: &'static str,
    of: fn(&Report) -> Option<f64>,
}

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: BenchCommand) -> Result<(), Failure> {
    trace::set_up_quiet()?;
    let (args, load, figure) = match command {
        BenchCommand::Serve(args) => return serve(&args).await,
        BenchCommand::Start(args) => return bench_start::run(output, &args).await,
        BenchCommand::Writes(args) => return bench_writes::run(output, &args).await,
        BenchCommand::Register(args) => return bench_register::run(output, &args).await,
        BenchCommand::Watch(args) => return bench_watch::run(output, &args).await,
        BenchCommand::Job(args) => return bench_job::run(output, &args).await,
        BenchCommand::Policies(args) => return bench_policies::run(output, &args).await,
        BenchCommand::Query(args) => return bench_query::run(output, &args).await,
        BenchCommand::Reports(args) => {
            let of = |report: &Report| report.acked_per_server_cpu_s;
            (args, Load::OneInFlight, Figure { name: "acked_per_server_cpu_s", of })
        }
        BenchCommand::Connects(args) => {
            let load = Load::Connects { parallel: args.parallel };
            let of = |report: &Report| report.connects_per_server_cpu_s;
            (args, load, Figure { name: "connects_per_server_cpu_s", of })
        }
        BenchCommand::Idle(args) => {
            let of = |report: &Report| report.server_rss_per_device_bytes;
            (args, Load::Idle, Figure { name: "server_rss_per_device_bytes", of })
        }
        BenchCommand::Reads(args) => {
            let load = Load::Reads { parallel: args.parallel };
            let of = |report: &Report| report.reads_per_server_cpu_s;
            (args, load, Figure { name: "reads_per_server_cpu_s", of })
        }
    };
    compare(output, &args, load, figure).await
}

async fn compare(
    output: Output,
    args: &BenchArgs,
    load: Load,
    figure: Figure,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        let sides = async {
            let node = node(args, load).await?;
            let bare = bare(args, load).await?;
            Ok::<_, Failure>((node, bare))
        };
        let (node, bare) = tokio::select! {
            sides = sides => sides?,
            () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted")),
        };
        let (of_node, of_bare) = ((figure.of)(&node), (figure.of)(&bare));
        let ratio = of_node.zip(of_bare).map(|(node, bare)| node / bare);
        if output == Output::Text {
            let shown = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
            };
            print::line(&format!(
                "round {round}: {} of the node {}, of a bare server {}, ratio {}",
                figure.name,
                shown(of_node),
                shown(of_bare),
                shown(ratio)
            ))?;
        }
        rounds.push(json!({
            "figure": figure.name,
            "node": of_node,
            "bare": of_bare,
            "ratio": ratio,
            "node_report": node,
            "bare_report": bare,
        }));
    }
    match output {
        Output::Text => Ok(()),
        Output::Json => print::line(&Value::from(rounds).to_string()),
    }
}

/// Where a side has its data.
pub(crate) fn dir(side: &str) -> PathBuf {
    PathBuf::from(format!(".pollux-bench-{side}-{}", std::process::id()))
}

/// Shows how far a run is.
pub(crate) fn show(progress: &Progress) {
    print::status(&progress.to_string());
}

async fn node(args: &BenchArgs, load: Load) -> Result<Report, Failure> {
    let server = NodeProcess::node(dir("node"), args.server_core).await?;
    let report = match options(args, load, &server) {
        Ok(options) => pollux_simulator::run(options, show).await.map_err(sim::wrong),
        Err(failure) => Err(failure),
    };
    print::status_end();
    server.stop().await.and(report)
}

async fn bare(args: &BenchArgs, load: Load) -> Result<Report, Failure> {
    let dir = dir("bare");
    let sizes = sizes(args, load)?;
    let arguments = [
        "bench".to_owned(),
        "serve".to_owned(),
        "--pki".to_owned(),
        dir.join(pki::PKI_DIR).display().to_string(),
        "--up".to_owned(),
        sizes.up.to_string(),
        "--down".to_owned(),
        sizes.down.to_string(),
        "--report-bytes".to_owned(),
        args.report_bytes.to_string(),
    ];
    let server = NodeProcess::start(arguments.to_vec(), dir, args.server_core).await?;
    let report = match options(args, load, &server) {
        Ok(options) => echo::run(options, sizes, show).await.map_err(sim::wrong),
        Err(failure) => Err(failure),
    };
    print::status_end();
    server.stop().await.and(report)
}

/// What the fleet does to a server.
pub(crate) fn options(
    args: &BenchArgs,
    load: Load,
    server: &NodeProcess,
) -> Result<Options, Failure> {
    let at = server.listening();
    let pki = server.pki();
    let mut options = sim::devices_of(&pki)?;
    options.targets = vec![at.devices.clone()];
    options.services = vec![format!("http://{}", at.grpc)];
    options.server_pid = server.id();
    fill(&mut options, args, load);
    Ok(options)
}

fn fill(options: &mut Options, args: &BenchArgs, load: Load) {
    options.devices = args.devices;
    options.load = load;
    options.report_bytes = args.report_bytes;
    options.warm_up = args.warm_up;
    options.duration = args.duration;
}

/// Messages of the sizes that a node's own have: those of a greeting, where that is all.
fn sizes(args: &BenchArgs, load: Load) -> Result<Sizes, Failure> {
    let nobody = Identities::Directory(PathBuf::new());
    let mut options = Options::new("nowhere:0", Vec::new(), nobody);
    fill(&mut options, args, load);
    if args.report_bytes > pollux_simulator::limits::REPORT_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, "--report-bytes is larger than a report can be"));
    }
    let (up, down) = match load {
        Load::Connects { .. } | Load::Idle => greeting_bytes(&options),
        Load::OneInFlight | Load::PerSecond(_) | Load::Reads { .. } => frame_bytes(&options),
    };
    Ok(Sizes { up, down })
}

/// The bare server: QUIC and gRPC, until a signal.
async fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("start the bare server: {error}"))
    };
    let now = Clock::new().wall();
    pki::device_authority(&args.pki, now).map_err(|error| failed(&error))?;
    let authority = pki::server_authority(&args.pki, now).map_err(|error| failed(&error))?;
    let identity =
        authority.issue_server(&[], now, CERTIFICATE_DAYS).map_err(|error| failed(&error))?;
    let (cert, key) = (args.pki.join("server.pem"), args.pki.join("server.key"));
    identity.write(&cert, &key).map_err(|error| failed(&error))?;
    let tls = ServerTls {
        certificate: read(&cert)?,
        key: read(&key)?,
        device_ca: read(&args.pki.join("device-ca.pem"))?,
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let transport = device_transport(None, IDLE_TIMEOUT);
    let endpoint = echo::endpoint(any, &tls, transport).map_err(sim::wrong)?;
    let devices = endpoint.local_addr().map_err(|error| failed(&error))?;
    let mut options = Options::new("nowhere:0", Vec::new(), Identities::Directory(PathBuf::new()));
    options.report_bytes = args.report_bytes;
    let ready = |grpc: SocketAddr| {
        let at = json!({"devices": devices.to_string(), "grpc": grpc.to_string()});
        // Whoever started this server sees a line that does not come.
        let _ = print::line(&json!({ "listening": at }).to_string());
    };
    let sizes = Sizes { up: args.up, down: args.down };
    tokio::select! {
        () = echo::serve(endpoint, sizes) => Ok(()),
        ended = echo::serve_reads(any, &options, ready) => ended.map_err(sim::wrong),
        () = signals.next() => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::new(Exit::Failed, format!("read {}: {error}", path.display())))
}
