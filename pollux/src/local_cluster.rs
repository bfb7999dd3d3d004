//! A cluster on this machine, for looking around, for demonstrations and for runs with faults: each node a
//! child process, its data in a folder below one, all of it formed as an operator would form it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use pollux_proto::v1;
use pollux_runtime::config::Layers;
use serde::{Deserialize, Serialize};

use crate::args::NodeFlags;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::limits::{PORTS_APART, SETTLED_LOOK, SETTLED_MAX};
use crate::node_process::NodeProcess;
use crate::wires::Wires;
use crate::{cluster_status, configure, sim};

/// The file that says where its nodes listen: when all were stopped, they find each other there again.
const PLACES_FILE: &str = "nodes.json";
/// What the nodes of a run trace.
const QUIET: &str = "warn,openraft=error";

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) devices: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) peers: SocketAddr,
}

impl Places {
    /// Any, on this machine.
    pub(crate) const fn any() -> Self {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { devices: any, grpc: any, http: any, peers: any }
    }

    /// Those of the node with this number, counted from 0, where the first has these: a step further for
    /// each, and for port 0 one that nobody listens on now.
    fn of(self, number: u16) -> Result<Self, Failure> {
        let apart = number.saturating_mul(PORTS_APART);
        let place = |first: SocketAddr, free: fn(SocketAddr) -> std::io::Result<SocketAddr>| {
            if first.port() == 0 {
                let wrong = |error| Failure::new(Exit::Failed, format!("find free ports: {error}"));
                return free(first).map_err(wrong);
            }
            let port = first.port().checked_add(apart).ok_or_else(|| {
                Failure::new(Exit::Usage, format!("port {} leaves no room above it", first.port()))
                    .next("choose lower ports for the first node")
            })?;
            Ok(SocketAddr::new(first.ip(), port))
        };
        let udp = |at| UdpSocket::bind(at).and_then(|socket| socket.local_addr());
        let tcp = |at| TcpListener::bind(at).and_then(|socket| socket.local_addr());
        Ok(Self {
            devices: place(self.devices, udp)?,
            grpc: place(self.grpc, tcp)?,
            http: place(self.http, tcp)?,
            peers: place(self.peers, udp)?,
        })
    }

    fn arguments(&self) -> Vec<String> {
        let flags = [
            ("--devices-listen", self.devices),
            ("--grpc-listen", self.grpc),
            ("--http-listen", self.http),
            ("--peers-listen", self.peers),
        ];
        flags.into_iter().flat_map(|(flag, at)| [flag.to_owned(), at.to_string()]).collect()
    }
}

/// How the nodes of a cluster are started.
#[derive(Clone)]
pub(crate) struct Options {
    /// The folder with their data.
    pub(crate) dir: PathBuf,
    /// Where the first listens.
    pub(crate) first: Places,
    /// Configuration of all of them: the file and what is traced. Folder and addresses are their own.
    pub(crate) flags: NodeFlags,
    /// The wires between them, where they are to be cut.
    wires: Option<Wires>,
}

impl Options {
    /// A cluster in this folder, on any ports.
    pub(crate) fn in_dir(dir: PathBuf) -> Self {
        Self::new(dir, Places::any(), NodeFlags::default())
    }

    /// A cluster in this folder, its first node at these places.
    pub(crate) const fn new(dir: PathBuf, first: Places, flags: NodeFlags) -> Self {
        Self { dir, first, flags, wires: None }
    }

    /// The same with wires that can be cut.
    pub(crate) fn with_wires(self) -> Self {
        Self { wires: Some(Wires::default()), ..self }
    }
}

/// One node of it.
pub(crate) struct LocalNode {
    dir: PathBuf,
    arguments: Vec<String>,
    /// Where it listens, again and again.
    pub(crate) places: Places,
    /// What it is told by variables.
    variables: Vec<(&'static str, String)>,
    process: Option<NodeProcess>,
}

impl LocalNode {
    fn new(options: &Options, number: usize, places: Places) -> Self {
        let dir = dir_of(&options.dir, number);
        let trace = options.flags.trace.clone().unwrap_or_else(|| QUIET.to_owned());
        let mut arguments = vec!["start".to_owned(), "--until-stdin-closes".to_owned()];
        arguments.extend(["--trace".to_owned(), trace]);
        arguments.extend(["--data-dir".to_owned(), dir.display().to_string()]);
        if let Some(file) = &options.flags.config {
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        arguments.extend(places.arguments());
        Self { dir, arguments, places, variables: Vec::new(), process: None }
    }

    /// Has the others reach it through a wire, and lets its disk be slowed down.
    async fn wire(&mut self, number: usize, wires: &Wires) -> Result<(), Failure> {
        let front = wires.lay(number, self.places.peers).await;
        let front = front.map_err(|error| {
            Failure::new(Exit::Failed, format!("lay a wire to node {}: {error}", number + 1))
        })?;
        self.variables.push(("POLLUX_ADVERTISE__PEERS", front.to_string()));
        self.variables.push(("POLLUX_LOG__SLOWED_BY", self.slow_file().display().to_string()));
        Ok(())
    }

    fn slow_file(&self) -> PathBuf {
        self.dir.with_extension("slow")
    }

    /// From now on each sync of its log takes so much longer.
    pub(crate) fn slow(&self, delay: Duration) -> Result<(), Failure> {
        let (path, ms) = (self.slow_file(), delay.as_millis().to_string());
        std::fs::write(&path, ms).map_err(|error| {
            Failure::new(Exit::Failed, format!("write {}: {error}", path.display()))
        })
    }

    /// Starts its process, on the data it has.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        self.process = Some(
            NodeProcess::resume(self.arguments.clone(), self.dir.clone(), &self.variables).await?,
        );
        Ok(())
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops it in order; its data stays.
    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        match self.process.take() {
            Some(process) => process.stop_and_keep().await,
            None => Ok(()),
        }
    }

    /// Its process, to be stopped elsewhere; it counts as stopped from here on.
    pub(crate) const fn release(&mut self) -> Option<NodeProcess> {
        self.process.take()
    }

    /// Whether its process runs, as far as this one has not ended it.
    pub(crate) const fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(NodeProcess::id)
    }

    /// A client of its gRPC endpoint.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Client::to(&format!("http://{}", self.places.grpc)).await
    }
}

/// See the module.
pub(crate) struct LocalCluster {
    options: Options,
    /// By the order of joining: the first is node 1.
    pub(crate) nodes: Vec<LocalNode>,
}

impl LocalCluster {
    /// Forms a cluster of `count` nodes in a folder that must not exist yet; waits until it is at rest and
    /// each of them owns its share.
    pub(crate) async fn form(options: Options, count: usize) -> Result<Self, Failure> {
        if options.dir.exists() {
            let text = format!("{} exists already", options.dir.display());
            return Err(Failure::new(Exit::Failed, text)
                .next("remove it, or name another folder with --data-dir"));
        }
        let cluster = Self::open(options, count).await?;
        // New nodes are given nothing to own in their first seconds.
        let even = |status: &v1::ClusterStatusResponse| {
            let idle = status.nodes.iter().any(|node| node.owned == 0);
            let enough = status.shards.len() >= status.nodes.len();
            status.settled && status.owned_as_meant && !(idle && enough)
        };
        cluster.until("even", even).await?;
        Ok(cluster)
    }

    /// Starts the cluster that is kept in a folder, or forms one; with fewer nodes than wanted, more join.
    /// Waits until it is at rest. Where it fails, what was started ends.
    pub(crate) async fn open(options: Options, count: usize) -> Result<Self, Failure> {
        let kept = kept(&options.dir)?;
        if kept.len() > count {
            let text = format!("{} holds a cluster of {} nodes", options.dir.display(), kept.len());
            let next = format!("say --nodes {}, or remove it to start anew", kept.len());
            return Err(Failure::new(Exit::Usage, text).next(next));
        }
        let node = |(number, places)| LocalNode::new(&options, number, places);
        let nodes = kept.into_iter().enumerate().map(node).collect();
        let mut cluster = Self { options, nodes };
        // All at once: none of several says where it listens before a majority is there.
        try_join_all(cluster.nodes.iter_mut().map(LocalNode::start)).await?;
        let grows = cluster.nodes.len() < count;
        while cluster.nodes.len() < count {
            cluster.add().await?;
        }
        cluster.settled().await?;
        if grows {
            // Owners would be evened by what they cost, once that was watched for a while.
            cluster.rebalance().await?;
        }
        Ok(cluster)
    }

    /// Has everything evened; how much is to be moved.
    pub(crate) async fn rebalance(&self) -> Result<usize, Failure> {
        let client = self.running()?.client().await?;
        let request = client.request(v1::RebalanceRequest { dry_run: false });
        Ok(client.cluster().rebalance(request).await?.into_inner().moves.len())
    }

    /// Takes one more node in.
    pub(crate) async fn add(&mut self) -> Result<(), Failure> {
        let number = self.nodes.len();
        let wrong = |_| Failure::new(Exit::Usage, "there are too many nodes");
        let places = self.options.first.of(u16::try_from(number).map_err(wrong)?)?;
        if let Some(first) = self.nodes.iter().find(|node| node.runs()) {
            let client = first.client().await?;
            let request = client.request(v1::CreateJoinTokenRequest::default());
            let token = client.cluster().create_join_token(request).await?.into_inner().token;
            let data = dir_of(&self.options.dir, number).display().to_string();
            let flags = NodeFlags { data_dir: Some(data), ..self.options.flags.clone() };
            let config = configure::layers(Layers::new(), &flags).check();
            let config = config.map_err(configure::wrong)?;
            pollux_runtime::join(&config, &first.places.peers.to_string(), &token, None)
                .await
                .map_err(|fault| Failure::new(Exit::Failed, format!("join: {fault}")))?;
        }
        // Only now: a node that is started on an empty folder makes a cluster of its own.
        let mut node = LocalNode::new(&self.options, number, places);
        if let Some(wires) = &self.options.wires {
            node.wire(number, wires).await?;
        }
        self.nodes.push(node);
        self.keep_places()?;
        self.nodes[number].start().await
    }

    fn keep_places(&self) -> Result<(), Failure> {
        let places: Vec<_> = self.nodes.iter().map(|node| node.places).collect();
        let text = serde_json::to_vec_pretty(&places).expect("addresses are JSON");
        let path = self.options.dir.join(PLACES_FILE);
        let kept =
            std::fs::create_dir_all(&self.options.dir).and_then(|()| std::fs::write(&path, text));
        kept.map_err(|error| {
            Failure::new(Exit::Failed, format!("write {}: {error}", path.display()))
        })
    }

    /// What a node that runs says of the cluster.
    pub(crate) async fn status(&self) -> Result<v1::ClusterStatusResponse, Failure> {
        cluster_status::ask(&self.running()?.client().await?).await
    }

    /// What one node says of it.
    pub(crate) async fn status_of(
        &self,
        number: usize,
    ) -> Result<v1::ClusterStatusResponse, Failure> {
        cluster_status::ask(&self.nodes[number].client().await?).await
    }

    /// What one node knows of itself, at once.
    pub(crate) async fn status_of_one(
        &self,
        number: usize,
    ) -> Result<v1::ClusterStatusResponse, Failure> {
        let client = self.nodes[number].client().await?;
        let request = client.request(v1::ClusterStatusRequest { this_node_only: true });
        Ok(client.cluster().status(request).await?.into_inner())
    }

    /// Starts nodes that are down, all at once.
    pub(crate) async fn start(&mut self, numbers: &BTreeSet<usize>) -> Result<(), Failure> {
        let nodes = (0..).zip(&mut self.nodes).filter(|(number, _)| numbers.contains(number));
        try_join_all(nodes.map(|(_, node)| node.start())).await.map(drop)
    }

    /// The wires between its nodes.
    ///
    /// # Panics
    /// If it was made without.
    pub(crate) const fn wires(&self) -> &Wires {
        self.options.wires.as_ref().expect("only clusters with wires have them cut")
    }

    /// A node that runs.
    fn running(&self) -> Result<&LocalNode, Failure> {
        let running = self.nodes.iter().find(|node| node.runs());
        running.ok_or_else(|| Failure::new(Exit::Unavailable, "no node of the cluster runs"))
    }

    /// How many shards a node owns.
    pub(crate) async fn owned(&self, node: u64) -> Result<u32, Failure> {
        let status = self.status().await?;
        Ok(status.nodes.iter().find(|known| known.id == node).map_or(0, |known| known.owned))
    }

    /// Waits until the cluster is at rest and every shard is where it is meant to be owned.
    pub(crate) async fn settled(&self) -> Result<(), Failure> {
        self.until("at rest", |status| status.settled && status.owned_as_meant).await.map(drop)
    }

    /// Waits until the status is as wanted, and gives it.
    pub(crate) async fn until(
        &self,
        what: &str,
        good: impl Fn(&v1::ClusterStatusResponse) -> bool,
    ) -> Result<v1::ClusterStatusResponse, Failure> {
        let mut last = String::new();
        let wait = async {
            loop {
                match self.status().await {
                    Ok(status) if good(&status) => return status,
                    Ok(status) => last = status.unsettled,
                    Err(failure) => last = failure.message,
                }
                tokio::time::sleep(SETTLED_LOOK).await;
            }
        };
        let came = tokio::time::timeout(SETTLED_MAX, wait).await;
        came.map_err(|_| {
            Failure::new(Exit::Failed, format!("the cluster was not {what} in time: {last}"))
                .next("look at it with `pollux cluster status`")
        })
    }

    /// The `pki/` folder of its first node, which has the CA of its devices.
    pub(crate) fn pki(&self) -> PathBuf {
        dir_of(&self.options.dir, 0).join(pollux_runtime::pki::PKI_DIR)
    }

    /// Devices that dial any of its nodes.
    pub(crate) fn devices(&self) -> Result<pollux_simulator::Options, Failure> {
        let mut devices = sim::devices_of(&self.pki())?;
        devices.targets = self.nodes.iter().map(|node| node.places.devices.to_string()).collect();
        Ok(devices)
    }

    /// Stops all nodes in order, all at once; their data stays.
    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        try_join_all(self.nodes.iter_mut().map(LocalNode::stop)).await.map(drop)
    }

    /// Stops all nodes in order and removes their data.
    pub(crate) async fn remove(mut self) -> Result<(), Failure> {
        self.stop().await?;
        let dir = &self.options.dir;
        std::fs::remove_dir_all(dir).map_err(|error| {
            Failure::new(Exit::Failed, format!("remove {}: {error}", dir.display()))
        })
    }
}

/// The folder of the node with this number, counted from 0.
fn dir_of(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("node-{}", number + 1))
}

/// Where the nodes of a cluster in this folder listen; none where there is no cluster yet.
fn kept(dir: &Path) -> Result<Vec<Places>, Failure> {
    let path = dir.join(PLACES_FILE);
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("{}: {what}", path.display()))
            .next("remove the folder to start anew, or name another with --data-dir")
    };
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut others = std::fs::read_dir(dir).into_iter().flatten();
            match others.next() {
                None => Ok(Vec::new()),
                Some(_) => Err(wrong(&"it is missing, and the folder holds something else")),
            }
        }
        Err(error) => Err(wrong(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_ports_of_its_own() {
        let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let first = Places { devices: at(4433), grpc: at(4434), http: at(4435), peers: at(4436) };
        assert_eq!(first.of(0).unwrap(), first);
        let third = first.of(2).unwrap();
        assert_eq!((third.devices.port(), third.peers.port()), (4453, 4456));
        let any = Places::any().of(1).unwrap();
        assert_ne!(any.devices.port(), 0);
        let high = Places { devices: at(65_530), ..first };
        assert!(high.of(1).unwrap_err().message.contains("65530"));
    }

    #[test]
    fn a_folder_with_something_else_is_no_cluster() {
        let dir = tempfile::tempdir().unwrap();
        assert!(kept(dir.path()).unwrap().is_empty());
        assert!(kept(&dir.path().join("none")).unwrap().is_empty());
        std::fs::write(dir.path().join("identity"), "x").unwrap();
        assert!(kept(dir.path()).unwrap_err().message.contains("something else"));
        std::fs::write(dir.path().join(PLACES_FILE), "[").unwrap();
        assert!(kept(dir.path()).unwrap_err().message.contains(PLACES_FILE));
        let text = serde_json::to_string(&[Places::any()]).unwrap();
        std::fs::write(dir.path().join(PLACES_FILE), text).unwrap();
        assert_eq!(kept(dir.path()).unwrap(), [Places::any()]);
    }
}
