//! A node that lets everybody do everything: it passes calls on for principals that may not make them, as one would
//! that knows older policies, or lies. Who owns what is asked for must not carry them out.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use pollux_cluster::{CallFault, DataDir, NodeId, PeerNetwork, PeerOptions, PeerRecord, PeerTls};
use pollux_proto::forward::{Call, Called, Guarded, List, decode, encode};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::{Authority, CLUSTER_CA, PKI_DIR};
use pollux_twin::Rejection;
use pollux_twin::input::Request;

/// The numbers of messages between nodes.
const CALL: u16 = 1;
const LIST: u16 = 2;
const GUARDED: u16 = 24;
/// How long another node is given.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Careless {
    network: PeerNetwork,
    others: Vec<NodeId>,
    _data: DataDir,
}

impl Careless {
    /// Takes the place of a node that was killed, with its disk; `others` are those that run, and where.
    pub(crate) fn in_place_of(data: &Path, others: &[(u64, String)]) -> Result<Self> {
        let mut dir = DataDir::lock(data)?;
        dir.start(None, None)?;
        let identity = dir.identity().context("it was a node")?.clone();
        let now = Clock::new().wall();
        let ca = Authority::open_or_make(&data.join(PKI_DIR), CLUSTER_CA, "none", now, 1)?;
        let issued = ca.issue_node(identity.cluster, identity.node, now, 1)?;
        let text = format!("pollux cluster config 1: shards = {}", identity.shards);
        let network = PeerNetwork::start(PeerOptions {
            socket: UdpSocket::bind("127.0.0.1:0")?,
            config: u64::from(crc32c::crc32c(text.as_bytes())),
            identity,
            tls: PeerTls {
                roots: vec![ca.certificate().clone()],
                chain: issued.chain().to_vec(),
                key: issued.key().clone_key(),
            },
            snapshot_bytes_per_s: 1 << 20,
        })?;
        let record = |address: &String| PeerRecord {
            addresses: vec![address.clone()],
            ..PeerRecord::default()
        };
        network.set_peers(others.iter().map(|(id, at)| (NodeId(*id), record(at))).collect());
        let others = others.iter().map(|(id, _)| NodeId(*id)).collect();
        Ok(Self { network, others, _data: dir })
    }

    async fn ask(&self, to: NodeId, kind: u16, payload: Bytes) -> Result<Bytes, CallFault> {
        // The connection is made meanwhile.
        for _ in 0..100 {
            match self.network.call(to, kind, payload.clone(), PATIENCE).await {
                Err(CallFault::Unreachable) => tokio::time::sleep(PATIENCE / 100).await,
                answer => return answer,
            }
        }
        Err(CallFault::Unreachable)
    }

    /// What the other nodes say to a call that is passed on for a principal.
    async fn call(&self, principal: &str, request: &Request) -> Result<Vec<Called>> {
        let call = Call {
            key: "acme/pump-1".into(),
            caller: principal.into(),
            idempotency_key: None,
            request: request.clone(),
            timeout_ms: 5_000,
        };
        let payload = encode(&call)?.to_vec();
        let guarded = encode(&Guarded { principal: principal.into(), kind: CALL, payload })?;
        let mut said = Vec::new();
        for node in &self.others {
            said.push(decode(&self.ask(*node, GUARDED, guarded.clone()).await?)?);
        }
        Ok(said)
    }

    /// The owner carries out what a principal may, and nothing else; lists likewise.
    pub(crate) async fn is_not_believed(&self) -> Result<()> {
        // What depends on the twin its owner alone can decide, and does.
        for (principal, allowed) in [("some", true), ("tagged", false), ("others", false)] {
            let said = self.call(principal, &Request::Get).await?;
            let done = said.iter().filter(|called| called.result.is_ok()).count();
            let forbidden =
                |called: &&Called| matches!(called.result, Err(Rejection::Forbidden { .. }));
            let refused = said.iter().filter(forbidden).count();
            ensure!(
                (done, refused) == if allowed { (1, 0) } else { (0, 1) },
                "{principal}: {said:?}"
            );
        }
        let deleted = Request::Delete { expected: None };
        for (principal, request, allowed) in [
            ("reader", Request::Get, true),
            ("reader", deleted.clone(), false),
            ("nothing", Request::Get, false),
            ("made-up", Request::Get, false),
            ("all", deleted, true),
        ] {
            let said = self.call(principal, &request).await?;
            let refused =
                |called: &Called| matches!(called.result, Err(Rejection::Forbidden { .. }));
            let all = said.iter().all(refused);
            ensure!(all != allowed, "{principal} {request:?}: {said:?}");
            let done = said.iter().filter(|called| called.result.is_ok()).count();
            ensure!(
                done == usize::from(allowed),
                "its one owner: {principal} {request:?}: {said:?}"
            );
        }
        let list = List { shards: Vec::new(), beginning: "acme/".into(), after: None, limit: 9 };
        for (principal, allowed) in
            [("reader", true), ("nothing", false), ("some", false), ("others", false)]
        {
            let payload = encode(&list)?.to_vec();
            let guarded = encode(&Guarded { principal: principal.into(), kind: LIST, payload })?;
            let said = self.ask(self.others[0], GUARDED, guarded).await;
            ensure!(said.is_ok() == allowed, "{principal} lists: {said:?}");
        }
        self.network.close().await;
        Ok(())
    }
}
