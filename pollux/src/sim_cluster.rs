//! `pollux sim --nodes …`: the simulator over a cluster of its own, and a script of faults that is played
//! while it is measured.

use std::path::{Path, PathBuf};

use pollux_simulator::{FaultStep, Phase, Progress, Timeline, run_with};
use tokio::sync::watch;

use crate::args::{Output, SimArgs};
use crate::exit::{Exit, Failure};
use crate::faults::Stage;
use crate::local_cluster::{self, LocalCluster};
use crate::start::Signals;
use crate::{print, sim};

/// Runs the simulation over a cluster and prints its report.
pub(crate) async fn run(output: Output, args: &SimArgs) -> Result<(), Failure> {
    let script =
        args.faults.as_deref().map_or(Ok(Vec::new()), |faults| read(faults, args.nodes))?;
    let mut signals = Signals::listen()?;
    let dir = args
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!(".pollux-sim-{}", std::process::id())));
    let interrupted = || Err(Failure::new(Exit::Failed, "interrupted before the report"));
    let options = local_cluster::Options::in_dir(dir).with_wires();
    let cluster = tokio::select! {
        cluster = LocalCluster::form(options, args.nodes) => cluster?,
        () = signals.next() => return interrupted(),
    };
    let ran = tokio::select! {
        ran = Box::pin(play(output, args, cluster, script)) => ran,
        () = signals.next() => interrupted(),
    };
    print::status_end();
    ran
}

async fn play(
    output: Output,
    args: &SimArgs,
    mut cluster: LocalCluster,
    script: Vec<FaultStep>,
) -> Result<(), Failure> {
    let targets = cluster.nodes.iter().map(|node| node.places.devices.to_string()).collect();
    let services =
        cluster.nodes.iter().map(|node| format!("http://{}", node.places.grpc)).collect();
    let options = sim::options(args, targets, services, &cluster.pki(), None)?;
    let (timeline, _moments) = Timeline::new();
    let (phase, phases) = watch::channel(Phase::Connecting);
    let show = move |progress: &Progress| {
        print::status(&progress.to_string());
        phase.send_replace(progress.phase);
    };
    let fleet = tokio::spawn(run_with(options, Some(timeline.clone()), show));
    let mut stage = Stage::new(&mut cluster, timeline, args.seed);
    let played = stage.play(script, phases).await;
    // Whatever was played: what follows reads everything back, and needs all nodes for that.
    let healed = stage.heal().await;
    let report = fleet.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    print::status_end();
    let finished = sim::finish(output, args, &report.map_err(sim::wrong)?);
    let removed = cluster.remove().await;
    finished.and(played).and(healed).and(removed)
}

/// The script of a file, or one that stands on the command line.
fn read(faults: &str, nodes: usize) -> Result<Vec<FaultStep>, Failure> {
    let path = Path::new(faults);
    let (text, name) = match path.is_file() {
        true => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(Exit::Usage, format!("--faults {faults}: {error}"))
            })?;
            (text, faults)
        }
        false if !faults.trim().contains(' ') && !faults.trim().is_empty() => {
            let text = format!("--faults {faults}: there is no such file, and it is no script");
            return Err(Failure::new(Exit::Usage, text)
                .next("write steps as '10s kill owner 3s; 20s partition 1 5s'"));
        }
        false => (faults.to_owned(), "--faults"),
    };
    FaultStep::parse(&text, nodes as u64).map_err(|error| {
        Failure::new(Exit::Usage, format!("{name}: {error}"))
            .next("see what a script can say with `pollux sim --help`")
    })
}
