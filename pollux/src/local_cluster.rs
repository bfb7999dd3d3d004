//! A cluster on this machine, for looking around and for demonstrations: each node a child process, its
//! data in a folder below one, all of it formed as an operator would form it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_proto::v1;
use pollux_runtime::config::Layers;

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::node_process::NodeProcess;

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long forming may take.
const FORM_MAX: Duration = Duration::from_secs(120);

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) devices: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) peers: SocketAddr,
}

impl Places {
    /// Ports that nobody listens on now.
    fn free() -> Result<Self, Failure> {
        let udp = || UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let tcp = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let find = || {
            Ok::<_, std::io::Error>(Self {
                devices: udp()?,
                grpc: tcp()?,
                http: tcp()?,
                peers: udp()?,
            })
        };
        find().map_err(|error| Failure::new(Exit::Failed, format!("find free ports: {error}")))
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

/// One node of it.
pub(crate) struct LocalNode {
    dir: PathBuf,
    /// Where it listens, again and again.
    pub(crate) places: Places,
    process: Option<NodeProcess>,
}

impl LocalNode {
    async fn start(dir: PathBuf, places: Places) -> Result<Self, Failure> {
        let mut node = Self { dir, places, process: None };
        node.start_again().await?;
        Ok(node)
    }

    /// Starts its process, on the data it has.
    pub(crate) async fn start_again(&mut self) -> Result<(), Failure> {
        let mut arguments: Vec<String> =
            ["start", "--trace", "warn,openraft=error", "--data-dir"].map(str::to_owned).to_vec();
        arguments.push(self.dir.display().to_string());
        arguments.extend(self.places.arguments());
        self.process = Some(NodeProcess::resume(arguments, self.dir.clone()).await?);
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

    /// Whether its process runs, as far as this one has not ended it.
    pub(crate) const fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// A client of its gRPC endpoint.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Client::to(&format!("http://{}", self.places.grpc)).await
    }
}

/// See the module.
pub(crate) struct LocalCluster {
    dir: PathBuf,
    /// By the order of joining: the first is node 1.
    pub(crate) nodes: Vec<LocalNode>,
}

impl LocalCluster {
    /// Forms a cluster of `count` nodes below `dir`, which must not exist yet; waits until every shard
    /// has its replicas.
    pub(crate) async fn form(dir: PathBuf, count: usize) -> Result<Self, Failure> {
        if dir.exists() {
            return Err(Failure::new(Exit::Failed, format!("{} exists already", dir.display()))
                .next("remove it, or name another folder with --data-dir"));
        }
        let mut cluster = Self { dir, nodes: Vec::new() };
        for _ in 0..count {
            // Where it fails, what was started ends with this value.
            cluster.add().await?;
        }
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Takes one more node in.
    pub(crate) async fn add(&mut self) -> Result<(), Failure> {
        let dir = self.dir.join(format!("node-{}", self.nodes.len() + 1));
        let places = Places::free()?;
        if let Some(first) = self.nodes.iter().find(|node| node.runs()) {
            let client = first.client().await?;
            let request = client.request(v1::CreateJoinTokenRequest::default());
            let token = client.cluster().create_join_token(request).await?.into_inner().token;
            let data = dir.display().to_string();
            let config = Layers::new().flag("data_dir", Some(data), "--data-dir").check();
            let config = config.map_err(crate::configure::wrong)?;
            pollux_runtime::join(&config, &first.places.peers.to_string(), &token, None)
                .await
                .map_err(|fault| Failure::new(Exit::Failed, format!("join: {fault}")))?;
        }
        self.nodes.push(LocalNode::start(dir, places).await?);
        Ok(())
    }

    /// What a node that runs says of the cluster.
    pub(crate) async fn status(&self) -> Result<v1::ClusterStatusResponse, Failure> {
        let running = self.nodes.iter().find(|node| node.runs());
        let running = running
            .ok_or_else(|| Failure::new(Exit::Unavailable, "no node of the cluster runs"))?;
        let client = running.client().await?;
        let request = client.request(v1::ClusterStatusRequest {});
        Ok(client.cluster().status(request).await?.into_inner())
    }

    /// Waits until every shard has an open owner and the replicas it is meant to have.
    pub(crate) async fn settled(&self) -> Result<(), Failure> {
        let wait = async {
            loop {
                if let Ok(status) = self.status().await
                    && status.nodes.iter().filter(|node| node.answers).count() >= self.running()
                    && status.shards.iter().all(|shard| settled(shard, self.running()))
                {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(FORM_MAX, wait).await.map_err(|_| {
            Failure::new(Exit::Failed, "the cluster did not come to rest in time")
                .next("look at it with `pollux cluster status`")
        })
    }

    fn running(&self) -> usize {
        self.nodes.iter().filter(|node| node.runs()).count()
    }

    /// The `pki/` folder of its first node, which has the CA of its devices.
    pub(crate) fn pki(&self) -> PathBuf {
        self.dir.join("node-1").join(pollux_runtime::pki::PKI_DIR)
    }

    /// Stops all nodes in order and removes their data.
    pub(crate) async fn remove(mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            node.stop().await?;
        }
        remove(&self.dir)
    }
}

fn settled(shard: &v1::ClusterShard, nodes: usize) -> bool {
    let replicas = shard.voters.len() + shard.learners.len();
    shard.open
        && replicas == shard.intended.len()
        && replicas >= nodes.min(3)
        && shard.intended.first() == Some(&shard.owner)
}

fn remove(dir: &Path) -> Result<(), Failure> {
    std::fs::remove_dir_all(dir)
        .map_err(|error| Failure::new(Exit::Failed, format!("remove {}: {error}", dir.display())))
}
