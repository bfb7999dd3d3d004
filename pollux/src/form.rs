//! `pollux cluster init` and `pollux node join`: making a data directory that of a node, of a new cluster or of
//! one that is there.

use pollux_runtime::config::Layers;
use pollux_runtime::{Fault, JoinFault};
use serde_json::json;

use crate::args::{InitArgs, JoinArgs, NodeFlags, Output};
use crate::exit::{Exit, Failure};
use crate::{configure, print};

/// Makes the first node of a new cluster.
pub(crate) async fn init(output: Output, args: InitArgs) -> Result<(), Failure> {
    let layers = configure::layers(Layers::new(), &args.node);
    let layers = layers.flag("cluster.shards", args.shards.map(i64::from), "--shards");
    let config = layers.check().map_err(configure::wrong)?;
    let start = start_line(&args.node);
    let identity = pollux_runtime::init(&config).await.map_err(|fault| {
        let failure = Failure::new(Exit::Failed, format!("no cluster was made: {fault}"));
        match fault {
            Fault::Taken { .. } => failure.next(format!(
                "start the node that is there with `{start}`, or name an empty directory with --data-dir"
            )),
            _ => failure.next("name an empty directory with --data-dir"),
        }
    })?;
    let shards = match args.shards {
        Some(shards) => format!(" and cluster.shards = {shards} in its configuration"),
        None => String::new(),
    };
    let text = format!(
        "cluster {} with {} shards, its first node in {}\n\
         start it with `{start}`{shards}, then make tokens for others with `pollux cluster token`",
        identity.cluster,
        identity.shards,
        config.data_dir.display(),
    );
    let json = json!({
        "cluster": identity.cluster.to_string(),
        "node": identity.node.0,
        "shards": identity.shards,
    });
    print::result(output, &text, &json)
}

/// Makes a node of a cluster that is there.
pub(crate) async fn join(output: Output, args: JoinArgs) -> Result<(), Failure> {
    let config = configure::layers(Layers::new(), &args.node).check().map_err(configure::wrong)?;
    let start = start_line(&args.node);
    let joined = pollux_runtime::join(&config, &args.via, &args.token, args.replace).await;
    let identity = joined.map_err(|fault| {
        Failure::new(Exit::Failed, format!("the node does not join: {fault}"))
            .next(after(&fault, &start))
    })?;
    let text = format!(
        "node {} of cluster {}, {} shards; start it with `{start}`",
        identity.node, identity.cluster, identity.shards,
    );
    let json = json!({
        "cluster": identity.cluster.to_string(),
        "node": identity.node.0,
        "shards": identity.shards,
    });
    print::result(output, &text, &json)
}

/// What helps a node that did not join.
fn after(fault: &JoinFault, start: &str) -> String {
    use pollux_cluster::peer::JoinFault as Way;
    match fault {
        JoinFault::Token(_) => "copy all of the line that `pollux cluster token` prints on a node of the \
                                cluster"
            .into(),
        JoinFault::TokenRefused(_) => {
            "make a new token with `pollux cluster token` on a node of the cluster".into()
        }
        JoinFault::OtherShards(_) => {
            "set cluster.shards to that of the cluster in --config, or with POLLUX_CLUSTER__SHARDS; the token \
             is still good"
                .into()
        }
        JoinFault::Taken(_) => format!(
            "start the node that is there with `{start}`, or name an empty directory with --data-dir; the \
             token is still good"
        ),
        JoinFault::Peer(Way::Unreachable(_)) | JoinFault::Via { .. } => {
            "name with --via where a running node of the token's cluster listens for peers: its listen.peers, \
             the line `peers` when it starts, or `peers` in `pollux cluster status --output json`; not where \
             it listens for devices or services"
                .into()
        }
        JoinFault::Peer(Way::Refused(_)) => "wait a moment and try again".into(),
        JoinFault::Cluster(_) | JoinFault::Pki(_) => {
            "name an empty directory that no other process uses with --data-dir".into()
        }
        JoinFault::Refused(_) | JoinFault::Interrupted(_) => {
            "put that right and try again; if the token was used up over it, make a new one with `pollux \
             cluster token` on a node of the cluster"
                .into()
        }
    }
}

/// How a node is started that was made with these flags.
pub(crate) fn start_line(flags: &NodeFlags) -> String {
    let config = flags.config.as_ref().map(|path| path.display().to_string());
    let given = [
        ("--config", &config),
        ("--data-dir", &flags.data_dir),
        ("--devices-listen", &flags.devices_listen),
        ("--grpc-listen", &flags.grpc_listen),
        ("--http-listen", &flags.http_listen),
        ("--peers-listen", &flags.peers_listen),
        ("--trace", &flags.trace),
    ];
    let mut line = "pollux start".to_owned();
    for (flag, value) in given {
        match value {
            Some(value) if value.contains(|c: char| c.is_whitespace() || "'\"$*;&".contains(c)) => {
                line += &format!(" {flag} '{}'", value.replace('\'', "'\\''"));
            }
            Some(value) => line += &format!(" {flag} {value}"),
            None => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_starts_a_node_has_the_flags_that_made_it() {
        assert_eq!(start_line(&NodeFlags::default()), "pollux start");
        let flags = NodeFlags {
            config: Some("n 1.toml".into()),
            data_dir: Some("d1".into()),
            peers_listen: Some("127.0.0.1:0".into()),
            ..NodeFlags::default()
        };
        assert_eq!(
            start_line(&flags),
            "pollux start --config 'n 1.toml' --data-dir d1 --peers-listen 127.0.0.1:0"
        );
    }
}
