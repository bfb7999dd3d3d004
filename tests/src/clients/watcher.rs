//! A service that watches the whole fleet at one node, or goes on at another from its last position.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use pollux_proto::v1;
use pollux_proto::v1::watch_response::Event;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Streaming;

use super::limits::{ANSWER, LAST};
use super::seen::Seen;
use super::way::Way;
use crate::history::Recorder;
use crate::node::NodeOptions;

/// See the module.
pub struct Watcher {
    seen: Seen,
    position: Position,
    task: JoinHandle<Result<()>>,
}

/// Where it goes on.
type Position = Arc<Mutex<String>>;

impl Watcher {
    /// Watches from now on. To be opened before anything is written.
    pub async fn open(node: &NodeOptions) -> Result<Self> {
        let (seen, position) = (Seen::default(), Position::default());
        Ok(Self { task: begin(node, &seen, &position).await?, seen, position })
    }

    /// Leaves the node, and goes on at another.
    pub async fn go_on_at(&mut self, node: &NodeOptions) -> Result<()> {
        self.task.abort();
        match (&mut self.task).await {
            Ok(ended) => ended?,
            Err(error) => ensure!(error.is_cancelled(), "{error}"),
        }
        ensure!(!lock(&self.position).is_empty(), "it has no position to go on from");
        self.task = begin(node, &self.seen, &self.position).await?;
        Ok(())
    }

    /// Waits until everything was seen that was acknowledged before this call.
    pub async fn sees_all(&mut self, recorder: &Recorder) -> Result<()> {
        self.seen.all(recorder, &mut self.task).await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The whole picture with which a watch at a node begins, if asked to: the twins in it.
pub async fn picture(node: &NodeOptions) -> Result<BTreeSet<String>> {
    let mut events = open(node, v1::WatchRequest { picture: true, ..Default::default() }).await?;
    let mut twins = BTreeSet::new();
    loop {
        let next =
            timeout(LAST, events.message()).await.context("the picture is never complete")?;
        match next?.and_then(|response| response.event).context("an event")? {
            Event::Twin(twin) => drop(twins.insert(twin.device)),
            Event::PictureComplete(_) => return Ok(twins),
            other => bail!("no part of a picture: {other:?}"),
        }
    }
}

async fn begin(
    node: &NodeOptions,
    seen: &Seen,
    position: &Position,
) -> Result<JoinHandle<Result<()>>> {
    let from = lock(position).clone();
    let events = open(node, v1::WatchRequest { position: from, ..Default::default() }).await?;
    Ok(tokio::spawn(read(events, seen.clone(), Arc::clone(position))))
}

pub(super) async fn open(
    node: &NodeOptions,
    watch: v1::WatchRequest,
) -> Result<Streaming<v1::WatchResponse>> {
    let fleet = v1::watch_request::Whose::Prefix(String::new());
    let watch = v1::WatchRequest { whose: Some(fleet), ..watch };
    let mut twins = Way::to(node)?.twins();
    let opened = timeout(2 * ANSWER, twins.watch(watch)).await.context("no watch was opened")?;
    Ok(opened?.into_inner())
}

async fn read(
    mut events: Streaming<v1::WatchResponse>,
    seen: Seen,
    position: Position,
) -> Result<()> {
    while let Some(response) = events.message().await? {
        match response.event.context("an event")? {
            Event::Changed(changed) => seen.change(changed)?,
            Event::Progress(_) => {}
            other => bail!("nobody asked for it: {other:?}"),
        }
        if !response.position.is_empty() {
            *lock(&position) = response.position;
        }
    }
    Err(anyhow!("the watch ended"))
}

fn lock(position: &Mutex<String>) -> MutexGuard<'_, String> {
    position.lock().unwrap_or_else(PoisonError::into_inner)
}
