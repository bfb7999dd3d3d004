//! How the kernel runs the threads of shards: as batch work, which does not interrupt the thread that
//! wakes it. Where cores are scarce, messages then reach a shard many at a time; where a core is free,
//! nothing changes.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "no kept library sets the policy alone, without the niceness")
)]

use std::io;

/// Makes the calling thread batch work.
#[cfg(target_os = "linux")]
pub(crate) fn become_batch() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads one `sched_param` from a pointer to one that lives through the call, and
    // changes nothing of this process but how the thread is scheduled.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Other systems know no such thing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn become_batch() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_thread_becomes_batch_work() {
        let policy = std::thread::spawn(|| {
            super::become_batch().unwrap();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = policy.join().unwrap();
        // Field 41, counted from after the name in parentheses, which is field 2; SCHED_BATCH is 3.
        let after_name = stat.rsplit(')').next().unwrap();
        assert_eq!(after_name.split_whitespace().nth(41 - 3), Some("3"));
    }
}
