//! What is done to the nodes of a cluster: stopped in order, frozen, their disks emptied or set back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::cluster::Cluster;
use super::{NodeOptions, NodeProcess};

impl NodeProcess {
    /// SIGSTOP: it stands still with all that it holds, until it goes on.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// SIGCONT.
    pub fn go_on(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }
}

impl NodeOptions {
    /// Empties its disk.
    pub fn wipe(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.data)?)
    }

    /// Copies its disk away while it does not run.
    pub fn image(&self) -> Result<PathBuf> {
        let image = self.data.with_extension("image");
        copy(&self.data, &image)?;
        Ok(image)
    }

    /// Sets its disk back to an image.
    pub fn set_back(&self, image: &Path) -> Result<()> {
        self.wipe()?;
        copy(image, &self.data)
    }
}

impl Cluster {
    /// A node that runs, by its place in the list.
    pub fn node(&self, at: usize) -> Result<&NodeProcess> {
        self.nodes[at].as_ref().with_context(|| format!("node {at} of the list runs"))
    }

    /// SIGTERM of a node; it must stop in order.
    pub fn stop(&mut self, at: usize) -> Result<()> {
        let node = self.nodes[at].take().context("the node runs")?;
        let status = node.stop()?;
        ensure!(status.success(), "{status}: {}", self.options[at].said());
        Ok(())
    }

    /// `kill -9` of all nodes at once.
    pub fn kill_all(&mut self) -> Result<()> {
        let nodes: Vec<_> = self.nodes.iter_mut().filter_map(Option::take).collect();
        for node in &nodes {
            kill_process(Pid::from_child(&node.child), Signal::KILL)?;
        }
        nodes.into_iter().try_for_each(NodeProcess::kill)
    }

    /// Starts all nodes that do not run, at once: alone none of them would find a majority.
    pub fn start_all(&mut self) -> Result<()> {
        let down = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_none());
        let down: Vec<_> = down.collect();
        let started: Vec<Result<NodeProcess>> = std::thread::scope(|scope| {
            let starting: Vec<_> = down
                .iter()
                .map(|at| {
                    let options = self.options[*at].clone();
                    scope.spawn(move || options.start())
                })
                .collect();
            starting.into_iter().map(|it| it.join().expect("a start does not panic")).collect()
        });
        for (at, node) in down.into_iter().zip(started) {
            self.nodes[at] = Some(node?);
        }
        Ok(())
    }
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
