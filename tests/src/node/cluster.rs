//! A cluster of real processes on loopback, formed through the real command line.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lan::Lan;
use super::{NodeOptions, NodeProcess, binary};

/// How often the cluster is asked whether it is as expected.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is asked at most: long, as tests share few cores.
const LOOKS: u32 = 1_200;

/// Few shards, quick elections, small segments: much happens in little time.
pub const QUICK: &[(&str, &str)] = &[
    ("POLLUX_CLUSTER__SHARDS", "4"),
    ("POLLUX_LOG__SEGMENT_BYTES", "4194304"),
    ("POLLUX_CHECKPOINT__INTERVAL_MS", "1000"),
];

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
        Self::form_at(dir, count, variables, &Place::Loopback)
    }

    /// As [`Self::form`], each node in its own place of a network.
    pub fn form_at(
        dir: &Path,
        count: usize,
        variables: &[(&str, &str)],
        place: &Place<'_>,
    ) -> Result<Self> {
        let options = |number: usize| options(dir, number, variables, place);
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
        join(&options, &self.running()?.peers, &self.token()?)?;
        self.nodes.push(Some(options.start()?));
        self.options.push(options);
        Ok(())
    }

    /// Takes a node in that has the place of another, whose disk is gone: it is at its addresses.
    pub fn replace(&mut self, at: usize, options: NodeOptions) -> Result<()> {
        let old = self.id(at)?;
        replace(&options, &self.running()?.peers, &self.token()?, old)?;
        self.nodes[at] = Some(options.start()?);
        self.options[at] = options;
        Ok(())
    }

    /// A word by which one node may join.
    pub fn token(&self) -> Result<String> {
        let said = self.running()?.ask(&["cluster", "token"])?;
        Ok(said["token"].as_str().context("a token")?.to_owned())
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

    /// Waits until the cluster says that it is at rest, with all nodes that run.
    pub fn settled(&self) -> Result<Value> {
        let there = self.nodes.iter().flatten().count();
        self.until("rest", |status| {
            let nodes = status["nodes"].as_array().map_or(0, Vec::len);
            status["settled"] == true && nodes >= there
        })
    }

    /// The place in the list of the node that owns most shards.
    pub fn busiest(&self) -> Result<usize> {
        let status = self.status()?;
        let nodes = status["nodes"].as_array().context("nodes")?;
        let most = nodes.iter().max_by_key(|node| node["owned"].as_u64()).context("a node")?;
        self.at(most["peers"].as_str().context("an address")?)
    }

    /// The place in the list of the node that owns a shard.
    pub fn owner(&self, shard: usize) -> Result<usize> {
        let status = self.status()?;
        let owner = status["shards"][shard]["owner"].as_u64().context("a shard")?;
        let nodes = status["nodes"].as_array().context("nodes")?;
        let node = nodes.iter().find(|node| node["id"].as_u64() == Some(owner));
        self.at(node.context("an owner")?["peers"].as_str().context("an address")?)
    }

    /// The id of a node, by its place in the list.
    pub fn id(&self, at: usize) -> Result<u64> {
        let (status, peers) = (self.status()?, &self.options[at].peers);
        let nodes = status["nodes"].as_array().context("nodes")?;
        let node = nodes.iter().find(|node| node["peers"].as_str() == Some(peers));
        node.context("a node of that address")?["id"].as_u64().context("an id")
    }

    fn at(&self, peers: &str) -> Result<usize> {
        let at = self.options.iter().position(|options| options.peers == peers);
        at.with_context(|| format!("no node listens at {peers}"))
    }

    /// The places of the nodes that run.
    pub fn there(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some()).collect()
    }

    /// Where devices can dial, of all nodes.
    pub fn device_addresses(&self) -> Vec<String> {
        self.options.iter().map(|options| options.devices.clone()).collect()
    }
}

/// Where the nodes of a cluster are.
pub enum Place<'a> {
    /// All on this machine's own address, each with ports of its own.
    Loopback,
    /// Each with an address of its own.
    Lan(&'a Lan),
}

/// How to start a node, by its number from 1 on.
pub fn options(
    dir: &Path,
    number: usize,
    variables: &[(&str, &str)],
    place: &Place<'_>,
) -> Result<NodeOptions> {
    let mut options = NodeOptions::new(&dir.join(format!("node-{number}")));
    match place {
        Place::Loopback => {
            options.devices = free_udp()?.to_string();
            options.peers = free_udp()?.to_string();
            options.grpc = free_tcp()?.to_string();
            options.http = free_tcp()?.to_string();
        }
        Place::Lan(lan) => lan.put(&mut options, number),
    }
    let all = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    options.variables.extend(all);
    Ok(options.with("POLLUX_NODE__NAME", &format!("node-{number}")))
}

/// Makes a data directory one of a node of a cluster.
pub fn join(options: &NodeOptions, via: &str, token: &str) -> Result<()> {
    join_with(options, via, token, &[])
}

/// As [`join`], in the place of another node.
pub fn replace(options: &NodeOptions, via: &str, token: &str, old: u64) -> Result<()> {
    join_with(options, via, token, &["--replace", &old.to_string()])
}

fn join_with(options: &NodeOptions, via: &str, token: &str, more: &[&str]) -> Result<()> {
    let output = Command::new(binary::pollux()?)
        .args(["node", "join", "--output", "json", "--via", via, "--token", token])
        .args(more)
        .arg("--data-dir")
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
