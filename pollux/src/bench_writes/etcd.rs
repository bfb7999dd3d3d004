//! Three members of etcd on this machine, and the one call that is measured.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::load::{Writer, value};
use super::{NODES, failed};
use crate::exit::Failure;
use crate::limits::{ETCD_LOOK, ETCD_LOOKS};

/// The call that writes a key.
const PUT: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Put");

/// Members that run; ended when dropped.
pub(super) struct Etcd {
    members: Vec<Child>,
    clients: Vec<String>,
    dir: PathBuf,
}

impl Etcd {
    /// Whether it is installed.
    pub(super) fn is_there() -> bool {
        let asked = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    pub(super) fn start(dir: &Path) -> Result<Self, Failure> {
        let wrong = |error: std::io::Error| failed("start etcd", &error);
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let mut places = Vec::new();
        for _ in 0..NODES {
            places.push((free().map_err(wrong)?, free().map_err(wrong)?));
        }
        let all =
            (0..).zip(&places).map(|(n, (_, peer)): (usize, _)| format!("m{n}=http://{peer}"));
        let all = all.collect::<Vec<_>>().join(",");
        let clients = places.iter().map(|(client, _)| format!("http://{client}")).collect();
        let mut etcd = Self { members: Vec::new(), clients, dir: dir.to_owned() };
        for (n, (client, peer)) in places.iter().enumerate() {
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let member = Command::new("etcd")
                .args(["--name", &format!("m{n}"), "--log-level", "error", "--logger", "zap"])
                .arg("--data-dir")
                .arg(dir.join(format!("m{n}")))
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &all, "--initial-cluster-state", "new"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            etcd.members.push(member.map_err(wrong)?);
        }
        Ok(etcd)
    }

    /// Where each member takes calls.
    pub(super) fn urls(&self) -> Vec<String> {
        self.clients.clone()
    }

    /// Ends the members and removes their data.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.end();
        std::fs::remove_dir_all(&self.dir).map_err(|error| failed("remove etcd's data", &error))
    }

    fn end(&mut self) {
        for mut member in self.members.drain(..) {
            // One that ended by itself has nothing left to end.
            let _ended = member.kill().and_then(|()| member.wait());
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.end();
    }
}

/// The request's two fields that are used.
#[derive(Clone, PartialEq, Eq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// What the answer says is of no interest, only that it came.
#[derive(Clone, PartialEq, Eq, Message)]
struct PutResponse {}

/// Writes a key of its own.
pub(super) struct Put {
    grpc: Grpc<Channel>,
    key: String,
    written: u64,
}

impl Put {
    pub(super) fn new(channel: &Channel, n: usize) -> Self {
        Self { grpc: Grpc::new(channel.clone()), key: format!("bench-{n}"), written: 0 }
    }
}

impl Writer for Put {
    async fn write(&mut self) -> Result<(), Status> {
        self.written += 1;
        let put = PutRequest {
            key: self.key.clone().into_bytes(),
            value: value(self.written).into_bytes(),
        };
        let ready = self.grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        self.grpc.unary(Request::new(put), PUT, codec).await.map(drop)
    }
}

/// Waits until a write is acknowledged.
pub(super) async fn ready(channel: &Channel) -> Result<(), Failure> {
    let mut put = Put::new(channel, 0);
    for _ in 0..ETCD_LOOKS {
        if put.write().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(ETCD_LOOK).await;
    }
    put.write().await.map_err(Into::into)
}
