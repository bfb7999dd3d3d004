//! Checkpoints on disk, in sled: one tree per group, values by key and one header, written in one
//! atomic batch. What the bytes mean is the caller's; that they come back unharmed, or are refused
//! with tree and key, is this file's business (safety rules 21 and 22). Which tree is a group's
//! current one is `pointers`' business.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use thiserror::Error;

use crate::limits::{STORE_LOCK_LOOK, STORE_LOCK_TRIES};

/// Key of the header in each tree; twins' keys start with `t`.
const HEADER: &[u8] = b"header";
/// First byte of a value's key.
const VALUE_PREFIX: u8 = b't';
/// A header's format: 1 byte, then 4 of CRC-32C, then the caller's bytes.
const FORMAT: u8 = 1;

/// Why checkpoints cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreFault {
    /// sled refuses.
    #[error("use checkpoint store {path}: {source}")]
    Sled {
        /// Where it lies.
        path: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
    /// The operating system refuses.
    #[error("make checkpoint durable in {path}: {source}")]
    Io {
        /// Where it lies.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A header is not what was written.
    #[error(
        "read checkpoint: header of tree {tree} is damaged ({problem}); restore this node's data \
         directory from a backup, or replace the node"
    )]
    Header {
        /// Which tree.
        tree: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value is not what was written.
    #[error(
        "read checkpoint: tree {tree}, key {key} is damaged ({problem}); restore this node's data \
         directory from a backup, or replace the node"
    )]
    Value {
        /// Which tree.
        tree: String,
        /// Which key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk has too little room.
    #[error(
        "write checkpoint: {free} bytes are free on the disk, and it needs {needed}; make room"
    )]
    NoRoom {
        /// Bytes that are free.
        free: u64,
        /// Bytes that should be.
        needed: u64,
    },
    /// The record that names a group's tree is not what was written.
    #[error(
        "find checkpoint of {group}: its pointer is damaged ({problem}); restore this node's data \
         directory from a backup, or replace the node"
    )]
    Pointer {
        /// Which group.
        group: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// All checkpoints of a node.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(super) db: sled::Db,
    path: PathBuf,
}

impl Store {
    /// Opens the database in `path`, making it if there is none.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreFault> {
        let sled_fault = |source| StoreFault::Sled { path: path.into(), source };
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            // Flushing is ours to time: a checkpoint counts only after `sync`.
            .flush_every_ms(None);
        let db = open_unlocked(&config).map_err(sled_fault)?;
        let store = Self { db, path: path.into() };
        store.sweep()?;
        Ok(store)
    }

    /// Makes all that was written durable: sled's own flush does not reach the disk, so the files
    /// are synced after it.
    pub(crate) fn sync(&self) -> Result<(), StoreFault> {
        self.db.flush().map_err(|source| self.fault(source))?;
        let io_fault = |source| StoreFault::Io { path: self.path.clone(), source };
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_data());
        sync(&self.path.join("db")).map_err(io_fault)?;
        let blobs = self.path.join("blobs");
        if blobs.is_dir() {
            for blob in std::fs::read_dir(&blobs).map_err(io_fault)? {
                match sync(&blob.map_err(io_fault)?.path()) {
                    // sled's own collector may remove a blob between listing and opening.
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    other => other.map_err(io_fault)?,
                }
            }
            File::open(&blobs).and_then(|dir| dir.sync_all()).map_err(io_fault)?;
        }
        Ok(())
    }

    pub(super) fn fault(&self, source: sled::Error) -> StoreFault {
        StoreFault::Sled { path: self.path.clone(), source }
    }
}

/// The checkpoint of one group.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(super) tree: sled::Tree,
    pub(super) name: String,
    pub(super) store: Store,
}

impl Tree {
    /// The header of the newest checkpoint, if there is one.
    pub(crate) fn header(&self) -> Result<Option<Vec<u8>>, StoreFault> {
        let Some(record) = self.tree.get(HEADER).map_err(|source| self.store.fault(source))? else {
            if self.tree.iter().next().is_some() {
                return Err(self.bad_header("there are values but no header"));
            }
            return Ok(None);
        };
        match record.split_first() {
            Some((&FORMAT, rest)) if rest.len() >= 4 => {
                let (sum, body) = rest.split_at(4);
                if crc32c::crc32c(body).to_le_bytes() != sum {
                    return Err(self.bad_header("checksum differs"));
                }
                Ok(Some(body.to_vec()))
            }
            Some((&FORMAT, _)) => Err(self.bad_header("cut short")),
            Some((format, _)) => Err(self
                .bad_header(&format!("format {format}, but this version knows format {FORMAT}"))),
            None => Err(self.bad_header("empty")),
        }
    }

    /// All values, in key order. The values carry their own checksums.
    pub(crate) fn values(
        &self,
    ) -> impl Iterator<Item = Result<(String, sled::IVec), StoreFault>> + '_ {
        self.tree.scan_prefix([VALUE_PREFIX]).map(move |pair| {
            let (key, value) = pair.map_err(|source| self.store.fault(source))?;
            let key = String::from_utf8(key[1..].to_vec())
                .map_err(|_| self.bad_value("(not text)", "its key is not text"))?;
            Ok((key, value))
        })
    }

    /// Puts values into a tree that is not yet current. Nothing of them counts before a header does.
    pub(crate) fn fill<'a>(
        &self,
        values: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), StoreFault> {
        let mut key_bytes = vec![VALUE_PREFIX];
        for (key, value) in values {
            key_bytes.truncate(1);
            key_bytes.extend_from_slice(key.as_bytes());
            self.tree.insert(&key_bytes, value).map_err(|source| self.store.fault(source))?;
        }
        Ok(())
    }

    /// Replaces the header, and puts (`Some`) or removes (`None`) values, all or nothing. Durable
    /// after the next [`Store::sync`].
    pub(crate) fn write<'a, V: AsRef<[u8]> + 'a>(
        &self,
        header: &[u8],
        values: impl Iterator<Item = (&'a str, Option<V>)>,
    ) -> Result<(), StoreFault> {
        let mut batch = sled::Batch::default();
        let mut key_bytes = vec![VALUE_PREFIX];
        for (key, value) in values {
            key_bytes.truncate(1);
            key_bytes.extend_from_slice(key.as_bytes());
            match value {
                Some(value) => batch.insert(key_bytes.as_slice(), value.as_ref()),
                None => batch.remove(key_bytes.as_slice()),
            }
        }
        let mut record = vec![FORMAT];
        record.extend_from_slice(&crc32c::crc32c(header).to_le_bytes());
        record.extend_from_slice(header);
        batch.insert(HEADER, record);
        self.tree.apply_batch(batch).map_err(|source| self.store.fault(source))
    }

    /// The fault for a header that does not fit what was read.
    pub(crate) fn bad_header(&self, problem: &str) -> StoreFault {
        StoreFault::Header { tree: self.name.clone(), problem: problem.into() }
    }

    /// The fault for a value that is not what was written.
    pub(crate) fn bad_value(&self, key: &str, problem: &str) -> StoreFault {
        StoreFault::Value { tree: self.name.clone(), key: key.into(), problem: problem.into() }
    }
}

/// Opens a store that may have been closed just now: its lock is let go of a moment later. Who else could have it is
/// kept out by the lock of the data directory.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let is_locked = |error: &io::Error| error.to_string().contains("could not acquire lock");
    for _ in 1..STORE_LOCK_TRIES {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) => sleep(STORE_LOCK_LOOK),
            opened => return opened,
        }
    }
    config.open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = Store::open(dir.path(), 1 << 20).unwrap();
            let tree = store.tree("shard-1").unwrap();
            assert!(tree.header().unwrap().is_none());
            tree.write(b"h1", [("a/x", Some(b"1")), ("a/y", Some(b"2"))].into_iter()).unwrap();
            tree.write(b"h2", [("a/x", None), ("a/z", Some(b"3"))].into_iter()).unwrap();
            store.sync().unwrap();
        }
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let tree = store.tree("shard-1").unwrap();
        assert_eq!(tree.header().unwrap().unwrap(), b"h2");
        let keys: Vec<_> = tree.values().map(|value| value.unwrap().0).collect();
        assert_eq!(keys, ["a/y", "a/z"]);
        assert_eq!(store.tree("shard-2").unwrap().values().count(), 0);
    }

    #[test]
    fn a_store_that_is_let_go_of_a_moment_later_opens() {
        let dir = tempfile::tempdir().unwrap();
        let held = Store::open(dir.path(), 1 << 20).unwrap();
        let holding = std::thread::spawn(move || {
            sleep(5 * STORE_LOCK_LOOK);
            drop(held);
        });
        Store::open(dir.path(), 1 << 20).unwrap();
        holding.join().unwrap();
    }

    #[test]
    fn a_damaged_or_missing_header_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let tree = store.tree("shard-1").unwrap();
        tree.write(b"header bytes", [("a/x", Some(b"1"))].into_iter()).unwrap();
        let mut record = tree.tree.get(HEADER).unwrap().unwrap().to_vec();
        *record.last_mut().unwrap() ^= 1;
        tree.tree.insert(HEADER, record).unwrap();
        let text = tree.header().unwrap_err().to_string();
        assert!(text.contains("shard-1.0") && text.contains("checksum"), "{text}");
        tree.tree.remove(HEADER).unwrap();
        assert!(tree.header().unwrap_err().to_string().contains("no header"));
    }
}
