//! `pollux bench start`: fills a data directory through a node, then starts a node on it as a process of
//! its own and waits for the first read to be answered.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pollux_proto::v1::GetTwinRequest;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_runtime::Router;
use pollux_runtime::clock::Clock;
use pollux_runtime::config::Layers;
use pollux_runtime::router::Call;
use pollux_simulator::Usage;
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::{Rejection, TwinKey, Value};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::args::{BenchStartArgs, Output};
use crate::exit::{Exit, Failure};
use crate::node_process::NodeProcess;
use crate::{configure, print, start};

/// Writes under way at once while the directory is filled: enough for large batches.
const WRITERS: u32 = 1024;
/// Patience for one write: checkpoints of many twins are written beside it.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a started node may take to answer.
const READ_TIME_MAX: Duration = Duration::from_secs(120);
/// How often a node that does not listen yet is asked again: what the figure may be late by.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Members of a twin's document.
const MEMBERS: usize = 16;

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchStartArgs) -> Result<(), Failure> {
    let own = PathBuf::from(format!(".pollux-bench-start-{}", std::process::id()));
    let dir = args.data_dir.clone().unwrap_or(own);
    let filled_s = if dir.exists() { None } else { Some(fill(&dir, args).await?) };
    let disk_bytes = forget(&dir)?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(round(&dir, args).await?);
        forget(&dir)?;
    }
    if args.data_dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|error| failed("remove the data", &error))?;
    }
    let twins = args.twins;
    let filled = filled_s.map_or_else(String::new, |s| format!(", written in {s:.1} s"));
    let mut lines = vec![format!("{twins} twins, {disk_bytes} bytes on disk{filled}")];
    lines.extend(rounds.iter().map(Round::text));
    let json = json!({
        "twins": twins,
        "disk_bytes": disk_bytes,
        "filled_s": filled_s,
        "rounds": rounds.iter().map(Round::json).collect::<Vec<_>>(),
    });
    print::result(output, &lines.join("\n"), &json)
}

/// One start.
struct Round {
    listening_s: f64,
    first_read_s: f64,
    usage: Usage,
}

impl Round {
    fn text(&self) -> String {
        format!(
            "  first read answered {:.2} s after the start (listening after {:.2} s); {:.2} CPU s, {} bytes resident",
            self.first_read_s, self.listening_s, self.usage.cpu_s, self.usage.rss_bytes
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "listening_s": self.listening_s,
            "first_read_s": self.first_read_s,
            "server_cpu_s": self.usage.cpu_s,
            "server_rss_bytes": self.usage.rss_bytes,
        })
    }
}

async fn round(dir: &Path, args: &BenchStartArgs) -> Result<Round, Failure> {
    let clock = Clock::new();
    let server = NodeProcess::again(dir.to_path_buf(), args.server_core).await?;
    let listening_s = clock.elapsed().as_secs_f64();
    let endpoint = Endpoint::from_shared(format!("http://{}", server.listening().grpc))
        .map_err(|error| failed("dial the node", &error))?;
    let mut twins = TwinsClient::new(endpoint.connect_lazy());
    // The one in the middle: neither first nor last in any shard.
    let answered = read(&mut twins, args.twins / 2, clock).await;
    let first_read_s = clock.elapsed().as_secs_f64();
    let usage = server.id().and_then(Usage::of).unwrap_or_default();
    let every = match answered {
        Ok(()) => sample(&mut twins, args.twins, clock).await,
        Err(failure) => Err(failure),
    };
    server.stop_and_keep().await?;
    every.map(|()| Round { listening_s, first_read_s, usage })
}

/// Reads a twin until it is answered, and compares it.
pub(crate) async fn read(
    twins: &mut TwinsClient<Channel>,
    n: u32,
    clock: Clock,
) -> Result<(), Failure> {
    loop {
        let get = GetTwinRequest { device: name(n), ..Default::default() };
        match twins.get(get).await {
            Ok(answer) => {
                let tags = answer.into_inner().twin.and_then(|twin| twin.tags);
                return match tags {
                    Some(tags) if tags.json == document(n).to_json() => Ok(()),
                    other => Err(failed("compare a twin", &format_args!("{n} came as {other:?}"))),
                };
            }
            Err(status) if clock.elapsed() >= READ_TIME_MAX => return Err(status.into()),
            Err(status) if status.code() == tonic::Code::Unavailable => {
                tokio::time::sleep(ASK_EVERY).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// Compares a thousand twins, so that a node that answers quickly but wrongly is found out.
async fn sample(twins: &mut TwinsClient<Channel>, count: u32, clock: Clock) -> Result<(), Failure> {
    let step = (count / 1000).max(1);
    for n in (0..count).step_by(step as usize) {
        read(twins, n, clock).await?;
    }
    Ok(())
}

/// Fills the directory with a node that is then stopped in order; how long that took.
pub(crate) async fn fill(dir: &Path, args: &BenchStartArgs) -> Result<f64, Failure> {
    let clock = Clock::new();
    let node = start::node(&config(dir)?).await?;
    let written = write_all(&node.router(), args.twins).await;
    node.stop().await;
    written.map(|()| clock.elapsed().as_secs_f64())
}

/// Writes every twin once, through the node's own actors, log and checkpoints.
async fn write_all(router: &Router, count: u32) -> Result<(), Failure> {
    while !router.readiness().ready {
        tokio::time::sleep(ASK_EVERY).await;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut writers = JoinSet::<Result<(), Rejection>>::new();
    for _ in 0..WRITERS {
        let (router, next) = (router.clone(), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                write(&router, n).await?;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written
            .map_err(|error| failed("write twins", &error))?
            .map_err(|rejection| failed("write twins", &format_args!("{rejection:?}")))?;
    }
    Ok(())
}

/// Writes one twin; what finds no room is written again.
async fn write(router: &Router, n: u32) -> Result<(), Rejection> {
    loop {
        let call = Call {
            key: TwinKey::parse(&name(n))
                .map_err(|error| Rejection::Invalid { reason: error.to_string() })?,
            caller: "bench".to_owned(),
            idempotency_key: None,
            request: Request::Patch {
                section: Section::Tags,
                patch: document(n),
                whole: true,
                expected: None,
            },
            timeout: WRITE_TIME_MAX,
        };
        match router.call(call).await {
            Ok(_) => return Ok(()),
            Err(Rejection::Overloaded { retry_after_ms }) => {
                tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
            }
            Err(rejection) => return Err(rejection),
        }
    }
}

fn name(n: u32) -> String {
    format!("bench-{n}")
}

/// About 500 bytes of JSON.
fn document(n: u32) -> Value {
    let member = |i: usize| {
        let value = format!("value {:08}", u64::from(n) * MEMBERS as u64 + i as u64);
        (format!("setting_{i:02}"), Value::String(value))
    };
    Value::Object((0..MEMBERS).map(member).collect())
}

fn config(dir: &Path) -> Result<pollux_runtime::config::Checked, Failure> {
    // A twin that was written once is let go at once, as those of quiet devices are.
    let text = format!(
        "data_dir = {:?}\nlisten.devices = \"127.0.0.1:0\"\nlisten.grpc = \"127.0.0.1:0\"\n\
         listen.http = \"127.0.0.1:0\"\nlisten.peers = \"127.0.0.1:0\"\ntwins.idle_ms = 1000\n",
        dir.display().to_string()
    );
    Layers::new().text(&text, "the bench").check().map_err(configure::wrong)
}

/// Has the kernel forget what it cached of the directory's files, so that a start reads the disk;
/// says how many bytes they have.
pub(crate) fn forget(dir: &Path) -> Result<u64, Failure> {
    let wrong = |error: std::io::Error| failed("walk the data directory", &error);
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() {
            bytes += forget(&path)?;
        } else {
            let file = File::open(&path).map_err(wrong)?;
            bytes += file.metadata().map_err(wrong)?.len();
            file.sync_all().map_err(wrong)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                .map_err(|error| wrong(error.into()))?;
        }
    }
    Ok(bytes)
}

pub(crate) fn failed(step: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{step}: {what}"))
}
