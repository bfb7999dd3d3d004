//! `pollux bench writes`: durable writes of three nodes on this machine, by gRPC and as reports of devices,
//! beside three members of etcd where that is installed. Both have the same client: three channels, so many
//! writes in flight, each acknowledged by a majority's disks.

mod etcd;
pub(crate) mod load;

use std::path::PathBuf;

use pollux_proto::v1::patch_twin_request::Change;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::{PatchTwinRequest, Section};
use pollux_simulator::{Load, Progress};
use serde_json::{Value, json};
use tonic::Status;
use tonic::transport::Channel;

use self::etcd::Etcd;
use self::load::{Figures, Writer};
use crate::args::{BenchWritesArgs, Output};
use crate::exit::{Exit, Failure};
use crate::local_cluster::{self, LocalCluster};
use crate::{print, sim};

/// Nodes, and members of etcd.
const NODES: usize = 3;
/// Writes in flight of each load.
const IN_FLIGHT: [usize; 3] = [64, 512, 2_000];
/// Devices with a report in flight each.
const DEVICES: u32 = 2_000;

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchWritesArgs) -> Result<(), Failure> {
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        let ours = pollux(args).await?;
        show(output, round, "pollux", &ours)?;
        let theirs = match Etcd::is_there() {
            true => etcd(args).await?,
            false => Vec::new(),
        };
        show(output, round, "etcd", &theirs)?;
        rounds.push(json!({"pollux": documents(&ours), "etcd": documents(&theirs)}));
    }
    if !Etcd::is_there() {
        print::note("etcd was not measured: install it (Debian: etcd-server) to have it beside");
    }
    match output {
        Output::Text => Ok(()),
        Output::Json => print::line(&Value::from(rounds).to_string()),
    }
}

/// What was measured, and how.
type Measured = Vec<(String, Figures)>;

fn show(output: Output, round: u32, whose: &str, measured: &Measured) -> Result<(), Failure> {
    if output == Output::Text {
        for (what, figures) in measured {
            print::line(&format!("round {round}: {whose:<7} {what:<22} {figures}"))?;
        }
    }
    Ok(())
}

fn documents(measured: &Measured) -> Value {
    measured
        .iter()
        .map(|(what, figures)| json!({"what": what, "figures": figures.json()}))
        .collect()
}

fn failed(step: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{step}: {what}"))
}

async fn pollux(args: &BenchWritesArgs) -> Result<Measured, Failure> {
    let dir = PathBuf::from(format!(".pollux-bench-writes-{}", std::process::id()));
    let cluster = LocalCluster::form(local_cluster::Options::in_dir(dir), NODES).await?;
    let measured = on_pollux(args, &cluster).await;
    cluster.remove().await.and(measured)
}

async fn on_pollux(args: &BenchWritesArgs, cluster: &LocalCluster) -> Result<Measured, Failure> {
    let urls = cluster.nodes.iter().map(|node| format!("http://{}", node.places.grpc));
    let channels = load::channels(urls).await?;
    let mut measured = Vec::new();
    for in_flight in IN_FLIGHT {
        let writer = |n: usize| Tags::new(&channels[n % NODES], format!("bench-{n}"));
        let writers = (0..in_flight).map(writer).collect();
        let figures = load::measure(writers, args.warm_up, args.duration).await?;
        measured.push((format!("{in_flight} in flight, gRPC"), figures));
    }
    measured.push((format!("{DEVICES} devices, QUIC"), reports(args, cluster).await?));
    Ok(measured)
}

/// Writes a tag of a twin of its own.
pub(crate) struct Tags {
    client: TwinsClient<Channel>,
    device: String,
    written: u64,
}

impl Tags {
    pub(crate) fn new(channel: &Channel, device: String) -> Self {
        Self { client: TwinsClient::new(channel.clone()), device, written: 0 }
    }
}

impl Writer for Tags {
    async fn write(&mut self) -> Result<(), Status> {
        self.written += 1;
        let json = json!({ "bench": load::value(self.written) }).to_string();
        let request = PatchTwinRequest {
            device: self.device.clone(),
            section: Section::Tags.into(),
            change: Some(Change::MergeJson(json)),
            ..Default::default()
        };
        self.client.patch(request).await.map(drop)
    }
}

/// The same as reports of devices, one in flight each.
async fn reports(args: &BenchWritesArgs, cluster: &LocalCluster) -> Result<Figures, Failure> {
    let mut options = cluster.devices()?;
    options.devices = DEVICES;
    options.load = Load::OneInFlight;
    options.report_bytes = load::VALUE_BYTES;
    (options.warm_up, options.duration) = (args.warm_up, args.duration);
    let show = |progress: &Progress| print::status(&progress.to_string());
    let report = pollux_simulator::run(options, show).await.map_err(sim::wrong)?;
    print::status_end();
    Ok(Figures { per_s: report.acked_per_s, p50_us: report.ack_p50_us, p99_us: report.ack_p99_us })
}

async fn etcd(args: &BenchWritesArgs) -> Result<Measured, Failure> {
    let dir = PathBuf::from(format!(".pollux-bench-etcd-{}", std::process::id()));
    let etcd = Etcd::start(&dir)?;
    let measured = async {
        let channels = load::channels(etcd.urls()).await?;
        etcd::ready(&channels[0]).await?;
        let mut measured = Vec::new();
        for in_flight in IN_FLIGHT {
            let writers = (0..in_flight).map(|n| etcd::Put::new(&channels[n % NODES], n)).collect();
            let figures = load::measure(writers, args.warm_up, args.duration).await?;
            measured.push((format!("{in_flight} in flight, gRPC"), figures));
        }
        Ok(measured)
    }
    .await;
    etcd.remove().and(measured)
}
