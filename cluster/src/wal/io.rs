//! The disk as the log sees it. Owns the `Io` trait and its real form; the simulated disk is in
//! `sim`. Leaves all meaning of names and bytes to others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file of the log, open for reading and writing.
pub trait IoFile: Send {
    /// The whole content.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read_all(&self) -> io::Result<Vec<u8>>;
    /// Writes all of `bytes` at `offset`, growing the file where needed.
    ///
    /// # Errors
    /// When not all could be written, a full disk among other reasons.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written before durable.
    ///
    /// # Errors
    /// After an error nothing is known about what is durable; it must not be tried again.
    fn sync(&self) -> io::Result<()>;
}

/// A file system, as far as the log needs one.
pub trait Io: Send + Sync + 'static {
    /// The paths of all files in a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens an existing file.
    ///
    /// # Errors
    /// When it does not exist or must not be opened.
    fn open(&self, path: &Path) -> io::Result<Box<dyn IoFile>>;
    /// Makes an empty file, in place of one that is there.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>>;
    /// Renames a file, replacing one of the new name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the directory's names durable.
    ///
    /// # Errors
    /// When they may not be.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Called when a sync failed: from here on no promise can be kept, so the real disk ends the
    /// process. A simulated one notes it, and the log stops for good.
    fn give_up(&self, reason: &str);
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

struct DiskFile(File);

impl IoFile for DiskFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.0.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Io for Disk {
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::create_dir_all(dir)?;
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(DiskFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn give_up(&self, reason: &str) {
        tracing::error!(reason, "the log cannot keep its promises any longer: ending the process");
        std::process::abort();
    }
}
