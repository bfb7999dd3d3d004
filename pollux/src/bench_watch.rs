//! `pollux bench watch`: how many changes a node tells its watchers for a second of its CPU, its writes included: in
//! batches, and beside that one by one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::watch_request::Whose;
use pollux_proto::v1::watch_response::Event;
use pollux_proto::v1::{WatchRequest, WatchResponse};
use pollux_simulator::Usage;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::args::{BenchWatchArgs, Output};
use crate::bench_writes::Tags;
use crate::bench_writes::load::{self, Figures};
use crate::exit::Failure;
use crate::node_process::NodeProcess;
use crate::print;

/// Watches on one connection.
const WATCHES_PER_CHANNEL: usize = 100;

/// What is written while all watch.
#[derive(Clone, Copy)]
enum Load {
    /// All watch one twin, which so many write at once.
    One { writers: usize },
    /// All watch all twins, each written by one of so many.
    Fleet { writers: usize },
}

const LOADS: [Load; 3] =
    [Load::One { writers: 1 }, Load::One { writers: 64 }, Load::Fleet { writers: 64 }];

impl Load {
    fn whose(self) -> Whose {
        match self {
            Self::One { .. } => Whose::Device("watched".into()),
            Self::Fleet { .. } => Whose::Prefix(String::new()),
        }
    }

    fn writers(self, channel: &Channel) -> Vec<Tags> {
        let (writers, device): (_, fn(usize) -> String) = match self {
            Self::One { writers } => (writers, |_| "watched".into()),
            Self::Fleet { writers } => (writers, |n| format!("watched-{n}")),
        };
        (0..writers).map(|n| Tags::new(channel, device(n))).collect()
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One { writers } => write!(f, "one twin, {writers} in flight"),
            Self::Fleet { writers } => write!(f, "all twins, {writers} in flight"),
        }
    }
}

/// What came of a load.
struct Measured {
    written: Figures,
    told: u64,
    messages: u64,
    cpu_s: f64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn per_cpu_s(&self) -> f64 {
        self.told as f64 / self.cpu_s
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn per_message(&self) -> f64 {
        self.told as f64 / self.messages as f64
    }

    fn json(&self) -> Value {
        json!({
            "written": self.written.json(), "told": self.told, "messages": self.messages,
            "server_cpu_s": self.cpu_s, "told_per_server_cpu_s": self.per_cpu_s(),
        })
    }
}

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchWatchArgs) -> Result<(), Failure> {
    let mut documents = Vec::new();
    for load in LOADS {
        let dir = PathBuf::from(format!(".pollux-bench-watch-{}", std::process::id()));
        let node = NodeProcess::node(dir, args.server_core).await?;
        let measured = async {
            let batches = measure(args, &node, load, true).await?;
            let single = measure(args, &node, load, false).await?;
            Ok::<_, Failure>((batches, single))
        };
        let measured = measured.await;
        node.stop().await?;
        let (batches, single) = measured?;
        if output == Output::Text {
            print::line(&format!("{load}, {} watchers", args.watchers))?;
            for (how, measured) in [("in batches", &batches), ("one by one", &single)] {
                print::line(&format!(
                    "  {how}: {:>8.0} changes told per CPU s of the node, {:.1} to a message; written {}",
                    measured.per_cpu_s(),
                    measured.per_message(),
                    measured.written
                ))?;
            }
        }
        documents.push(json!({
            "load": load.to_string(), "watchers": args.watchers, "batches": batches.json(),
            "one_by_one": single.json(),
        }));
    }
    match output {
        Output::Text => Ok(()),
        Output::Json => print::line(&Value::from(documents).to_string()),
    }
}

/// What watchers were told.
#[derive(Default)]
struct Told {
    changes: AtomicU64,
    messages: AtomicU64,
}

impl Told {
    fn take(&self, response: &WatchResponse) {
        let changes = match &response.event {
            Some(Event::Changed(_)) => 1,
            Some(Event::Changes(batch)) => batch.changes.len() as u64,
            _ => return,
        };
        self.changes.fetch_add(changes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> (u64, u64) {
        (self.changes.load(Ordering::Relaxed), self.messages.load(Ordering::Relaxed))
    }
}

async fn measure(
    args: &BenchWatchArgs,
    node: &NodeProcess,
    load: Load,
    batch: bool,
) -> Result<Measured, Failure> {
    let url = format!("http://{}", node.listening().grpc);
    let count = args.watchers.div_ceil(WATCHES_PER_CHANNEL) + 1;
    let channels = load::channels(std::iter::repeat_n(url, count)).await?;
    let told = Arc::new(Told::default());
    let mut watchers = JoinSet::new();
    for n in 0..args.watchers {
        let mut twins = TwinsClient::new(channels[1 + n / WATCHES_PER_CHANNEL].clone());
        let whose = Some(load.whose());
        let request = WatchRequest { whose, batch, ..Default::default() };
        let events = twins.watch(request).await?.into_inner();
        watchers.spawn(count_all(events, Arc::clone(&told)));
    }
    let writing = load::measure(load.writers(&channels[0]), args.warm_up, args.duration);
    let cpu_s = || node.id().and_then(Usage::of).unwrap_or_default().cpu_s;
    let counting = async {
        sleep(args.warm_up).await;
        let (before, (changes, messages)) = (cpu_s(), told.now());
        sleep(args.duration).await;
        let (cpu_s, now) = (cpu_s() - before, told.now());
        (now.0 - changes, now.1 - messages, cpu_s)
    };
    let watching = async {
        match watchers.join_next().await {
            Some(Ok(Err(status))) => Err(Failure::from(status)),
            _ => std::future::pending().await,
        }
    };
    let (written, (told, messages, cpu_s)) = tokio::select! {
        both = async { tokio::join!(writing, counting) } => (both.0?, both.1),
        failed = watching => failed?,
    };
    Ok(Measured { written, told, messages, cpu_s })
}

async fn count_all(mut events: Streaming<WatchResponse>, told: Arc<Told>) -> Result<(), Status> {
    loop {
        match events.message().await? {
            Some(response) => told.take(&response),
            None => return Err(Status::unavailable("the node ended a watch")),
        }
    }
}
