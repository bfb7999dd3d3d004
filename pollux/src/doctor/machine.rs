//! The machine that a node runs on, or is to: its disk, what the system allows a process, its ports.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_runtime::clock::Clock;
use pollux_runtime::config::Checked;
use pollux_runtime::limits::SOCKET_BUFFER_BYTES;
use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::limits::{FILES_MIN, FLUSH_GOOD, FLUSH_TRIALS};

/// The magic number of a file system in memory (Linux, `statfs(2)`).
const TMPFS: u64 = 0x0102_1994;

/// Whether a node of this configuration answers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    No,
}

/// Looks at all of it.
pub(super) fn look(config: &Checked, running: Running) -> Vec<Finding> {
    let folder = existing(&config.data_dir);
    let mut findings = vec![room(&folder, config.checkpoint.reserve_bytes), flush(&folder)];
    findings.extend(volatile(&folder));
    findings.extend(files());
    findings.extend(buffers());
    if running == Running::No {
        findings.push(ports(config));
    }
    findings
}

/// The folder, or the nearest above that is there: it will be on the same disk.
fn existing(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|path| path.is_dir());
    there.unwrap_or_else(|| Path::new(".")).to_path_buf()
}

fn room(folder: &Path, reserve: u64) -> Finding {
    let gib = |bytes: u64| format!("{}.{} GiB", bytes >> 30, ((bytes >> 20) % 1024) * 10 / 1024);
    let next = "give it more room, or name another folder with --data-dir";
    match rustix::fs::statvfs(folder) {
        Err(error) => Finding::wrong("disk room", format!("{}: {error}", folder.display()), next),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} free in {}", gib(free), folder.display());
            match free {
                free if free < reserve => Finding::wrong(
                    "disk room",
                    format!("{text}: below {} a node refuses writes", gib(reserve)),
                    next,
                ),
                free if free < reserve.saturating_mul(4) => Finding::note(
                    "disk room",
                    format!("{text}; below {} a node refuses writes", gib(reserve)),
                    next,
                ),
                _ => Finding::good("disk room", text),
            }
        }
    }
}

/// How long it takes until written bytes are on the disk: every acknowledgement waits for that.
fn flush(folder: &Path) -> Finding {
    let path = folder.join(format!(".pollux-doctor-{}", std::process::id()));
    let tried = flushes(&path);
    // It may not have been made.
    let _ = fs::remove_file(&path);
    match tried {
        Err(error) => Finding::wrong(
            "disk flush",
            format!("cannot write in {}: {error}", folder.display()),
            "let the user of the node write there, or name another folder with --data-dir",
        ),
        Ok(times) => {
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            let text = format!("a flush takes {median:.1?}, at most {longest:.1?}");
            match median > FLUSH_GOOD {
                true => Finding::note(
                    "disk flush",
                    format!("{text}: every acknowledgement waits for one"),
                    "a disk of flash with protection against power loss flushes in less than a millisecond",
                ),
                false => Finding::good("disk flush", text),
            }
        }
    }
}

fn flushes(path: &Path) -> io::Result<Vec<Duration>> {
    let clock = Clock::new();
    let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
    let mut times = Vec::new();
    for _ in 0..FLUSH_TRIALS {
        file.write_all(&[0; 4096])?;
        let begun = clock.elapsed();
        file.sync_data()?;
        times.push(clock.elapsed().saturating_sub(begun));
    }
    times.sort_unstable();
    Ok(times)
}

fn volatile(folder: &Path) -> Option<Finding> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    (u64::try_from(kind).ok()? == TMPFS).then(|| {
        let text = format!("{} is in memory: a restart of the machine loses it", folder.display());
        Finding::note("disk", text, "name a folder on a disk with --data-dir")
    })
}

fn files() -> Option<Finding> {
    let limit = getrlimit(Resource::Nofile).current?;
    (limit < FILES_MIN).then(|| {
        let text = format!("a process may have {limit} files and connections open");
        Finding::note("open files", text, format!("raise it to {FILES_MIN} or more: `ulimit -n`"))
    })
}

/// What the system grants a socket of devices; where it does not say, nothing is said here.
fn buffers() -> Option<Finding> {
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    let granted: usize = text.trim().parse().ok()?;
    (granted < SOCKET_BUFFER_BYTES).then(|| {
        Finding::note(
            "socket buffers",
            format!(
                "the system grants a socket {} KiB: bursts of many devices lose packets, which come again later",
                granted / 1024
            ),
            format!(
                "sysctl -w net.core.rmem_max={SOCKET_BUFFER_BYTES} net.core.wmem_max={SOCKET_BUFFER_BYTES}"
            ),
        )
    })
}

fn ports(config: &Checked) -> Finding {
    let listen = &config.listen;
    let udp = |at: SocketAddr| UdpSocket::bind(at).err();
    let tcp = |at: SocketAddr| TcpListener::bind(at).err();
    let doors = [
        ("devices", "--devices-listen", listen.devices, udp(listen.devices)),
        ("other nodes", "--peers-listen", listen.peers, udp(listen.peers)),
        ("gRPC", "--grpc-listen", listen.grpc, tcp(listen.grpc)),
        ("HTTP", "--http-listen", listen.http, tcp(listen.http)),
    ];
    let taken =
        doors.into_iter().find_map(|(door, flag, at, error)| Some((door, flag, at, error?)));
    match taken {
        Some((door, flag, at, error)) => Finding::wrong(
            "ports",
            format!("cannot listen for {door} at {at}: {error}"),
            format!("end what listens there, or name another place with {flag}"),
        ),
        None => Finding::good("ports", "a node could listen where it is to"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn too_little_room_is_wrong_and_little_is_noted() {
        let here = Path::new(".");
        assert_eq!(room(here, u64::MAX).verdict, Verdict::Wrong);
        assert_eq!(room(here, 1).verdict, Verdict::Good);
        let free = rustix::fs::statvfs(here).unwrap();
        let half = free.f_bavail * free.f_frsize / 2;
        assert_eq!(room(here, half).verdict, Verdict::Note);
        assert_eq!(room(Path::new("/no/such"), 1).verdict, Verdict::Wrong);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_wrong_and_a_trial_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(flush(folder.path()).verdict, Verdict::Wrong);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(flush(&folder.path().join("missing")).verdict, Verdict::Wrong);
        assert_eq!(existing(&folder.path().join("a/b")), folder.path());
    }
}
