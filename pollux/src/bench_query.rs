//! `pollux bench query`: how long a node takes to find a hundred of many twins, looking at all and by an index, for
//! callers of its own; what an index takes up; and what is written while all twins are looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::{QueryEnd, QueryRequest};
use pollux_runtime::clock::Clock;
use pollux_simulator::Usage;
use serde_json::{Value, json};
use tokio::select;
use tonic::transport::Channel;

use crate::args::{BenchQueryArgs, BenchStartArgs, Output};
use crate::bench_start::{failed, fill, forget, read};
use crate::bench_writes::Tags;
use crate::bench_writes::load::{self, Figures};
use crate::exit::Failure;
use crate::node_process::NodeProcess;
use crate::print;

/// Three fields of each twin, of which the last one tells a hundred twins or fewer from the rest.
const FILTER: &str = "tags.setting_03 != \"\" && tags.setting_09.startsWith(\"value \") \
                      && tags.setting_15 < \"value 00001615\"";
/// The path of that one.
const INDEX: &str = "tags.setting_15";
/// Writes in flight.
const IN_FLIGHT: usize = 64;
/// Load before what is written counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchQueryArgs) -> Result<(), Failure> {
    let own = PathBuf::from(format!(".pollux-bench-query-{}", std::process::id()));
    let dir = args.start.data_dir.clone().unwrap_or(own);
    if !dir.exists() {
        fill(&dir, &args.start).await?;
        forget(&dir)?;
    }
    let measured = measure(&dir, args).await;
    if args.start.data_dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|error| failed("remove the data", &error))?;
    }
    let (all, indexed) = measured?;
    let twins = args.start.twins;
    let more = indexed.rss_bytes.saturating_sub(all.rss_bytes) / u64::from(twins);
    let mut lines = vec![format!("{twins} twins; filter: {FILTER}"), "looking at all:".into()];
    lines.extend(all.lines());
    lines.push(format!("by an index of {INDEX}, {more} bytes more of memory a twin:"));
    lines.extend(indexed.lines());
    let json = json!({
        "twins": twins, "filter": FILTER, "index": INDEX, "rounds": all.rounds(),
        "indexed_rounds": indexed.rounds(), "index_bytes_per_twin": more,
        "writes": all.written.as_ref().map(Written::json),
    });
    print::result(output, &lines.join("\n"), &json)
}

/// A node without an index, and one with it.
async fn measure(dir: &Path, args: &BenchQueryArgs) -> Result<(Measured, Measured), Failure> {
    let all = on_a_node(dir, &args.start, &[], args.writes).await?;
    let index = [("POLLUX_QUERY__INDEXES", INDEX.to_owned())];
    let indexed = on_a_node(dir, &args.start, &index, Duration::ZERO).await?;
    Ok((all, indexed))
}

/// What was measured on one node.
struct Measured {
    rounds: Vec<Round>,
    /// Of the node once it answers.
    rss_bytes: u64,
    written: Option<Written>,
}

/// One query.
struct Round {
    end: QueryEnd,
    took_s: f64,
    cpu_s: f64,
}

/// What is written alone, and beside queries.
struct Written {
    alone: Figures,
    beside: Figures,
    queries: u32,
}

impl Measured {
    fn lines(&self) -> Vec<String> {
        let rounds = self.rounds.iter().map(|round| {
            format!(
                "  {} found of {} looked at in {:.1} ms, {:.1} CPU ms of the node",
                round.end.matched,
                round.end.scanned,
                round.took_s * 1e3,
                round.cpu_s * 1e3
            )
        });
        let mut lines: Vec<_> = rounds.collect();
        if let Some(written) = &self.written {
            lines.push(format!("  written alone:      {}", written.alone));
            lines.push(format!(
                "  beside {} queries: {}, {:.2} of that",
                written.queries,
                written.beside,
                written.part()
            ));
        }
        lines
    }

    fn rounds(&self) -> Vec<Value> {
        let round = |round: &Round| {
            json!({
                "matched": round.end.matched, "scanned": round.end.scanned,
                "took_s": round.took_s, "server_cpu_s": round.cpu_s,
            })
        };
        self.rounds.iter().map(round).collect()
    }
}

impl Written {
    fn part(&self) -> f64 {
        self.beside.per_s / self.alone.per_s
    }

    fn json(&self) -> Value {
        json!({
            "alone": self.alone.json(), "beside_queries": self.beside.json(),
            "queries": self.queries, "ratio": self.part(),
        })
    }
}

async fn on_a_node(
    dir: &Path,
    args: &BenchStartArgs,
    variables: &[(&'static str, String)],
    writes: Duration,
) -> Result<Measured, Failure> {
    let server = NodeProcess::again_with(dir.to_path_buf(), args.server_core, variables).await?;
    let url = format!("http://{}", server.listening().grpc);
    let measured = async {
        let channel = load::channels([url]).await?.remove(0);
        let mut twins = TwinsClient::new(channel.clone());
        read(&mut twins, 0, Clock::new()).await?;
        let usage = || server.id().and_then(Usage::of).unwrap_or_default();
        let rss_bytes = usage().rss_bytes;
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let (clock, before) = (Clock::new(), usage().cpu_s);
            let end = ask(&mut twins).await?;
            let took_s = clock.elapsed().as_secs_f64();
            rounds.push(Round { end, took_s, cpu_s: usage().cpu_s - before });
        }
        let written = match writes {
            Duration::ZERO => None,
            writes => Some(write(&channel, writes).await?),
        };
        Ok(Measured { rounds, rss_bytes, written })
    }
    .await;
    server.stop_and_keep().await?;
    measured
}

/// Writes twins of their own, first alone, then while one query follows the other.
async fn write(channel: &Channel, duration: Duration) -> Result<Written, Failure> {
    let writers = || -> Vec<_> {
        (0..IN_FLIGHT).map(|n| Tags::new(channel, format!("written-{n}"))).collect()
    };
    let alone = load::measure(writers(), WARM_UP, duration).await?;
    let mut twins = TwinsClient::new(channel.clone());
    let mut queries = 0;
    let looking = async {
        loop {
            match ask(&mut twins).await {
                Ok(_) => queries += 1,
                Err(failure) => break failure,
            }
        }
    };
    let beside = select! {
        beside = load::measure(writers(), WARM_UP, duration) => beside?,
        failure = looking => return Err(failure),
    };
    Ok(Written { alone, beside, queries })
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
