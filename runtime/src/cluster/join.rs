//! Taking new nodes in. The joining side asks with its token and gets what a node needs: its id, the
//! cluster's CAs, the others' addresses. The admitting side has the meta group decide.

use std::net::SocketAddr;
use std::path::Path;

use pollux_cluster::meta::{Addresses, Answer, Command, Labels, Newcomer, Profile};
use pollux_cluster::{DataDir, Identity, NodeId, Standing, Uuid, peer};
use serde::{Deserialize, Serialize};

use super::book;
use super::meta::{Decider, fingerprint};
use super::token::{self, Secret, Token, TokenError};
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::founding;
use crate::fault::Fault;
use crate::pki::{self, PkiError};

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinFault {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The data directory, or the way to the cluster.
    #[error(transparent)]
    Cluster(#[from] pollux_cluster::Fault),
    /// Certificates and keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The way to the cluster.
    #[error(transparent)]
    Peer(#[from] peer::JoinFault),
    /// The address of a node is none.
    #[error("--via {via} is no address of a node: {problem}; it takes host:port")]
    Via {
        /// What was given.
        via: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The cluster refuses.
    #[error("{0}")]
    Refused(String),
    /// The cluster does not know the token, or no longer takes it.
    #[error("{0}")]
    TokenRefused(String),
    /// The cluster has another number of shards than the node is configured for.
    #[error("{0}")]
    OtherShards(String),
    /// The directory is one already.
    #[error("data directory {0} has an identity already; a new node needs an empty one")]
    Taken(String),
    /// A thread of this process.
    #[error("the join was interrupted: {0}")]
    Interrupted(String),
}

/// How the refusal of a node that is configured for another number of shards begins.
const OTHER_SHARDS: &str = "this cluster has";

/// What a joining node says, to a node that has proved to be of the token's cluster.
#[derive(Serialize, Deserialize)]
struct Request {
    /// The id of a node whose place it takes.
    replaces: Option<u64>,
    /// The token's secret itself: the hash that the cluster keeps must let nobody in.
    secret: Secret,
    node_uuid: u128,
    fingerprint: u64,
    shards: u32,
    name: String,
    zone: String,
    weight: u32,
}

impl Request {
    /// What the meta group decides on.
    fn newcomer(&self, now_ms: u64) -> Newcomer {
        let labels = Labels { zone: self.zone.clone(), weight: self.weight, capacity: 0 };
        Newcomer {
            token: token::hash(&self.secret),
            node_uuid: self.node_uuid,
            fingerprint: self.fingerprint,
            profile: Profile { labels, ..Profile::named(&self.name) },
            now_ms,
        }
    }
}

/// What it is told.
#[derive(Serialize, Deserialize)]
struct Admitted {
    cluster: u128,
    lineage: u64,
    node: u64,
    shards: u32,
    /// Files of `pki/`: name and text.
    files: Vec<(String, String)>,
    /// Ids and addresses of the others.
    peers: Vec<(u64, String)>,
}

/// Makes the data directory of a new cluster's first node.
///
/// # Errors
/// When the directory is not empty, or cannot be written.
pub async fn init(config: &Checked) -> Result<Identity, Fault> {
    let config = config.clone();
    let made = tokio::task::spawn_blocking(move || -> Result<Identity, Fault> {
        let mut dir = DataDir::lock(&config.data_dir)?;
        if dir.identity().is_some() {
            return Err(Fault::Taken { dir: config.data_dir });
        }
        let identity = founding(u32::from(config.cluster.shards))?;
        dir.found(identity.clone(), &[])?;
        let (pki_dir, now) = (config.data_dir.join(pki::PKI_DIR), Clock::new().wall());
        pki::cluster_authority(&pki_dir, now)?;
        pki::server_authority(&pki_dir, now)?;
        pki::device_authority(&pki_dir, now)?;
        Ok(identity)
    });
    made.await.map_err(|error| crate::node::internal("the data directory", &error))?
}

/// Makes an empty data directory one of a node of the cluster that listens for peers at `via`.
///
/// # Errors
/// See [`JoinFault`]. A token that was taken is used up, even where the rest fails.
pub async fn join(
    config: &Checked,
    via: &str,
    token: &str,
    replaces: Option<u64>,
) -> Result<Identity, JoinFault> {
    let token: Token = token.parse()?;
    let path = config.data_dir.clone();
    let locked = tokio::task::spawn_blocking(move || DataDir::lock(path));
    let mut dir = locked.await.map_err(|error| JoinFault::Interrupted(error.to_string()))??;
    if dir.identity().is_some() {
        return Err(JoinFault::Taken(config.data_dir.display().to_string()));
    }
    let node_uuid = Uuid::random()?;
    let profile = super::profile(config, node_uuid, Addresses::default());
    let request = Request {
        replaces,
        name: profile.name,
        zone: profile.labels.zone,
        weight: profile.labels.weight,
        secret: token.secret,
        node_uuid: node_uuid.0,
        fingerprint: fingerprint(config),
        shards: u32::from(config.cluster.shards),
    };
    let asked = serde_json::to_vec(&request).expect("numbers are JSON");
    let told = peer::join(resolve(via).await?, token.ca, asked.into()).await?;
    let told: Result<Admitted, String> = serde_json::from_slice(&told).map_err(|error| {
        JoinFault::Refused(format!("the node's answer cannot be read: {error}"))
    })?;
    let admitted = told.map_err(refused)?;
    let identity = Identity {
        cluster: Uuid(admitted.cluster),
        node_uuid,
        node: NodeId(admitted.node),
        lineage: admitted.lineage,
        shards: admitted.shards,
        starts: 0,
        standing: Standing::Joining,
    };
    let (config, kept) = (config.clone(), identity.clone());
    let written = tokio::task::spawn_blocking(move || -> Result<(), JoinFault> {
        // The identity last: a directory that has one has everything else.
        keep(&config.data_dir, &admitted)?;
        Ok(dir.found(kept, &[pki::PKI_DIR, book::FILE])?)
    });
    written.await.map_err(|error| JoinFault::Interrupted(error.to_string()))??;
    Ok(identity)
}

/// What the cluster said, by what helps. It says so in words; those of other releases are taken as they are.
fn refused(reason: String) -> JoinFault {
    match reason.as_str() {
        reason if reason.contains("token") => JoinFault::TokenRefused(reason.to_owned()),
        reason if reason.starts_with(OTHER_SHARDS) => JoinFault::OtherShards(reason.to_owned()),
        _ => JoinFault::Refused(reason),
    }
}

async fn resolve(via: &str) -> Result<SocketAddr, JoinFault> {
    let wrong = |problem: String| JoinFault::Via { via: via.to_owned(), problem };
    let mut found = tokio::net::lookup_host(via).await.map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".into()))
}

fn keep(data_dir: &Path, admitted: &Admitted) -> Result<(), JoinFault> {
    let pki_dir = data_dir.join(pki::PKI_DIR);
    pki::write_files(&pki_dir, &admitted.files)?;
    let peers = admitted.peers.iter().map(|(id, at)| (NodeId(*id), at.clone())).collect();
    book::write(data_dir, &peers)
        .map_err(|error| JoinFault::Interrupted(format!("keep the peers' addresses: {error}")))
}

/// Answers a joining node: what it needs, or why it is not taken in.
pub(super) async fn admit(
    config: &Checked,
    decider: &Decider,
    clock: Clock,
    request: &[u8],
) -> Result<Vec<u8>, String> {
    let request: Request =
        serde_json::from_slice(request).map_err(|error| format!("not a join: {error}"))?;
    let told = admit_node(config, decider, clock, &request).await;
    if let Err(reason) = &told {
        tracing::warn!(reason, "a node is not taken in");
    }
    Ok(serde_json::to_vec(&told).expect("numbers and texts are JSON"))
}

async fn admit_node(
    config: &Checked,
    decider: &Decider,
    clock: Clock,
    request: &Request,
) -> Result<Admitted, String> {
    let shards = u32::from(config.cluster.shards);
    if request.shards != shards {
        let configured = request.shards;
        return Err(format!(
            "{OTHER_SHARDS} {shards} shards, the node is configured for {configured}"
        ));
    }
    let newcomer = request.newcomer(clock.wall().ms);
    let join = match request.replaces {
        Some(old) => Command::Replace { old, newcomer },
        None => Command::Join(newcomer),
    };
    let answer = decider.decide(join).await.map_err(|fault| fault.to_string())?;
    let node = match answer {
        Answer::Node(node) => node,
        Answer::Done => return Err("the meta group gave no id".into()),
        Answer::Refused(refusal) => return Err(refusal.to_string()),
    };
    let files = pki::shared_files(&config.data_dir.join(pki::PKI_DIR));
    let meta = std::sync::Arc::clone(&decider.picture().borrow().meta);
    let there = meta.members().filter(|(id, _)| *id != node);
    Ok(Admitted {
        cluster: meta.cluster,
        lineage: meta.lineage,
        node,
        shards,
        files: files.map_err(|error| error.to_string())?,
        peers: there.map(|(id, other)| (id, other.profile.addresses.peers.clone())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_cluster::meta::Refusal;

    fn request(secret: &[u8]) -> Result<Request, serde_json::Error> {
        serde_json::from_value(serde_json::json!({
            "replaces": null, "secret": secret, "node_uuid": 7, "fingerprint": 1, "shards": 16,
            "name": "second", "zone": "", "weight": 100,
        }))
    }

    #[test]
    fn refusals_are_told_apart_by_what_helps() {
        for refusal in
            [Refusal::UnknownToken, Refusal::TokenExpired, Refusal::TokenUsed { node: 2 }]
        {
            assert!(
                matches!(refused(refusal.to_string()), JoinFault::TokenRefused(_)),
                "{refusal}"
            );
        }
        let shards = format!("{OTHER_SHARDS} 4 shards, the node is configured for 16");
        assert!(matches!(refused(shards), JoinFault::OtherShards(_)));
        for refusal in [Refusal::NameTaken { node: 2 }, Refusal::OtherConfiguration] {
            assert!(matches!(refused(refusal.to_string()), JoinFault::Refused(_)), "{refusal}");
        }
    }

    #[test]
    fn a_secret_lets_in_and_the_kept_hash_does_not() {
        let secret: Secret = [9; 16];
        let kept = token::hash(&secret);
        assert_eq!(request(&secret).unwrap().newcomer(0).token, kept);
        assert!(request(&kept).is_err(), "a hash is no secret");
        assert_ne!(request(&kept[..16]).unwrap().newcomer(0).token, kept);
    }
}
