//! `pollux demo …`: a cluster on this machine, a fleet on it, something done to it, and what came of that.

mod failover;
mod fleet;
mod kills;
mod rebalance;
mod rolling;

use std::path::PathBuf;

use crate::args::{DemoArgs, DemoCommand, FailoverArgs, Output};
use crate::exit::{Exit, Failure};
use crate::local_cluster::{self, LocalCluster};
use crate::start::Signals;
use crate::{print, trace};

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: DemoCommand) -> Result<(), Failure> {
    trace::set_up_quiet()?;
    let mut signals = Signals::listen()?;
    let shown = tokio::select! {
        shown = Box::pin(show(output, &command)) => shown,
        () = signals.next() => Err(Failure::new(Exit::Failed, "interrupted")),
    };
    print::status_end();
    shown
}

async fn show(output: Output, command: &DemoCommand) -> Result<(), Failure> {
    match command {
        DemoCommand::Failover(FailoverArgs { kills: 1, demo: args }) => {
            failover::run(output, args, form(output, args).await?).await
        }
        DemoCommand::Failover(FailoverArgs { kills, demo: args }) => {
            kills::run(output, args, *kills, form(output, args).await?).await
        }
        DemoCommand::Rolling(args) => rolling::run(output, args, form(output, args).await?).await,
        DemoCommand::Rebalance(args) => {
            rebalance::run(output, args, form(output, args).await?).await
        }
    }
}

async fn form(output: Output, args: &DemoArgs) -> Result<LocalCluster, Failure> {
    let dir = PathBuf::from(format!(".pollux-demo-{}", std::process::id()));
    say(output, &format!("forming a cluster of {} nodes in {}", args.nodes, dir.display()));
    LocalCluster::form(local_cluster::Options::in_dir(dir), args.nodes).await
}

/// The value below which this share of them is, of values in order.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    let at = (last as f64 * share).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list, between 0 and its length"
    )]
    let at = at as usize;
    sorted.get(at).copied()
}

/// Says to people what is done now.
fn say(output: Output, text: &str) {
    if output == Output::Text {
        print::status_end();
        print::note(text);
    }
}
