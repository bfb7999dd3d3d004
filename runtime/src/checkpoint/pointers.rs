//! Which tree holds a group's checkpoint: the trees of a group are numbered (`shard-1.0`, `shard-1.1`),
//! and one record names the current one, so that a whole state takes another's place by one write
//! (safety rule 21). Leaves what is in a tree to `store`.
//!
//! What a crash left behind is removed at the next start: a tree that was being filled, or one whose
//! place was taken. A group that leaves this node is marked first and forgotten last, so that what is
//! half gone is never taken for a group that is new.

use super::store::{Store, StoreFault, Tree};

/// The tree of the records.
const POINTERS: &str = "pointers";
/// The record of a group that is leaving.
const LEAVING: &[u8] = b"leaving";

/// What a group's record says.
enum Pointer {
    Unknown,
    Leaving,
    Current(String),
}

impl Store {
    /// The tree that holds the checkpoint of `group`.
    pub(crate) fn tree(&self, group: &str) -> Result<Tree, StoreFault> {
        let name = match self.pointer(group)? {
            Pointer::Current(name) => name,
            Pointer::Leaving => return Err(leaving(group)),
            Pointer::Unknown => {
                let name = format!("{group}.0");
                self.point(group, name.as_bytes())?;
                name
            }
        };
        self.open_tree(name)
    }

    /// The same, if there is one: nothing is made.
    pub(crate) fn existing(&self, group: &str) -> Result<Option<Tree>, StoreFault> {
        match self.pointer(group)? {
            Pointer::Current(name) => self.open_tree(name).map(Some),
            Pointer::Unknown | Pointer::Leaving => Ok(None),
        }
    }

    /// An empty tree that may become the current one.
    pub(crate) fn fresh(&self, group: &str) -> Result<Tree, StoreFault> {
        let current = self.tree(group)?.name;
        let number = split(&current).map_or(0, |(_, number)| number);
        let name = format!("{group}.{}", number + 1);
        self.db.drop_tree(&name).map_err(|source| self.fault(source))?;
        self.open_tree(name)
    }

    /// Makes a filled tree the current one, durably: all of it, or nothing. Gives the one before.
    pub(crate) fn flip(&self, group: &str, fresh: &Tree) -> Result<Tree, StoreFault> {
        let old = self.tree(group)?;
        // What the record will name must be on the disk before the record can be.
        self.sync()?;
        self.point(group, fresh.name.as_bytes())?;
        if let Err(fault) = self.sync() {
            // Whatever is on the disk is whole; here the old one goes on.
            self.point(group, old.name.as_bytes())?;
            return Err(fault);
        }
        Ok(old)
    }

    /// Removes a tree that is not the current one.
    pub(crate) fn discard(&self, tree: Tree) -> Result<(), StoreFault> {
        let Tree { tree, name, .. } = tree;
        drop(tree);
        self.db.drop_tree(name).map_err(|source| self.fault(source)).map(|_| ())
    }

    /// The group leaves this node: durably, its checkpoint no longer counts. To be ended with
    /// [`Store::forget`], at the latest after the next start; see [`Store::leaving`].
    pub(crate) fn leave(&self, group: &str) -> Result<(), StoreFault> {
        self.point(group, LEAVING)?;
        self.sync()
    }

    /// The group left, with all it had elsewhere: from now on it is as if it had never been here.
    pub(crate) fn forget(&self, group: &str) -> Result<(), StoreFault> {
        self.remove_trees(group, None)?;
        self.sync()?;
        self.pointers()?.remove(group).map_err(|source| self.fault(source))?;
        self.sync()
    }

    /// Groups that began to leave and were not forgotten.
    pub(crate) fn leaving(&self) -> Result<Vec<String>, StoreFault> {
        let mut groups = self.groups()?;
        groups.retain(|(_, record)| record == LEAVING);
        Ok(groups.into_iter().map(|(group, _)| group).collect())
    }

    /// Removes what a crash left: trees that are not current.
    pub(super) fn sweep(&self) -> Result<(), StoreFault> {
        for (group, record) in self.groups()? {
            match parse(&group, &record)? {
                Pointer::Current(name) => self.remove_trees(&group, Some(&name))?,
                _ => self.remove_trees(&group, None)?,
            }
        }
        for (group, number) in self.trees() {
            // The record is written before its tree, and both are durable before anything counts.
            let tree = self.open_tree(format!("{group}.{number}"))?;
            if matches!(self.pointer(&group)?, Pointer::Unknown) && tree.header()?.is_some() {
                return Err(damaged(&group, "it is missing, yet there is a checkpoint"));
            }
        }
        Ok(())
    }

    fn remove_trees(&self, group: &str, but: Option<&str>) -> Result<(), StoreFault> {
        for (other, number) in self.trees() {
            let name = format!("{other}.{number}");
            if other == group && Some(name.as_str()) != but {
                self.db.drop_tree(&name).map_err(|source| self.fault(source))?;
                tracing::info!(tree = name, "removed a tree that is no longer current");
            }
        }
        Ok(())
    }

    /// All groups' trees, by group and number.
    fn trees(&self) -> Vec<(String, u64)> {
        let names = self.db.tree_names();
        names.iter().filter_map(|name| split(std::str::from_utf8(name).ok()?)).collect()
    }

    fn groups(&self) -> Result<Vec<(String, sled::IVec)>, StoreFault> {
        let records = self.pointers()?.iter().map(|record| {
            let (group, record) = record.map_err(|source| self.fault(source))?;
            Ok((String::from_utf8_lossy(&group).into_owned(), record))
        });
        records.collect()
    }

    fn pointer(&self, group: &str) -> Result<Pointer, StoreFault> {
        let record = self.pointers()?.get(group).map_err(|source| self.fault(source))?;
        record.map_or(Ok(Pointer::Unknown), |record| parse(group, &record))
    }

    fn point(&self, group: &str, record: &[u8]) -> Result<(), StoreFault> {
        self.pointers()?.insert(group, record).map_err(|source| self.fault(source)).map(|_| ())
    }

    fn pointers(&self) -> Result<sled::Tree, StoreFault> {
        self.db.open_tree(POINTERS).map_err(|source| self.fault(source))
    }

    fn open_tree(&self, name: String) -> Result<Tree, StoreFault> {
        let tree = self.db.open_tree(&name).map_err(|source| self.fault(source))?;
        Ok(Tree { tree, name, store: self.clone() })
    }
}

fn parse(group: &str, record: &[u8]) -> Result<Pointer, StoreFault> {
    if record == LEAVING {
        return Ok(Pointer::Leaving);
    }
    let name = String::from_utf8_lossy(record).into_owned();
    match split(&name) {
        Some((named, _)) if named == group => Ok(Pointer::Current(name)),
        _ => Err(damaged(group, &format!("{name} is no tree of it"))),
    }
}

/// The group and the number in a tree's name; `None` for a tree of another kind.
fn split(name: &str) -> Option<(String, u64)> {
    let (group, number) = name.rsplit_once('.')?;
    Some((group.to_owned(), number.parse().ok()?))
}

fn damaged(group: &str, problem: &str) -> StoreFault {
    StoreFault::Pointer { group: group.into(), problem: problem.into() }
}

fn leaving(group: &str) -> StoreFault {
    damaged(group, "the group is leaving this node; it can come back when it is gone")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(dir: &Path) -> Store {
        Store::open(dir, 1 << 20).unwrap()
    }

    fn write(tree: &Tree, header: &str, keys: &[&str]) {
        let values = keys.iter().map(|key| (*key, Some(*key)));
        tree.write(header.as_bytes(), values).unwrap();
    }

    fn check(store: &Store, group: &str, expected: Option<(&str, &[&str])>) {
        let tree = store.tree(group).unwrap();
        let header = tree.header().unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        let keys: Vec<_> = tree.values().map(|value| value.unwrap().0).collect();
        let (header_expected, keys_expected) = expected.unzip();
        assert_eq!(header.as_deref(), header_expected);
        assert_eq!(keys, keys_expected.unwrap_or_default());
    }

    #[test]
    fn a_filled_tree_takes_the_place_of_the_current_one() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = open(dir.path());
            write(&store.tree("shard-1").unwrap(), "old", &["a/x", "a/y"]);
            write(&store.tree("shard-11").unwrap(), "other", &["b/x"]);
            for (round, header) in ["new", "newer"].into_iter().enumerate() {
                let fresh = store.fresh("shard-1").unwrap();
                fresh.fill([("a/z", b"1".as_slice())].into_iter()).unwrap();
                write(&fresh, header, &["a/w"]);
                let old = store.flip("shard-1", &fresh).unwrap();
                assert_eq!(old.name, format!("shard-1.{round}"));
                store.discard(old).unwrap();
                check(&store, "shard-1", Some((header, &["a/w", "a/z"])));
            }
        }
        let store = open(dir.path());
        check(&store, "shard-1", Some(("newer", &["a/w", "a/z"])));
        check(&store, "shard-11", Some(("other", &["b/x"])));
        assert_eq!(store.trees().len(), 2);
    }

    #[test]
    fn what_a_crash_leaves_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let names = |store: &Store| {
            let mut names = store.trees();
            names.sort();
            names
        };
        {
            // Filled, and never made current.
            let store = open(dir.path());
            write(&store.tree("shard-1").unwrap(), "old", &["a/x"]);
            write(&store.fresh("shard-1").unwrap(), "new", &["a/y"]);
            store.sync().unwrap();
        }
        {
            // Made current, and the one before not removed.
            let store = open(dir.path());
            assert_eq!(names(&store), [("shard-1".to_owned(), 0)]);
            check(&store, "shard-1", Some(("old", &["a/x"])));
            let fresh = store.fresh("shard-1").unwrap();
            write(&fresh, "new", &["a/y"]);
            store.flip("shard-1", &fresh).unwrap();
        }
        {
            let store = open(dir.path());
            assert_eq!(names(&store), [("shard-1".to_owned(), 1)]);
            check(&store, "shard-1", Some(("new", &["a/y"])));
            store.leave("shard-1").unwrap();
        }
        {
            // Left, and not forgotten.
            let store = open(dir.path());
            assert_eq!(names(&store), []);
            assert_eq!(store.leaving().unwrap(), ["shard-1"]);
            let text = store.tree("shard-1").unwrap_err().to_string();
            assert!(text.contains("shard-1") && text.contains("leaving"), "{text}");
            store.fresh("shard-1").unwrap_err();
            store.forget("shard-1").unwrap();
            assert!(store.leaving().unwrap().is_empty());
        }
        check(&open(dir.path()), "shard-1", None);
    }

    #[test]
    fn a_damaged_pointer_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = open(dir.path());
            write(&store.tree("shard-1").unwrap(), "old", &["a/x"]);
            for record in ["", "shard-1", "shard-1.x", "shard-2.0"] {
                store.point("shard-1", record.as_bytes()).unwrap();
                let text = store.tree("shard-1").unwrap_err().to_string();
                assert!(text.contains("shard-1") && text.contains("pointer"), "{text}");
            }
            store.pointers().unwrap().remove("shard-1").unwrap();
            store.sync().unwrap();
        }
        let text = Store::open(dir.path(), 1 << 20).unwrap_err().to_string();
        assert!(text.contains("missing"), "{text}");
    }
}
