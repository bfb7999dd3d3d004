//! `pollux sim`: options for the simulator, a node for the run if none is named, and the report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_simulator::{Fault, Identities, Load, Options, Progress, Report, Shape};

use crate::args::{LoadName, Output, ShapeName, SimArgs};
use crate::exit::{Exit, Failure};
use crate::node_process::NodeProcess;
use crate::start::Signals;
use crate::{parent, print, sim_cluster, trace};

/// How long a run without an end is given: longer than any machine stays up.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Runs the simulation and prints its report.
pub(crate) async fn run(output: Output, args: SimArgs) -> Result<(), Failure> {
    check(&args)?;
    trace::set_up_quiet()?;
    if args.nodes > 1 || args.faults.is_some() {
        return sim_cluster::run(output, &args).await;
    }
    if args.target.is_empty() {
        let dir = args
            .data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!(".pollux-sim-{}", std::process::id())));
        let node = NodeProcess::node(dir, args.server_core).await?;
        let at = node.listening().clone();
        let options = options(&args, vec![at.devices], vec![at.grpc], &node.pki(), node.id());
        let ended = match options {
            Ok(options) => simulate(output, &args, options).await,
            Err(failure) => Err(failure),
        };
        let stopped = node.stop().await;
        return ended.and(stopped);
    }
    let pki = args.pki.clone().expect("--target requires --pki");
    let (targets, services) = (args.target.clone(), args.grpc.clone());
    let options = options(&args, targets, services, &pki, args.server_pid)?;
    simulate(output, &args, options).await
}

/// What would only be found out once a node runs, or when the run is over.
fn check(args: &SimArgs) -> Result<(), Failure> {
    let calls = args.verify
        || args.desired_rate > 0.0
        || args.command_rate > 0.0
        || args.load == LoadName::Reads;
    if calls && !args.target.is_empty() && args.grpc.is_empty() {
        let text = "--verify, --load reads, --desired-rate and --command-rate need a gRPC endpoint";
        return Err(Failure::new(Exit::Usage, text)
            .next("name one of that cluster with --grpc, as in --grpc http://127.0.0.1:4434"));
    }
    let Some(page) = &args.html else { return Ok(()) };
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.is_none_or(Path::is_dir) && !page.is_dir() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Usage,
            format!("--html {}: it takes a file in a folder that is there", page.display()),
        )
        .next("make the folder first, or name another file")),
    }
}

async fn simulate(output: Output, args: &SimArgs, options: Options) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let show = |progress: &Progress| print::status(&progress.to_string());
    let report = tokio::select! {
        report = pollux_simulator::run(options, show) => report.map_err(wrong)?,
        () = signals.next() => {
            print::status_end();
            return Err(Failure::new(Exit::Failed, "interrupted before the report"));
        }
        () = parent::gone(args.forever) => return Ok(()),
    };
    print::status_end();
    finish(output, args, &report)
}

pub(crate) fn finish(output: Output, args: &SimArgs, report: &Report) -> Result<(), Failure> {
    match output {
        Output::Text => print::line(&report.to_string())?,
        Output::Json => print::line(&report.to_json())?,
    }
    if let Some(path) = &args.html {
        std::fs::write(path, report.to_html()).map_err(|error| {
            Failure::new(Exit::Failed, format!("write the page {}: {error}", path.display()))
        })?;
    }
    if report.failed() {
        let text = format!(
            "the run has failed: {} lost, {} doubled, {} went back",
            report.lost, report.doubled, report.went_back
        );
        return Err(Failure::new(Exit::Failed, text)
            .next("the histories of those devices are in the report; --seed repeats the run"));
    }
    Ok(())
}

/// Devices that a node's device CA vouches for, by the `pki/` folder of its data directory.
pub(crate) fn devices_of(pki: &Path) -> Result<Options, Failure> {
    let read = |name: &str| {
        let path = pki.join(name);
        std::fs::read(&path).map_err(|error| {
            Failure::new(Exit::Failed, format!("read {}: {error}", path.display()))
        })
    };
    let identities =
        Identities::Authority { certificate: read("device-ca.pem")?, key: read("device-ca.key")? };
    Ok(Options::new("", read("server-ca.pem")?, identities))
}

/// What the simulator is to do, as the flags say.
pub(crate) fn options(
    args: &SimArgs,
    targets: Vec<String>,
    services: Vec<String>,
    pki: &Path,
    server_pid: Option<u32>,
) -> Result<Options, Failure> {
    let mut options = devices_of(pki).map_err(|failure| {
        Failure { exit: Exit::Usage, ..failure }
            .next("name the pki folder of the node's data directory with --pki")
    })?;
    let url = |address: String| match address.contains("://") {
        true => address,
        false => format!("http://{address}"),
    };
    options.targets = targets;
    options.services = services.into_iter().map(url).collect();
    options.server_name.clone_from(&args.server_name);
    options.tenant.clone_from(&args.tenant);
    options.prefix.clone_from(&args.prefix);
    options.devices = args.devices;
    options.connects_per_s = args.connect_rate;
    options.load = load(args);
    options.report_bytes = args.report_bytes;
    options.shape = shape(args.shape);
    options.telemetry_per_s = args.telemetry_rate;
    options.volatile_per_s = args.volatile_rate;
    options.desired_per_s = args.desired_rate;
    options.commands_per_s = args.command_rate;
    options.drops_per_s = args.drop_rate;
    options.away = args.away;
    options.warm_up = args.warm_up;
    options.duration = if args.forever { FOREVER } else { args.duration };
    options.seed = args.seed;
    options.verify = args.verify;
    options.server_pid = server_pid;
    Ok(options)
}

fn load(args: &SimArgs) -> Load {
    match args.load {
        LoadName::Paced => Load::PerSecond(args.rate.unwrap_or_else(|| f64::from(args.devices))),
        LoadName::OneInFlight => Load::OneInFlight,
        LoadName::Idle => Load::Idle,
        LoadName::Connects => Load::Connects { parallel: args.parallel },
        LoadName::Reads => Load::Reads { parallel: args.parallel },
    }
}

const fn shape(name: ShapeName) -> Shape {
    match name {
        ShapeName::Flat => Shape::Flat,
        ShapeName::Wide => Shape::Wide,
        ShapeName::Deep => Shape::Deep,
        ShapeName::Mixed => Shape::Mixed,
    }
}

/// A run that could not be made.
pub(crate) fn wrong(fault: Fault) -> Failure {
    let exit = match fault {
        Fault::Options { .. } => Exit::Usage,
        Fault::Connect { .. } | Fault::Services { .. } => Exit::Unavailable,
        _ => Exit::Failed,
    };
    let next = match fault {
        Fault::Connect { .. } => "name with --target where the nodes listen for devices",
        Fault::Services { .. } => "name with --grpc where the nodes listen for gRPC",
        _ => return Failure::new(exit, fault),
    };
    Failure::new(exit, fault).next(next)
}
