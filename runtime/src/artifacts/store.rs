//! The folder of artifacts: which files are in it, by their SHA-256, and for how long one that nobody names stays.
//! A file has its name once all of its bytes are on the disk; until then it is `….part`, or `upload-….tmp` while
//! nobody knows its digest. Names of artifacts are never names of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pollux_proto::hex::{from_hex, hex};

use super::Digest;

/// See the module. Its functions block for as long as the disk does.
pub(super) struct Store {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The files that are whole, with their sizes.
    whole: BTreeMap<Digest, u64>,
    /// Those that were there at the start, and were not read again since.
    unread: BTreeSet<Digest>,
    /// Since when, by elapsed time, nobody names a file or has asked for it.
    unnamed: BTreeMap<Digest, Duration>,
}

impl Store {
    /// Opens the folder, and makes it where it is not there.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut state = State::default();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".tmp") {
                // An upload that ended with the process.
                fs::remove_file(entry.path())?;
            } else if let Some(digest) = from_hex(name) {
                state.whole.insert(digest, entry.metadata()?.len());
                state.unread.insert(digest);
            }
        }
        Ok(Self { dir: dir.to_owned(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all bytes are here; if so they stay for a while.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> bool {
        let mut state = self.lock();
        let here = state.whole.get(digest) == Some(&size);
        if here {
            state.unnamed.remove(digest);
        }
        here
    }

    /// Where the bytes are.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(hex(digest))
    }

    /// Where they come together.
    pub(super) fn part(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.part", hex(digest)))
    }

    /// Where they come together while nobody knows their digest.
    pub(super) fn upload(&self) -> PathBuf {
        self.dir.join(format!("upload-{:032x}.tmp", rand::random::<u128>()))
    }

    /// Gives a file whose bytes are on the disk its name.
    pub(super) fn keep(&self, from: &Path, digest: &Digest, size: u64) -> io::Result<()> {
        // It was unnamed for long, perhaps; from here on it is not swept away before somebody names it.
        self.lock().unnamed.remove(digest);
        fs::rename(from, self.path(digest))?;
        File::open(&self.dir)?.sync_all()?;
        let mut state = self.lock();
        state.whole.insert(*digest, size);
        state.unread.remove(digest);
        state.unnamed.remove(digest);
        Ok(())
    }

    /// Forgets a file that turned out not to be what it should be.
    pub(super) fn forget(&self, digest: &Digest) {
        let mut state = self.lock();
        state.whole.remove(digest);
        state.unread.remove(digest);
    }

    /// A file that was there at the start and is to be read once, whether it still is what it was; and how many are.
    pub(super) fn next_unread(&self) -> (Option<Digest>, usize) {
        let mut state = self.lock();
        let next = state.unread.pop_first();
        (next, state.unread.len())
    }

    /// Removes what nobody has named for so long; the number of files.
    pub(super) fn sweep(
        &self,
        named: &BTreeSet<Digest>,
        now: Duration,
        kept: Duration,
    ) -> io::Result<usize> {
        let parts = self.parts()?;
        let mut state = self.lock();
        let here: BTreeSet<_> = state.whole.keys().chain(&parts).copied().collect();
        state.unnamed.retain(|digest, _| here.contains(digest) && !named.contains(digest));
        let mut removed = 0;
        for digest in here.difference(named) {
            let since = *state.unnamed.entry(*digest).or_insert(now);
            if now.saturating_sub(since) < kept {
                continue;
            }
            // Under the lock: who asks whether it is here hears either that it stays, or that it is gone.
            state.whole.remove(digest);
            state.unread.remove(digest);
            state.unnamed.remove(digest);
            for path in [self.path(digest), self.part(digest)] {
                match fs::remove_file(path) {
                    Ok(()) => removed += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(removed)
    }

    fn parts(&self) -> io::Result<Vec<Digest>> {
        let mut parts = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let digest = name.to_str().and_then(|name| from_hex(name.strip_suffix(".part")?));
            parts.extend(digest);
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn file(store: &Store, digest: Digest, bytes: &[u8]) {
        let path = store.upload();
        fs::write(&path, bytes).unwrap();
        store.keep(&path, &digest, bytes.len() as u64).unwrap();
    }

    #[test]
    fn what_is_whole_is_found_again_and_what_was_begun_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        file(&store, [1; 32], b"abc");
        fs::write(store.upload(), b"half").unwrap();
        fs::write(store.part(&[2; 32]), b"half").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.has(&[1; 32], 3));
        assert!(!store.has(&[1; 32], 4), "another size is not it");
        assert!(!store.has(&[2; 32], 4), "a part is not it");
        assert!(store.part(&[2; 32]).exists(), "a part is gone on with");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(store.next_unread(), (Some([1; 32]), 0), "it may have changed meanwhile");
        assert_eq!(store.next_unread(), (None, 0));
    }

    #[test]
    fn what_nobody_names_goes_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        file(&store, [1; 32], b"abc");
        file(&store, [2; 32], b"abc");
        fs::write(store.part(&[3; 32]), b"half").unwrap();
        let named = BTreeSet::from([[1; 32]]);
        let sweep = |now: Duration| store.sweep(&named, now, HOUR).unwrap();
        assert_eq!(sweep(HOUR), 0, "since now");
        assert_eq!(sweep(HOUR * 2 - Duration::from_millis(1)), 0);
        // Somebody asks for it: its time begins anew.
        assert!(store.has(&[2; 32], 3));
        assert_eq!(sweep(HOUR * 2), 1, "the part");
        assert_eq!(sweep(HOUR * 3), 1, "and the file");
        assert!(!store.has(&[2; 32], 3) && store.has(&[1; 32], 3));
        assert_eq!(store.sweep(&BTreeSet::new(), HOUR * 3, HOUR).unwrap(), 0);
        assert_eq!(store.sweep(&named, HOUR * 9, HOUR).unwrap(), 0, "named again in time");
        assert_eq!(store.sweep(&BTreeSet::new(), HOUR * 9, HOUR).unwrap(), 0);
        assert_eq!(store.sweep(&BTreeSet::new(), HOUR * 10, HOUR).unwrap(), 1);
    }
}
