//! `pollux bench query`: how long a node takes to look at many twins, for callers of its own.

use std::path::{Path, PathBuf};

use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::{QueryEnd, QueryRequest};
use pollux_runtime::clock::Clock;
use pollux_simulator::Usage;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use crate::args::{BenchStartArgs, Output};
use crate::bench_start::{failed, fill, forget, read};
use crate::exit::Failure;
use crate::node_process::NodeProcess;
use crate::print;

/// Three fields of each twin, of which the last one tells a hundred twins or fewer from the rest.
const FILTER: &str = "tags.setting_03 != \"\" && tags.setting_09.startsWith(\"value \") \
                      && tags.setting_15 < \"value 00001615\"";

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchStartArgs) -> Result<(), Failure> {
    let own = PathBuf::from(format!(".pollux-bench-query-{}", std::process::id()));
    let dir = args.data_dir.clone().unwrap_or(own);
    if !dir.exists() {
        fill(&dir, args).await?;
        forget(&dir)?;
    }
    let rounds = on_a_node(&dir, args).await;
    if args.data_dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|error| failed("remove the data", &error))?;
    }
    let rounds = rounds?;
    let mut lines = vec![format!("{} twins; filter: {FILTER}", args.twins)];
    lines.extend(rounds.iter().map(|round| {
        format!(
            "  {} found of {} in {:.3} s, {:.3} CPU s of the node",
            round.end.matched, round.end.scanned, round.took_s, round.cpu_s
        )
    }));
    let json = rounds.iter().map(|round| {
        json!({
            "matched": round.end.matched, "scanned": round.end.scanned,
            "took_s": round.took_s, "server_cpu_s": round.cpu_s,
        })
    });
    let json = json!({"twins": args.twins, "filter": FILTER, "rounds": json.collect::<Vec<_>>()});
    print::result(output, &lines.join("\n"), &json)
}

/// One query.
struct Round {
    end: QueryEnd,
    took_s: f64,
    cpu_s: f64,
}

async fn on_a_node(dir: &Path, args: &BenchStartArgs) -> Result<Vec<Round>, Failure> {
    let server = NodeProcess::again(dir.to_path_buf(), args.server_core).await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.listening().grpc))
        .map_err(|error| failed("dial the node", &error))?;
    let mut twins = TwinsClient::new(endpoint.connect_lazy());
    let rounds = async {
        read(&mut twins, 0, Clock::new()).await?;
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let cpu_s = || server.id().and_then(Usage::of).unwrap_or_default().cpu_s;
            let (clock, before) = (Clock::new(), cpu_s());
            let end = ask(&mut twins).await?;
            let took_s = clock.elapsed().as_secs_f64();
            rounds.push(Round { end, took_s, cpu_s: cpu_s() - before });
        }
        Ok(rounds)
    }
    .await;
    server.stop_and_keep().await?;
    rounds
}

async fn ask(twins: &mut TwinsClient<Channel>) -> Result<QueryEnd, Failure> {
    let request = QueryRequest {
        filter: FILTER.to_owned(),
        select: vec!["tags.setting_15".to_owned()],
        ..Default::default()
    };
    let mut parts = twins.query(request).await?.into_inner();
    while let Some(part) = parts.message().await? {
        if let Some(end) = part.end {
            return Ok(end);
        }
    }
    Err(failed("query the twins", &"the answer has no end"))
}
