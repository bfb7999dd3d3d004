//! `pollux cluster status`: the cluster as it is, for people and for scripts, and waiting until it is at rest.

use pollux_proto::v1;
use serde_json::{Value, json};

use crate::args::{Output, StatusArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::limits::SETTLED_LOOK;
use crate::print;

/// Shows how the cluster is, perhaps once it is at rest.
pub(crate) async fn run(output: Output, args: &StatusArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.client).await?;
    let Some(patience) = args.settled_within else {
        let status = ask(&client).await?;
        return print::result(output, &text(&status), &document(&status));
    };
    let mut last = "no node has answered yet".to_owned();
    let wait = async {
        loop {
            match ask(&client).await {
                Ok(status) if status.settled => return status,
                Ok(status) => last = status.unsettled,
                Err(failure) => last = failure.message,
            }
            tokio::time::sleep(SETTLED_LOOK).await;
        }
    };
    match tokio::time::timeout(patience, wait).await {
        Ok(status) => print::result(output, &text(&status), &document(&status)),
        Err(_) => Err(Failure::new(Exit::Unavailable, format!("not at rest in time: {last}"))
            .next("see all of it with `pollux cluster status`")),
    }
}

/// Asks a node.
pub(crate) async fn ask(client: &Client) -> Result<v1::ClusterStatusResponse, Failure> {
    let request = client.request(v1::ClusterStatusRequest::default());
    Ok(client.cluster().status(request).await?.into_inner())
}

/// The replicas of a group: `1,2,3`, and those without a vote in brackets.
pub(crate) fn replicas(voters: &[u64], learners: &[u64]) -> String {
    match learners {
        [] => list(voters),
        learners => format!("{} ({})", list(voters), list(learners)),
    }
}

fn text(status: &v1::ClusterStatusResponse) -> String {
    let mut lines = vec![format!(
        "cluster {}, lineage {}, level {}, seen from node {}",
        status.cluster, status.lineage, status.level, status.node
    )];
    lines.push("node  state     answers  owns  holds  meta   version   zone      devices".into());
    for node in &status.nodes {
        let yes = |is: bool, word: &'static str| if is { word } else { "-" };
        lines.push(format!(
            "{:<4}  {:<8}  {:<7}  {:<4}  {:<5}  {:<5}  {:<8}  {:<8}  {}",
            node.id,
            node.state,
            match (node.answers, node.may_own) {
                (true, true) => "yes",
                (true, false) => "no own",
                (false, _) => "-",
            },
            node.owned,
            node.replicas,
            yes(node.meta_voter, "votes"),
            if node.version.is_empty() { "-" } else { &node.version },
            if node.zone.is_empty() { "-" } else { &node.zone },
            node.devices,
        ));
    }
    lines.push("shard  owner  term  open  voters      learners  twins     lag".into());
    for shard in &status.shards {
        lines.push(format!(
            "{:<5}  {:<5}  {:<4}  {:<4}  {:<10}  {:<8}  {:<8}  {}",
            shard.shard,
            if shard.owner == 0 { "-".to_owned() } else { shard.owner.to_string() },
            shard.term,
            if shard.open { "yes" } else { "no" },
            list(&shard.voters),
            list(&shard.learners),
            shard.twins,
            shard.lag,
        ));
    }
    lines.push(match status.unsettled.as_str() {
        "" if status.owned_as_meant => "at rest".into(),
        "" => "at rest; owners are yet to go home".into(),
        why => format!("not at rest: {why}"),
    });
    if !status.balancing {
        lines.push("balancing is paused".into());
    }
    for node in status.nodes.iter().filter(|node| node.artifacts_missing > 0) {
        let (id, missing) = (node.id, node.artifacts_missing);
        lines.push(format!("node {id} lacks {missing} artifacts, which it fetches"));
    }
    lines.extend(status.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

fn list(nodes: &[u64]) -> String {
    let all: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    if all.is_empty() { "-".into() } else { all.join(",") }
}

fn document(status: &v1::ClusterStatusResponse) -> Value {
    let nodes = status.nodes.iter().map(|node| {
        json!({
            "id": node.id, "name": node.name, "zone": node.zone, "weight": node.weight,
            "state": node.state, "answers": node.answers, "devices": node.devices,
            "grpc": node.grpc, "http": node.http, "peers": node.peers, "owned": node.owned,
            "replicas": node.replicas, "meta_voter": node.meta_voter, "version": node.version,
            "level_oldest": node.level_oldest, "level_newest": node.level_newest,
            "may_own": node.may_own, "artifacts_missing": node.artifacts_missing,
        })
    });
    let shards = status.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard, "owner": shard.owner, "term": shard.term, "open": shard.open,
            "intended": shard.intended, "voters": shard.voters, "learners": shard.learners,
            "twins": shard.twins, "applied": shard.applied, "lag": shard.lag,
        })
    });
    json!({
        "cluster": status.cluster, "lineage": status.lineage, "node": status.node,
        "balancing": status.balancing, "notes": status.notes, "level": status.level,
        "settled": status.settled, "unsettled": status.unsettled,
        "owned_as_meant": status.owned_as_meant,
        "nodes": nodes.collect::<Vec<_>>(), "shards": shards.collect::<Vec<_>>(),
    })
}
