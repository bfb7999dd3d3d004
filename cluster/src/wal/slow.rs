//! A disk whose syncs take longer, as long as a file says so: for trials of what a slow disk does to a cluster.
//! Owns the waiting; leaves everything else to the real disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::io::{Disk, Io, IoFile};
use crate::limits::SLOWED_BY_MS_MAX;

/// The real file system, slowed down.
#[derive(Clone, Debug)]
pub struct SlowDisk {
    by: Arc<Path>,
}

impl SlowDisk {
    /// A disk on which each sync takes as many milliseconds longer as the file says then; none while there
    /// is no such file.
    #[must_use]
    pub fn new(by: &Path) -> Self {
        Self { by: by.into() }
    }

    fn slow(&self, file: Box<dyn IoFile>) -> Box<dyn IoFile> {
        Box::new(SlowFile { file, by: Arc::clone(&self.by) })
    }
}

struct SlowFile {
    file: Box<dyn IoFile>,
    by: Arc<Path>,
}

fn slowed_by(path: &Path) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Duration::from_millis(text.trim().parse().unwrap_or(0).min(SLOWED_BY_MS_MAX))
}

impl IoFile for SlowFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.file.read_all()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(slowed_by(&self.by));
        self.file.sync()
    }
}

impl Io for SlowDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Disk.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        Ok(self.slow(Disk.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        Ok(self.slow(Disk.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn give_up(&self, reason: &str) {
        Disk.give_up(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_how_slow_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let by = dir.path().join("slow");
        let check = |text: &str, expected: u64| {
            std::fs::write(&by, text).unwrap();
            assert_eq!(slowed_by(&by), Duration::from_millis(expected), "{text:?}");
        };
        assert_eq!(slowed_by(&by), Duration::ZERO, "there is no such file");
        check("200\n", 200);
        check("", 0);
        check("soon", 0);
        check("99999999", SLOWED_BY_MS_MAX);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SlowDisk::new(&dir.path().join("slow"));
        let file = disk.create(&dir.path().join("log")).unwrap();
        file.write_at(0, b"entry").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.open(&dir.path().join("log")).unwrap().read_all().unwrap(), b"entry");
        assert_eq!(disk.list(dir.path()).unwrap().len(), 1);
    }
}
