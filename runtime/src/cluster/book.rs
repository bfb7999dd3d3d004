//! The addresses of the cluster's other nodes, also in a file: after the loss of all nodes at once they
//! must find each other before any of them knows what the meta group had decided last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux_cluster::meta::{Meta, MetaPicture, Node};
use pollux_cluster::peer::{PeerNetwork, PeerRecord};
use pollux_cluster::{NodeId, Uuid};
use tokio::sync::watch;

use crate::limits::PEERS_FILE_BYTES_MAX;

/// Name of the file in the data directory.
pub(crate) const FILE: &str = "peers";

/// `host:port` of each other node, by its id.
pub(crate) type Book = BTreeMap<NodeId, String>;

/// What the file says; empty if there is none, or none that can be read: it is a help, not a truth.
pub(super) fn read(data_dir: &Path) -> Book {
    let path = data_dir.join(FILE);
    let text = match fs::metadata(&path) {
        Ok(file) if file.len() <= PEERS_FILE_BYTES_MAX => fs::read_to_string(&path),
        Ok(_) => Err(io::Error::other("it is too large")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Book::new(),
        Err(error) => Err(error),
    };
    let lines = match text {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the peers' addresses");
            return Book::new();
        }
    };
    let entry = |line: &str| {
        let (id, address) = line.split_once(' ')?;
        Some((NodeId(id.parse().ok()?), address.to_owned()))
    };
    lines.lines().filter_map(entry).collect()
}

/// Writes the file, whole or not at all.
pub(crate) fn write(data_dir: &Path, book: &Book) -> io::Result<()> {
    let (new, path) = (data_dir.join(format!("{FILE}.new")), data_dir.join(FILE));
    let mut file = File::create(&new)?;
    for (node, address) in book {
        writeln!(file, "{node} {address}")?;
    }
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(data_dir)?.sync_all()
}

/// What the network keeps of nodes of which only the addresses are known.
pub(super) fn records(book: &Book) -> BTreeMap<NodeId, PeerRecord> {
    let record =
        |address: &String| PeerRecord { addresses: vec![address.clone()], ..PeerRecord::default() };
    book.iter().map(|(node, address)| (*node, record(address))).collect()
}

/// Keeps network and file, which says `kept`, as the meta group has them.
pub(super) async fn keep(
    peers: PeerNetwork,
    me: NodeId,
    data_dir: PathBuf,
    mut kept: Book,
    mut picture: watch::Receiver<MetaPicture>,
) {
    let mut version = None;
    loop {
        let meta = Arc::clone(&picture.borrow_and_update().meta);
        if version != Some(meta.version) && meta.is_founded() {
            version = Some(meta.version);
            tell(&peers, &meta, me);
            let book = book(&meta, me);
            if book != kept {
                let (dir, written) = (data_dir.clone(), book.clone());
                let result = tokio::task::spawn_blocking(move || write(&dir, &written)).await;
                match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => kept = book,
                    Err(error) => tracing::warn!(%error, "cannot keep the peers' addresses"),
                }
            }
        }
        if picture.changed().await.is_err() {
            return;
        }
    }
}

fn tell(peers: &PeerNetwork, meta: &Meta, me: NodeId) {
    let there = meta.members().filter(|(id, _)| *id != me.0);
    let records = there.map(|(id, node)| {
        let addresses = Some(node.profile.addresses.peers.clone()).filter(|at| !at.is_empty());
        let record = PeerRecord {
            addresses: addresses.into_iter().collect(),
            node_uuid: Some(Uuid(node.uuid)),
            starts: node.starts,
        };
        (NodeId(id), record)
    });
    peers.set_peers(records.collect());
    let removed = meta.nodes.iter().filter(|(_, node)| !node.is_member());
    peers.set_removed(removed.map(|(id, _)| NodeId(*id)).collect());
}

fn book(meta: &Meta, me: NodeId) -> Book {
    let at = |node: &Node| node.profile.addresses.peers.clone();
    let others = meta.members().filter(|(id, node)| *id != me.0 && !at(node).is_empty());
    others.map(|(id, node)| (NodeId(id), at(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_noise_is_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Book::new());
        let book = Book::from([(NodeId(2), "a.example:1".into()), (NodeId(9), "[::1]:2".into())]);
        write(dir.path(), &book).unwrap();
        assert_eq!(read(dir.path()), book);
        fs::write(dir.path().join(FILE), b"2 here:1\nnonsense\n\xff").unwrap();
        assert_eq!(read(dir.path()), Book::new());
        fs::write(dir.path().join(FILE), "2 here:1\nnonsense\n").unwrap();
        assert_eq!(read(dir.path()), Book::from([(NodeId(2), "here:1".into())]));
    }
}
