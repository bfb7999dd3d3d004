//! The threads that shards run on: one actix arbiter for each core that the process may use.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix::{Arbiter, ArbiterHandle, System};

use crate::batch_thread::become_batch;

/// Arbiters, each a thread; stopped and joined by [`Arbiters::stop`].
#[derive(Debug)]
pub(crate) struct Arbiters {
    system: System,
    system_thread: Option<JoinHandle<()>>,
    threads: Vec<Arbiter>,
}

impl Arbiters {
    /// Starts `count` arbiters (at least one).
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let (started, system) = mpsc::sync_channel(1);
        let system_thread =
            std::thread::Builder::new().name("pollux-actors".into()).spawn(move || {
                let runner = System::new();
                // The receiver waits below; if it is gone, so is the node.
                let _ = started.send(System::current());
                if let Err(error) = runner.run() {
                    tracing::error!(%error, "actors ended");
                }
            })?;
        let system = system
            .recv()
            .map_err(|_| io::Error::other("the thread of the actors ended before it began"))?;
        // Arbiters belong to the system of the thread that makes them.
        let threads = {
            let system = system.clone();
            std::thread::spawn(move || {
                System::set_current(system);
                (0..count.max(1)).map(|_| arbiter()).collect::<io::Result<Vec<_>>>()
            })
            .join()
            .map_err(|_| io::Error::other("an arbiter did not start"))??
        };
        Ok(Self { system, system_thread: Some(system_thread), threads })
    }

    /// All arbiters, at least one.
    pub(crate) fn handles(&self) -> Vec<ArbiterHandle> {
        self.threads.iter().map(Arbiter::handle).collect()
    }

    /// Stops all actors and joins their threads.
    pub(crate) fn stop(mut self) {
        for arbiter in &self.threads {
            arbiter.stop();
        }
        for arbiter in self.threads.drain(..) {
            let _ = arbiter.join();
        }
        self.system.stop();
        if let Some(thread) = self.system_thread.take() {
            let _ = thread.join();
        }
    }
}

fn arbiter() -> io::Result<Arbiter> {
    let arbiter = Arbiter::try_new()?;
    arbiter.spawn_fn(|| {
        if let Err(error) = become_batch() {
            tracing::warn!(%error, "a thread of shards runs like any other, and costs more under load");
        }
    });
    Ok(arbiter)
}
