//! `pollux bench job`: how long a job takes that sets desired of very many connected devices, until all have
//! acknowledged it.

use std::path::PathBuf;
use std::time::Duration;

use pollux_client::{Client, Options};
use pollux_proto::v1;
use pollux_proto::v1::job_spec::{Action, Whose};
use pollux_runtime::clock::Clock;
use pollux_simulator::{Load, Progress, Usage};
use serde_json::json;
use tokio::sync::watch;

use crate::args::{BenchJobArgs, Output};
use crate::bench_start::failed;
use crate::exit::Failure;
use crate::limits::{BENCH_CALL_MAX, BENCH_CONNECT_MAX, RUN_MAX};
use crate::node_process::NodeProcess;
use crate::{print, sim};

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchJobArgs) -> Result<(), Failure> {
    let dir = PathBuf::from(format!(".pollux-bench-job-{}", std::process::id()));
    let node = NodeProcess::node(dir, args.server_core).await?;
    let measured = measure(&node, args).await;
    node.stop().await?;
    let (job, took_s, cpu_s) = measured?;
    let totals = job.totals.unwrap_or_default();
    let text = format!(
        "desired set and acknowledged by {} of {} connected devices in {took_s:.2} s, {:.0}/s; {cpu_s:.2} CPU s of the node",
        totals.done,
        totals.devices,
        per(totals.done, took_s),
    );
    let json = json!({
        "devices": totals.devices, "done": totals.done, "failed": totals.failed,
        "unknown": totals.unknown, "took_s": took_s, "server_cpu_s": cpu_s,
    });
    print::result(output, &text, &json)
}

fn per(count: u64, seconds: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds
}

/// Connects the devices, and runs the job.
async fn measure(node: &NodeProcess, args: &BenchJobArgs) -> Result<(v1::Job, f64, f64), Failure> {
    let mut options = sim::devices_of(&node.pki())?;
    options.targets = vec![node.listening().devices.clone()];
    options.devices = args.devices;
    options.load = Load::Idle;
    (options.warm_up, options.duration) = (Duration::ZERO, RUN_MAX);
    let (told, mut connected) = watch::channel(0);
    let wanted = u64::from(args.devices);
    let tell = move |progress: &Progress| {
        print::status(&format!("{} of {wanted} devices connected", progress.connected));
        told.send_replace(progress.connected);
    };
    let fleet = tokio::spawn(async move { pollux_simulator::run(options, tell).await.map(drop) });
    let all = connected.wait_for(|connected| *connected >= wanted);
    let came = tokio::time::timeout(BENCH_CONNECT_MAX, all).await;
    print::status_end();
    if !matches!(came, Ok(Ok(_))) {
        fleet.abort();
        return Err(failed("connect all devices", &"they did not come in time"));
    }
    let measured = job(node).await;
    fleet.abort();
    measured
}

async fn job(node: &NodeProcess) -> Result<(v1::Job, f64, f64), Failure> {
    // A node and a fleet that share two cores may let a connection down; the job goes on all the same.
    let options =
        Options::new([format!("http://{}", node.listening().grpc)]).timeout(BENCH_CALL_MAX);
    let client = Client::new(&options)?;
    let jobs = client.jobs();
    let spec = v1::JobSpec {
        whose: Some(Whose::Fleet(v1::JobFleet::default())),
        action: Some(Action::DesiredJson(r#"{"interval_s":10,"mode":"eco"}"#.to_owned())),
        ..Default::default()
    };
    let cpu_s = || node.id().and_then(Usage::of).unwrap_or_default().cpu_s;
    let (clock, before) = (Clock::new(), cpu_s());
    jobs.create("bench", spec).await?;
    let mut following = jobs.follow("bench");
    let mut last = v1::Job::default();
    while let Some(now) = following.next().await? {
        let totals = now.totals.unwrap_or_default();
        print::status(&format!("{} of {} devices done", totals.done, totals.devices));
        last = now;
    }
    print::status_end();
    Ok((last, clock.elapsed().as_secs_f64(), cpu_s() - before))
}
