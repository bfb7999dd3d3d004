//! The program `pollux`: reads the command line and calls the crates below. Holds no logic that
//! one of them could own.

mod access;
mod args;
mod artifact;
mod backup;
mod bench;
mod bench_job;
mod bench_policies;
mod bench_query;
mod bench_register;
mod bench_start;
mod bench_watch;
mod bench_writes;
mod client;
mod cluster;
mod cluster_status;
mod command;
mod configure;
mod context;
mod deleted;
mod demo;
mod dev;
mod device;
mod doctor;
mod enroll;
mod enrolment;
mod exit;
mod faults;
mod fleet;
mod form;
mod import;
mod job;
mod limits;
mod live;
mod local_cluster;
mod node_process;
mod parent;
mod print;
mod query;
mod recover;
mod registry;
mod render;
mod scrape;
mod sim;
mod sim_cluster;
mod start;
mod subscription;
mod tenant;
mod text;
mod top;
mod trace;
mod twin;
mod wires;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Output, Verb};
use exit::{Exit, Failure};

// Many small objects that live long or very short: jemalloc keeps them denser and frees faster.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.output;
    match run(output, cli.verb.unwrap_or_else(|| Verb::Dev(args::DevArgs::default()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::failure(output, &failure);
            failure.exit.into()
        }
    }
}

fn run(output: Output, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Config(command) => configure::run(output, command),
        Verb::Context(command) => context::run(output, command),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pollux", &mut script);
            print::raw(&script)
        }
        verb => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("start threads: {error}")))?
            .block_on(run_async(output, verb)),
    }
}

async fn run_async(output: Output, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Dev(args) => dev::run(output, args).await,
        Verb::Start(args) => start::run(output, args).await,
        Verb::Cluster(command) => cluster::run(output, command).await,
        Verb::Node(command) => cluster::node(output, command).await,
        Verb::Shard(command) => cluster::shard(output, command).await,
        Verb::Doctor(args) => doctor::run(output, &args).await,
        Verb::Top(args) => top::run(output, &args).await,
        Verb::Access(command) => access::run(output, command).await,
        Verb::Backup(args) => backup::run(output, args).await,
        Verb::Restore(args) => backup::restore(output, args).await,
        Verb::Twin(command) => twin::run(output, command).await,
        Verb::Command(verb) => command::run(output, verb).await,
        Verb::Sim(args) => sim::run(output, args).await,
        Verb::Demo(command) => demo::run(output, command).await,
        Verb::Bench(command) => bench::run(output, command).await,
        Verb::Subscription(command) => subscription::run(output, command).await,
        Verb::Type(command) => fleet::types(output, command).await,
        Verb::Group(command) => fleet::groups(output, command).await,
        Verb::Enrolment(command) => enrolment::run(output, command).await,
        Verb::Tenant(command) => tenant::run(output, command).await,
        Verb::Artifact(command) => Box::pin(artifact::run(output, command)).await,
        Verb::Job(command) => job::run(output, command).await,
        Verb::Device(command) => registry::run(output, command).await,
        Verb::Config(_) | Verb::Context(_) | Verb::Completions { .. } => {
            unreachable!("carried out without threads")
        }
    }
}
