//! A cluster of real processes on loopback, formed through the real command line.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{NodeOptions, NodeProcess, binary};

/// How often the cluster is asked whether it is as expected.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is asked at most: long, as tests share few cores.
const LOOKS: u32 = 1_200;

/// The nodes of a cluster, by the order in which they joined; a node that was killed is none.
pub struct Cluster {
    /// Options that start each node, again and again at the same addresses.
    pub options: Vec<NodeOptions>,
    /// Those that run.
    pub nodes: Vec<Option<NodeProcess>>,
}

impl Cluster {
    /// Forms a cluster of `count` nodes with their data below `dir`, and waits until every shard has
    /// its replicas.
    pub fn form(dir: &Path, count: usize, variables: &[(&str, &str)]) -> Result<Self> {
        let options = |number: usize| -> Result<NodeOptions> {
            let mut options = NodeOptions::new(&dir.join(format!("node-{number}")));
            options.devices = free_udp()?.to_string();
            options.peers = free_udp()?.to_string();
            options.grpc = free_tcp()?.to_string();
            options.http = free_tcp()?.to_string();
            let named = [("POLLUX_NODE__NAME", format!("node-{number}"))];
            let all = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
            let all = all.chain(named).map(|(name, value)| (name.to_owned(), value));
            options.variables.extend(all);
            Ok(options)
        };
        let first = options(1)?;
        let mut cluster = Self { nodes: vec![Some(first.start()?)], options: vec![first] };
        for number in 2..=count {
            cluster.join(options(number)?)?;
        }
        cluster.settled()?;
        Ok(cluster)
    }

    /// Takes one more node in, through the first that runs.
    pub fn join(&mut self, options: NodeOptions) -> Result<()> {
        let via = self.running()?;
        let token = via.ask(&["cluster", "token"])?;
        let token = token["token"].as_str().context("a token")?.to_owned();
        join(&options, &via.peers, &token)?;
        self.nodes.push(Some(options.start()?));
        self.options.push(options);
        Ok(())
    }

    /// A node that runs.
    pub fn running(&self) -> Result<&NodeProcess> {
        self.nodes.iter().flatten().next().context("a node that runs")
    }

    /// `kill -9` of a node.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        self.nodes[at].take().context("the node runs")?.kill()
    }

    /// Starts a node again, at its addresses.
    pub fn start(&mut self, at: usize) -> Result<()> {
        self.nodes[at] = Some(self.options[at].start()?);
        Ok(())
    }

    /// What `cluster status` says.
    pub fn status(&self) -> Result<Value> {
        self.running()?.ask(&["cluster", "status"])
    }

    /// Waits until the status is as wanted; the last one.
    pub fn until(&self, what: &str, good: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..LOOKS {
            match self.status() {
                Ok(status) if good(&status) => return Ok(status),
                Ok(status) => last = status,
                Err(error) => last = Value::String(format!("{error:#}")),
            }
            thread::sleep(LOOK);
        }
        let said: Vec<_> = self.options.iter().map(NodeOptions::said).collect();
        bail!("the cluster never came to {what}; last: {last}; the nodes said: {said:#?}")
    }

    /// Waits until every shard has an open owner and exactly the replicas it is meant to have.
    pub fn settled(&self) -> Result<Value> {
        let there = self.nodes.iter().flatten().count();
        self.until("rest", |status| {
            let shards = status["shards"].as_array().is_some_and(|shards| {
                !shards.is_empty() && shards.iter().all(|shard| settled(shard, there))
            });
            let nodes = status["nodes"].as_array().map_or(0, Vec::len);
            shards && nodes >= there
        })
    }

    /// The place in the list of the node that owns most shards.
    pub fn busiest(&self) -> Result<usize> {
        let status = self.status()?;
        let nodes = status["nodes"].as_array().context("nodes")?;
        let most = nodes.iter().max_by_key(|node| node["owned"].as_u64()).context("a node")?;
        let id = most["id"].as_u64().context("an id")?;
        Ok(usize::try_from(id)? - 1)
    }

    /// Where devices can dial, of all nodes.
    pub fn device_addresses(&self) -> Vec<String> {
        self.options.iter().map(|options| options.devices.clone()).collect()
    }
}

fn settled(shard: &Value, nodes: usize) -> bool {
    let set = |name: &str| {
        let mut ids: Vec<u64> =
            shard[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        ids.sort_unstable();
        ids
    };
    let (voters, intended) = (set("voters"), set("intended"));
    let enough = intended.len() >= nodes.min(3);
    let as_meant = match intended.len() {
        2 => voters.len() == 1 && set("learners").len() == 1,
        _ => voters == intended,
    };
    shard["open"] == true && enough && as_meant
}

/// Makes a data directory one of a node of a cluster.
pub fn join(options: &NodeOptions, via: &str, token: &str) -> Result<()> {
    let output = Command::new(binary::pollux()?)
        .args(["node", "join", "--output", "json", "--via", via, "--token", token, "--data-dir"])
        .arg(&options.data)
        .envs(options.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("node join: {}; it said: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A port that nobody listens on now.
pub fn free_udp() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// A port that nobody listens on now.
pub fn free_tcp() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
