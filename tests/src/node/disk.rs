//! A small disk of a node's own, which a test can fill.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// The whole disk.
const DISK_MIB: usize = 96;

/// A small disk of its own, gone when dropped.
pub struct SmallDisk {
    place: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this process may not mount, which is said loudly.
    pub fn mount() -> Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let place = dir.path().join("disk");
        std::fs::create_dir(&place)?;
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "pollux-test"])
            .arg(&place)
            .output();
        match mount {
            Ok(output) if output.status.success() => Ok(Some(Self { place, _dir: dir })),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                ensure!(!rustix::process::geteuid().is_root() || why.contains("permission"), why);
                eprintln!("SKIPPED, NOTHING WAS TESTED: a small disk cannot be mounted: {why}");
                Ok(None)
            }
            Err(error) => {
                eprintln!("SKIPPED, NOTHING WAS TESTED: there is no mount program: {error}");
                Ok(None)
            }
        }
    }

    /// Fills the disk but for `leave` bytes.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(&self.place)?;
        let mut rest = (disk.f_bavail * disk.f_frsize).saturating_sub(leave);
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        let piece = vec![7; 64 * 1024];
        while rest > 0 {
            let bytes = piece.len().min(usize::try_from(rest)?);
            // What others took in between is as good as what is put in here.
            if ballast.write_all(&piece[..bytes]).is_err() {
                break;
            }
            rest -= bytes as u64;
        }
        Ok(())
    }

    /// Takes back what filled it.
    pub fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    /// Where it is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.place).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("the small disk at {} stays mounted", self.place.display());
        }
    }
}
