//! Puts the next life of directories in the place of the old one, so that a crash at any moment leaves
//! either all of them in the old life, or enough to end what was begun.
//!
//! Each next life is written whole in a folder of its directory first. Then a list of all directories is
//! put beside each; the first list says that everything is written. From then on each directory gives up
//! its identity, moves what it had into a folder, takes in the new parts, and the new identity last: in
//! between it has none, and no node starts from it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pollux_cluster::DataDir;

use super::recover::{LineageFault, shown};
use super::seed::PARTS;
use crate::cluster::PEERS_FILE;

/// The folder of a directory in which its next life is written.
pub(super) const NEXT: &str = "next-life";
/// The list of directories that have a part in it.
const LIST: &str = "together";
/// Where the life before is kept, followed by its lineage.
const BEFORE: &str = "before-lineage";
const IDENTITY: &str = "identity";

/// Removes a next life that was not written to its end.
pub(super) fn clear(next: &Path) -> Result<(), LineageFault> {
    match fs::remove_dir_all(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("remove", next)(error)),
        _ => Ok(()),
    }
}

/// All next lives are written: from now on they count.
pub(super) fn begin(dirs: &[DataDir]) -> Result<(), LineageFault> {
    let line = |dir: &DataDir| format!("{}\n", shown(dir.path()).display());
    let list: String = dirs.iter().map(line).collect();
    for dir in dirs {
        let next = dir.path().join(NEXT);
        sync(&next)?;
        let (new, path) = (next.join(format!("{LIST}.new")), next.join(LIST));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(list.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(fault("write", &path))?;
        sync(&next)?;
        sync(dir.path())?;
    }
    Ok(())
}

/// Ends what was begun in these directories. May be repeated at any time.
pub(super) fn end(dirs: &[DataDir]) -> Result<(), LineageFault> {
    dirs.iter().try_for_each(|dir| end_one(dir.path()))
}

/// Ends what was begun in any of these directories, if anything was.
pub(super) fn end_begun(paths: &[PathBuf]) -> Result<bool, LineageFault> {
    let named: Vec<PathBuf> = paths.iter().map(|path| shown(path)).collect();
    let mut begun = Vec::new();
    for path in paths {
        let together = list(path)?;
        if let Some(missing) = together.iter().find(|one| !named.contains(one)) {
            return Err(LineageFault::Begun { path: path.clone(), missing: missing.clone() });
        }
        begun.extend(together);
    }
    // One whose own list is not yet there was written all the same: lists come after all is written.
    for path in &begun {
        let dir = DataDir::lock(path)?;
        end_one(dir.path())?;
    }
    Ok(!begun.is_empty())
}

fn end_one(path: &Path) -> Result<(), LineageFault> {
    let next = path.join(NEXT);
    let new_identity = next.join(IDENTITY);
    if !next.exists() {
        return Ok(());
    }
    if new_identity.exists() {
        let before = path.join(format!("{BEFORE}-{}", lineage_of_next(&next)?));
        fs::create_dir_all(&before).map_err(fault("make", &before))?;
        // The old identity first: without one no node starts from what is half moved.
        shift(path, &before, IDENTITY)?;
        sync(&before)?;
        sync(path)?;
        for part in PARTS.into_iter().chain([PEERS_FILE]) {
            if next.join(part).exists() {
                shift(path, &before, part)?;
                shift(&next, path, part)?;
            }
        }
        sync(&before)?;
        sync(path)?;
        shift(&next, path, IDENTITY)?;
        sync(path)?;
    }
    clear(&next)?;
    sync(path)
}

/// The lineage that begins, as the new identity says.
fn lineage_of_next(next: &Path) -> Result<u64, LineageFault> {
    let dir = DataDir::lock(next)?;
    let identity = dir.identity().ok_or_else(|| {
        pollux_cluster::Fault::Directory(format!("{} has no identity", next.display()))
    })?;
    Ok(identity.lineage)
}

/// Moves a part from one folder to another, if it is there.
fn shift(from: &Path, to: &Path, part: &str) -> Result<(), LineageFault> {
    let (from, to) = (from.join(part), to.join(part));
    if !from.exists() {
        return Ok(());
    }
    if to.exists() {
        let taken = io::Error::new(io::ErrorKind::AlreadyExists, "something is there already");
        return Err(fault("move a part to", &to)(taken));
    }
    fs::rename(&from, &to).map_err(fault("move", &from))
}

/// The directories in the list beside a next life; nobody if there is none.
fn list(path: &Path) -> Result<Vec<PathBuf>, LineageFault> {
    let path = path.join(NEXT).join(LIST);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text.map_err(fault("read", &path))?.lines().map(PathBuf::from).collect()),
    }
}

fn sync(dir: &Path) -> Result<(), LineageFault> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fault("sync", dir))
}

fn fault(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LineageFault {
    move |source| LineageFault::Io { doing, path: path.into(), source }
}
