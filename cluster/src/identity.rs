//! Whose data directory this is. Owns the lock, the identity file and the start counter; the meta group
//! remembers the highest counter seen and refuses less, so that a directory that was emptied or set back
//! cannot come back under its old name.
//!
//! ```text
//! pollux identity 1
//! cluster = 5f0c…        32 hex digits
//! node uuid = 91aa…      32 hex digits
//! node = 1
//! lineage = 1
//! shards = 16
//! starts = 7
//! crc32c = 1a2b3c4d      of all lines before
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::fault::Fault;
use crate::ids::NodeId;

const FILE: &str = "identity";
const NEW_FILE: &str = "identity.new";
const LOCK_FILE: &str = "lock";
const TITLE: &str = "pollux identity 1";

/// A random 128-bit name: of a cluster, or of a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl Uuid {
    /// A new one from the system's randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn random() -> Result<Self, Fault> {
        let mut bytes = [0; 16];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|e| Fault::io("read /dev/urandom", e))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// How far the node of a directory has come in becoming a member of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It founds the cluster: its groups may still have to be made.
    Founding,
    /// It was admitted, and has not yet been told anything: its groups may still be empty.
    Joining,
    /// The cluster knows it started: from now on its groups must not be empty.
    Member,
}

impl Standing {
    const ALL: [Self; 3] = [Self::Founding, Self::Joining, Self::Member];

    const fn name(self) -> &'static str {
        match self {
            Self::Founding => "founding",
            Self::Joining => "joining",
            Self::Member => "member",
        }
    }
}

/// What a data directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: Uuid,
    /// This disk's own name; a node that lost its disk gets a new one.
    pub node_uuid: Uuid,
    /// The node's id in the cluster.
    pub node: NodeId,
    /// The cluster's lineage: raised by forced recovery and by restore.
    pub lineage: u64,
    /// Shards of the cluster, fixed when it was created.
    pub shards: u32,
    /// Starts on this directory, this one included.
    pub starts: u64,
    /// How far the node has come.
    pub standing: Standing,
}

impl Identity {
    fn encode(&self) -> String {
        let lines = format!(
            "{TITLE}\ncluster = {}\nnode uuid = {}\nnode = {}\nlineage = {}\nshards = {}\n\
             starts = {}\nstanding = {}\n",
            self.cluster,
            self.node_uuid,
            self.node,
            self.lineage,
            self.shards,
            self.starts,
            self.standing.name()
        );
        format!("{lines}crc32c = {:08x}\n", crc32c::crc32c(lines.as_bytes()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let at = text.rfind("crc32c = ").ok_or("the last line should be its checksum")?;
        let (body, last) = text.split_at(at);
        if last != format!("crc32c = {:08x}\n", crc32c::crc32c(body.as_bytes())) {
            return Err("the checksum does not match".into());
        }
        let mut lines = body.lines();
        if lines.next() != Some(TITLE) {
            return Err(format!("the first line should be '{TITLE}'"));
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.strip_prefix(" = "));
            value.ok_or_else(|| format!("a line '{name} = …' is missing"))
        };
        let hex = |text: &str| u128::from_str_radix(text, 16).map(Uuid).map_err(|e| e.to_string());
        let number = |text: &str| text.parse::<u64>().map_err(|e| e.to_string());
        Ok(Self {
            cluster: hex(field("cluster")?)?,
            node_uuid: hex(field("node uuid")?)?,
            node: NodeId(number(field("node")?)?),
            lineage: number(field("lineage")?)?,
            shards: field("shards")?.parse().map_err(|_| "shards should be a number")?,
            starts: number(field("starts")?)?,
            standing: match field("standing") {
                // Directories of before there were several nodes do not say it.
                Err(_) => Standing::Member,
                Ok(name) => *Standing::ALL
                    .iter()
                    .find(|standing| standing.name() == name)
                    .ok_or_else(|| format!("'standing = {name}' is not known"))?,
            },
        })
    }

    /// Reads whose a directory is, without taking it; none while it is new, or not there.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the identity is damaged, otherwise the disk.
    pub fn read(dir: &Path) -> Result<Option<Self>, Fault> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Fault::io(format!("read {}", path.display()), e)),
        };
        let file = path.display().to_string();
        Self::parse(&text).map(Some).map_err(|reason| Fault::Corrupt { file, offset: 0, reason })
    }
}

/// A node's data directory, held by this process alone until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Option<Identity>,
    /// The advisory lock lives as long as this open file.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for this process, making it if need be, and reads whose it is.
    ///
    /// # Errors
    /// [`Fault::Directory`] when another process holds it, [`Fault::Corrupt`] when the identity is
    /// damaged, otherwise the disk.
    pub fn lock(path: impl Into<PathBuf>) -> Result<Self, Fault> {
        let path = path.into();
        let doing = |what: &str| format!("{what} data directory {}", path.display());
        fs::create_dir_all(&path).map_err(|e| Fault::io(doing("make"), e))?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(path.join(LOCK_FILE));
        let lock = lock.map_err(|e| Fault::io(doing("lock"), e))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => Fault::Directory(format!(
                "data directory {} is in use by another process",
                path.display()
            )),
            other => Fault::io(doing("lock"), other.into()),
        })?;
        let identity = Identity::read(&path)?;
        Ok(Self { path, identity, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose directory it is; none while it is new.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Gives a new directory its identity, durably. It may hold only what was `prepared` for it.
    ///
    /// # Errors
    /// [`Fault::Directory`] when it has one, or when it holds anything else: data without an identity
    /// is not to be adopted.
    pub fn found(&mut self, identity: Identity, prepared: &[&str]) -> Result<(), Fault> {
        self.holds_only(prepared)?;
        self.write(identity)
    }

    /// Whether a directory without an identity holds nothing but what was `prepared` for it.
    ///
    /// # Errors
    /// [`Fault::Directory`] when it holds anything else, or has an identity.
    pub fn holds_only(&self, prepared: &[&str]) -> Result<(), Fault> {
        let listed = fs::read_dir(&self.path).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let listed = listed.map_err(|e| self.io("read", e))?;
        let ours = |name: &&std::ffi::OsString| {
            [LOCK_FILE, NEW_FILE].iter().chain(prepared).any(|known| name.as_os_str() == *known)
        };
        let stray = listed.iter().find(|name| !ours(name));
        match stray {
            None => Ok(()),
            Some(stray) => Err(Fault::Directory(format!(
                "data directory {} holds {} but no identity of its own: should be empty",
                self.path.display(),
                stray.display()
            ))),
        }
    }

    /// Counts this start, durably, and gives the new count. To be called once per process, before
    /// anything of the cluster is promised.
    ///
    /// # Errors
    /// [`Fault::Directory`] when the directory has no identity, or belongs to another cluster or
    /// has another number of shards than is expected.
    pub fn start(&mut self, cluster: Option<Uuid>, shards: Option<u32>) -> Result<u64, Fault> {
        let path = self.path.display();
        let Some(mut identity) = self.identity.clone() else {
            return Err(Fault::Directory(format!("data directory {path} has no identity")));
        };
        if let Some(cluster) = cluster.filter(|cluster| *cluster != identity.cluster) {
            return Err(Fault::Directory(format!(
                "data directory {path} belongs to cluster {}, not to {cluster}",
                identity.cluster
            )));
        }
        if let Some(shards) = shards.filter(|shards| *shards != identity.shards) {
            return Err(Fault::Directory(format!(
                "data directory {path} has {} shards, not {shards}: their number is fixed when a \
                 cluster is created",
                identity.shards
            )));
        }
        identity.starts += 1;
        let starts = identity.starts;
        self.write(identity)?;
        Ok(starts)
    }

    /// Notes, durably, that the node is a member: from now on an empty log is a lost one.
    ///
    /// # Errors
    /// [`Fault::Directory`] when the directory has no identity, otherwise the disk.
    pub fn become_member(&mut self) -> Result<(), Fault> {
        match self.identity.clone() {
            Some(identity) if identity.standing == Standing::Member => Ok(()),
            Some(identity) => self.write(Identity { standing: Standing::Member, ..identity }),
            None => Err(Fault::Directory(format!(
                "data directory {} has no identity",
                self.path.display()
            ))),
        }
    }

    fn write(&mut self, identity: Identity) -> Result<(), Fault> {
        let (new, path) = (self.path.join(NEW_FILE), self.path.join(FILE));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(identity.encode().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        });
        written.map_err(|e| self.io("write the identity of", e))?;
        self.identity = Some(identity);
        Ok(())
    }

    fn io(&self, what: &str, source: io::Error) -> Fault {
        Fault::io(format!("{what} data directory {}", self.path.display()), source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let (cluster, node_uuid) = (Uuid::random().unwrap(), Uuid::random().unwrap());
        let standing = Standing::Founding;
        Identity {
            cluster,
            node_uuid,
            node: NodeId(1),
            lineage: 1,
            shards: 16,
            starts: 0,
            standing,
        }
    }

    #[test]
    fn text_comes_back_and_every_flip_is_refused() {
        let id = identity();
        let text = id.encode();
        assert_eq!(Identity::parse(&text), Ok(id));
        for at in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= 1;
            Identity::parse(&String::from_utf8(bad).unwrap()).unwrap_err();
        }
    }

    #[test]
    fn a_directory_counts_its_starts_and_knows_its_own() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let id = identity();
        let mut held = DataDir::lock(&dir).unwrap();
        assert!(matches!(held.start(None, None), Err(Fault::Directory(_))));
        held.found(id.clone(), &[]).unwrap();
        assert!(matches!(held.found(identity(), &[]), Err(Fault::Directory(_))));
        assert_eq!(held.start(Some(id.cluster), Some(16)).unwrap(), 1);
        let busy = DataDir::lock(&dir).unwrap_err().to_string();
        assert!(busy.contains("in use by another process"), "{busy}");
        drop(held);
        let mut held = DataDir::lock(&dir).unwrap();
        assert!(held.start(Some(Uuid(1)), None).unwrap_err().to_string().contains("belongs to"));
        assert!(held.start(None, Some(64)).unwrap_err().to_string().contains("not 64"));
        assert_eq!(held.start(Some(id.cluster), None).unwrap(), 2);
        assert_eq!(held.identity(), Some(&Identity { starts: 2, ..id }));
    }

    #[test]
    fn a_node_becomes_a_member_once_and_older_directories_are_members() {
        let temp = tempfile::tempdir().unwrap();
        let mut held = DataDir::lock(temp.path().join("data")).unwrap();
        assert!(matches!(held.become_member(), Err(Fault::Directory(_))));
        held.found(identity(), &[]).unwrap();
        held.become_member().unwrap();
        held.become_member().unwrap();
        assert_eq!(held.identity().unwrap().standing, Standing::Member);
        let text = identity().encode();
        let body = text[..text.find("standing").unwrap()].to_owned();
        let older = format!("{body}crc32c = {:08x}\n", crc32c::crc32c(body.as_bytes()));
        assert_eq!(Identity::parse(&older).unwrap().standing, Standing::Member);
    }

    #[test]
    fn data_without_an_identity_is_not_adopted() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("something"), "x").unwrap();
        let mut held = DataDir::lock(temp.path()).unwrap();
        let refused = held.found(identity(), &[]).unwrap_err().to_string();
        assert!(refused.contains("something"), "{refused}");
    }
}
