//! `pollux cluster …`, `node …` and `shard …`: forming a cluster and running it.

use pollux_proto::v1;
use pollux_runtime::config::Layers;
use serde_json::{Value, json};

use crate::args::{
    CaCommand, ClientFlags, ClusterCommand, InitArgs, JoinArgs, NodeCommand, Output, ShardCommand,
};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::{configure, print, recover};

/// Carries out a verb about the cluster.
pub(crate) async fn run(output: Output, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init(args) => init(output, args).await,
        ClusterCommand::Status(flags) => status(output, &flags).await,
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
    }
}

/// Carries out a verb about a node.
pub(crate) async fn node(output: Output, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::Join(args) => join(output, args).await,
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
            let text =
                format!("node {node} is out for good; stop it and remove its data directory");
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

async fn init(output: Output, args: InitArgs) -> Result<(), Failure> {
    let layers = configure::layers(Layers::new(), &args.node);
    let layers = layers.flag("cluster.shards", args.shards.map(i64::from), "--shards");
    let config = layers.check().map_err(configure::wrong)?;
    let identity = pollux_runtime::init(&config).await.map_err(|fault| {
        Failure::new(Exit::Failed, format!("no cluster was made: {fault}"))
            .next("name an empty directory with --data-dir")
    })?;
    let text = format!(
        "cluster {} with {} shards, its first node in {}\n\
         start it with `pollux start --data-dir {}`, then make tokens for others with \
         `pollux cluster token`",
        identity.cluster,
        identity.shards,
        config.data_dir.display(),
        config.data_dir.display(),
    );
    let json = json!({
        "cluster": identity.cluster.to_string(),
        "node": identity.node.0,
        "shards": identity.shards,
    });
    print::result(output, &text, &json)
}

async fn join(output: Output, args: JoinArgs) -> Result<(), Failure> {
    let config = configure::layers(Layers::new(), &args.node).check().map_err(configure::wrong)?;
    let joined = pollux_runtime::join(&config, &args.via, &args.token, args.replace).await;
    let identity = joined.map_err(|fault| {
        Failure::new(Exit::Failed, format!("the node does not join: {fault}"))
            .next("make a new token with `pollux cluster token` on a node of the cluster")
    })?;
    let text = format!(
        "node {} of cluster {}, {} shards; start it with `pollux start --data-dir {}`",
        identity.node,
        identity.cluster,
        identity.shards,
        config.data_dir.display()
    );
    let json = json!({
        "cluster": identity.cluster.to_string(),
        "node": identity.node.0,
        "shards": identity.shards,
    });
    print::result(output, &text, &json)
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

async fn status(output: Output, flags: &ClientFlags) -> Result<(), Failure> {
    let client = Client::connect(flags).await?;
    let request = client.request(v1::ClusterStatusRequest {});
    let status = client.cluster().status(request).await?.into_inner();
    print::result(output, &text(&status), &document(&status))
}

fn text(status: &v1::ClusterStatusResponse) -> String {
    let mut lines = vec![format!(
        "cluster {}, lineage {}, seen from node {}",
        status.cluster, status.lineage, status.node
    )];
    lines.push("node  state     answers  owns  holds  meta   zone      devices".into());
    for node in &status.nodes {
        let yes = |is: bool, word: &'static str| if is { word } else { "-" };
        lines.push(format!(
            "{:<4}  {:<8}  {:<7}  {:<4}  {:<5}  {:<5}  {:<8}  {}",
            node.id,
            node.state,
            yes(node.answers, "yes"),
            node.owned,
            node.replicas,
            yes(node.meta_voter, "votes"),
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
    if !status.balancing {
        lines.push("balancing is paused".into());
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
            "replicas": node.replicas, "meta_voter": node.meta_voter,
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
        "balancing": status.balancing, "notes": status.notes,
        "nodes": nodes.collect::<Vec<_>>(), "shards": shards.collect::<Vec<_>>(),
    })
}
