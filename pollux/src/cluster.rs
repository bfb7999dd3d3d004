//! `pollux cluster …`, `node …` and `shard …`: running a cluster. Forming one is in `form`.

use pollux_proto::v1;
use serde_json::json;

use crate::args::{CaCommand, ClientFlags, ClusterCommand, NodeCommand, Output, ShardCommand};
use crate::client::Client;
use crate::exit::Failure;
use crate::{cluster_status, form, print, recover};

/// Carries out a verb about the cluster.
pub(crate) async fn run(output: Output, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init(args) => form::init(output, args).await,
        ClusterCommand::Status(args) => cluster_status::run(output, &args).await,
        ClusterCommand::Token { good_for, client } => {
            let client = Client::connect(&client).await?;
            let good_for_ms = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX);
            let request = client.request(v1::CreateJoinTokenRequest { good_for_ms });
            let made = client.cluster().create_join_token(request).await?.into_inner();
            let json = json!({"token": made.token, "good_until_ms": made.good_until_ms});
            print::result(output, &made.token, &json)
        }
        ClusterCommand::Pause(flags) => set_balancing(output, &flags, true).await,
        ClusterCommand::Ca(CaCommand::Rotate { finish, client }) => {
            rotate_ca(output, &client, finish).await
        }
        ClusterCommand::Recover(args) => recover::run(output, args).await,
        ClusterCommand::Resume(flags) => set_balancing(output, &flags, false).await,
        ClusterCommand::Rebalance { dry_run, client } => rebalance(output, &client, dry_run).await,
        ClusterCommand::Upgrade { finish: false, client, .. } => upgrade(output, &client).await,
        ClusterCommand::Upgrade { finish: true, level, client } => {
            finish_upgrade(output, &client, level).await
        }
    }
}

/// Carries out a verb about a node.
pub(crate) async fn node(output: Output, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::Join(args) => form::join(output, args).await,
        NodeCommand::Drain { node, undo, client } => {
            let client = Client::connect(&client).await?;
            let request = client.request(v1::DrainNodeRequest { node, undo });
            client.cluster().drain_node(request).await?;
            let text = match undo {
                true => format!("node {node} keeps what it has"),
                false => {
                    format!("node {node} drains; see how far it is with `pollux cluster status`")
                }
            };
            print::result(output, &text, &json!({"node": node, "draining": !undo}))
        }
        NodeCommand::Remove { node, client } => {
            let client = Client::connect(&client).await?;
            let request = client.request(v1::RemoveNodeRequest { node });
            client.cluster().remove_node(request).await?;
            let text = format!(
                "node {node} is out for good; stop it and remove its data directory, but first keep \
                 pki/device-ca.key where it has one: only the first node of a cluster can issue certificates \
                 for devices"
            );
            print::result(output, &text, &json!({"node": node, "removed": true}))
        }
    }
}

/// Carries out a verb about a shard.
pub(crate) async fn shard(output: Output, command: ShardCommand) -> Result<(), Failure> {
    let ShardCommand::Move { shard, to, client } = command;
    let client = Client::connect(&client).await?;
    client.cluster().move_shard(client.request(v1::MoveShardRequest { shard, to })).await?;
    let text = format!("shard {shard} goes to node {to}");
    print::result(output, &text, &json!({"shard": shard, "to": to}))
}

async fn set_balancing(output: Output, flags: &ClientFlags, paused: bool) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    client.cluster().set_balancing(client.request(v1::SetBalancingRequest { paused })).await?;
    let text = if paused { "balancing is paused" } else { "balancing goes on" };
    print::result(output, text, &json!({"balancing": !paused}))
}

async fn rotate_ca(output: Output, flags: &ClientFlags, finish: bool) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    client.cluster().rotate_ca(client.request(v1::RotateCaRequest { finish })).await?;
    let text = match finish {
        true => "the CA before is no longer accepted",
        false => {
            "all nodes have certificates of the new CA, and that before is accepted still; once all is \
             well, end it with `pollux cluster ca rotate --finish`"
        }
    };
    print::result(output, text, &json!({"rotated": true, "finished": finish}))
}

async fn rebalance(output: Output, flags: &ClientFlags, dry_run: bool) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let request = client.request(v1::RebalanceRequest { dry_run });
    let moves = client.cluster().rebalance(request).await?.into_inner().moves;
    let planned = |planned: &v1::PlannedMove| {
        let v1::PlannedMove { from_voters, to_voters, from_learners, to_learners, .. } = planned;
        let group = planned.shard.map_or_else(|| "meta group".into(), |id| format!("shard {id}"));
        let from = cluster_status::replicas(from_voters, from_learners);
        let to = cluster_status::replicas(to_voters, to_learners);
        format!("{group:<10}  {from:<12}  ->  {to:<12}  {}", planned.why)
    };
    let mut lines: Vec<_> = moves.iter().map(planned).collect();
    lines.push(match (moves.len(), dry_run) {
        (0, _) => "all is even: nothing is to be moved".into(),
        (count, true) => format!("{count} to be moved; nothing was changed"),
        (count, false) => {
            format!("{count} to be moved; see how far it is with `pollux cluster status`")
        }
    });
    let json = moves.iter().map(|planned| {
        json!({
            "shard": planned.shard, "why": planned.why,
            "from": {"voters": planned.from_voters, "learners": planned.from_learners},
            "to": {"voters": planned.to_voters, "learners": planned.to_learners},
        })
    });
    let json = json!({"dry_run": dry_run, "moves": json.collect::<Vec<_>>()});
    print::result(output, &lines.join("\n"), &json)
}

async fn upgrade(output: Output, flags: &ClientFlags) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let status = cluster_status::ask(&client).await?;
    let mut lines = vec![format!("the cluster writes at level {}", status.level)];
    let there = || status.nodes.iter().filter(|node| node.state != "removed");
    lines.extend(there().map(|node| {
        let version = if node.version.is_empty() { "does not answer" } else { &node.version };
        let (oldest, newest) = (node.level_oldest, node.level_newest);
        format!("node {:<3}  {version:<16}  runs at levels {oldest} to {newest}", node.id)
    }));
    let reach = there().map(|node| node.level_newest).min().unwrap_or(status.level);
    lines.push(match reach > status.level {
        true => {
            format!("all can run at level {reach}: raise it with `pollux cluster upgrade --finish`")
        }
        false => "there is no higher level that all nodes can run at".into(),
    });
    let nodes = there().map(|node| {
        json!({
            "id": node.id, "version": node.version, "level_oldest": node.level_oldest,
            "level_newest": node.level_newest,
        })
    });
    let json = json!({
        "level": status.level, "reachable": reach.max(status.level),
        "nodes": nodes.collect::<Vec<_>>(),
    });
    print::result(output, &lines.join("\n"), &json)
}

async fn finish_upgrade(
    output: Output,
    flags: &ClientFlags,
    level: Option<u32>,
) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let request = client.request(v1::FinishUpgradeRequest { level: level.unwrap_or(0) });
    let level = client.cluster().finish_upgrade(request).await?.into_inner().level;
    print::result(output, &format!("the cluster writes at level {level}"), &json!({"level": level}))
}
