//! `pollux cluster recover`: what to print of a forced recovery, and the word that it takes.

use pollux_cluster::recover::{Loss, Outcome};
use pollux_runtime::config::Layers;
use pollux_runtime::lineage::{self, Found, LineageFault, Plan};
use serde_json::{Value, json};

use crate::args::{Output, RecoverArgs};
use crate::exit::{Exit, Failure};
use crate::{configure, print};

/// Begins the cluster's next lineage in the directories that are left.
pub(crate) async fn run(output: Output, args: RecoverArgs) -> Result<(), Failure> {
    let layers = Layers::new();
    let layers = match &args.config {
        Some(path) => layers.file(path),
        None => layers,
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = layers.variables(variables).check().map_err(configure::wrong)?;
    let found = lineage::survey(&args.data_dirs, &config).map_err(|fault| failure(&fault))?;
    let Found::Left(directories) = found else {
        let text =
            "a recovery of these directories that was cut short is ended now; start their nodes";
        return print::result(output, text, &json!({"recovered": true, "ended": true}));
    };
    let plan = directories.plan();
    if args.dry_run {
        return print::result(output, &told(&plan, Tense::Would), &document(&plan, false));
    }
    if !plan.needed {
        print::note(&told(&plan, Tense::Would));
        return Err(Failure::new(
            Exit::Refused,
            "a majority of every group is among these directories: nothing has to be given up",
        )
        .next("start these nodes; the cluster goes on by itself"));
    }
    if !args.accept_loss {
        print::note(&told(&plan, Tense::Would));
        return Err(Failure::new(Exit::Refused, "what may be lost has to be accepted").next(
            "make sure that no other directory is left and no other node of this cluster runs, then \
             repeat with --accept-loss",
        ));
    }
    let done =
        directories.recover(&mut |shard| print::status(&format!("writes shard {shard}"))).await;
    print::status_end();
    let plan = done.map_err(|fault| failure(&fault))?;
    print::result(output, &told(&plan, Tense::Did), &document(&plan, true))
}

/// Whether it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tense {
    Would,
    Did,
}

fn told(plan: &Plan, tense: Tense) -> String {
    let mut lines = vec![format!(
        "cluster {} {} lineage {}",
        plan.cluster,
        if tense == Tense::Did { "is in" } else { "would go on in" },
        plan.lineage
    )];
    for (path, old, next) in &plan.nodes {
        lines.push(format!("  {}: node {old} becomes node {next}", path.display()));
    }
    lines.extend(plan.outcomes.iter().map(|outcome| format!("  {outcome}")));
    if !plan.lost.is_empty() {
        let lost: Vec<String> = plan.lost.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "  missing where something may be lost: node{} {}; name every directory that is left",
            if lost.len() == 1 { "" } else { "s" },
            lost.join(", ")
        ));
    }
    if tense == Tense::Did {
        lines.push(format!(
            "start these nodes; the life before is kept in before-lineage-{} of each directory and may \
             be removed once all is well",
            plan.lineage
        ));
    }
    lines.join("\n")
}

fn document(plan: &Plan, recovered: bool) -> Value {
    let nodes = plan
        .nodes
        .iter()
        .map(|(path, old, next)| json!({"data_dir": path, "node": old.0, "becomes": next.0}));
    json!({
        "cluster": plan.cluster.to_string(), "lineage": plan.lineage, "recovered": recovered,
        "needed": plan.needed, "nodes": nodes.collect::<Vec<_>>(),
        "lost": plan.lost.iter().map(|node| node.0).collect::<Vec<_>>(),
        "groups": plan.outcomes.iter().map(group).collect::<Vec<_>>(),
    })
}

fn group(outcome: &Outcome) -> Value {
    let (loss, missing) = match &outcome.loss {
        Loss::Nothing => ("nothing", [].as_slice()),
        Loss::Newest { missing } => ("newest", missing.as_slice()),
        Loss::Everything { missing } => ("everything", missing.as_slice()),
    };
    let last = outcome
        .last
        .map(|last| json!({"term": last.term, "leader": last.leader, "index": last.index}));
    json!({
        "group": outcome.group.to_string(), "node": outcome.node, "last": last, "loss": loss,
        "missing": missing, "text": outcome.to_string(),
    })
}

fn failure(fault: &LineageFault) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("recover the cluster: {fault}"));
    match fault {
        LineageFault::Choice(_) | LineageFault::Begun { .. } => failure,
        LineageFault::LastLineage(_) => failure.next("see `pollux backup --help`"),
        LineageFault::Node(_) | LineageFault::Directory { .. } | LineageFault::Io { .. } => failure
            .next("stop the node that uses the directory, or leave it out if it cannot be read"),
    }
}
