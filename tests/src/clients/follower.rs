//! A service that follows the twins for which a filter holds, at one node or, from its last position, at another:
//! what it believes of them is to be what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use pollux_proto::v1;
use pollux_proto::v1::changed::What;
use pollux_proto::v1::section_patched::Change as Text;
use pollux_proto::v1::watch_response::Event;
use prost::Message;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Streaming;

use super::limits::{LAST_TRIES, PAUSE};
use super::watcher::open;
use crate::node::NodeOptions;

/// See the module.
pub struct Follower {
    filter: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Result<()>>,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    position: String,
    /// The tags of those for which the filter holds, as far as it was told.
    twins: BTreeMap<String, Value>,
    /// Changes that were told.
    changes: usize,
    /// How often it had to begin anew.
    resets: usize,
}

impl Follower {
    /// Begins with the picture.
    pub async fn open(node: &NodeOptions, filter: &str) -> Result<Self> {
        let (filter, seen) = (filter.to_owned(), Arc::default());
        Ok(Self { task: begin(node, &filter, &seen, true).await?, filter, seen })
    }

    /// Leaves the node, and goes on at another.
    pub async fn go_on_at(&mut self, node: &NodeOptions) -> Result<()> {
        self.task.abort();
        match (&mut self.task).await {
            Ok(ended) => ended?,
            Err(error) => ensure!(error.is_cancelled(), "{error}"),
        }
        ensure!(!lock(&self.seen).position.is_empty(), "it has no position to go on from");
        self.task = begin(node, &self.filter, &self.seen, false).await?;
        Ok(())
    }

    /// Waits until it believes what is true of the twins: tags by name.
    pub async fn believes(&mut self, truth: &BTreeMap<String, Value>) -> Result<()> {
        for _ in 0..LAST_TRIES {
            if self.task.is_finished() {
                (&mut self.task).await??;
            }
            if lock(&self.seen).twins == *truth {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        let seen = lock(&self.seen);
        bail!("it believes {:?}, and {truth:?} is true; {} resets", seen.twins, seen.resets)
    }

    /// How many changes it was told, and how often it had to begin anew.
    pub fn told(&self) -> (usize, usize) {
        let seen = lock(&self.seen);
        (seen.changes, seen.resets)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn take(&mut self, response: v1::WatchResponse) -> Result<()> {
        match response.event.context("an event")? {
            Event::Twin(twin) => self.is_now(twin)?,
            Event::Changes(v1::Changes { changes }) => {
                ensure!(!changes.is_empty(), "a batch of nothing");
                for change in changes {
                    self.change(v1::Changed::decode(change)?)?;
                }
            }
            Event::Changed(changed) => bail!("changes come in batches here: {changed:?}"),
            Event::PositionLost(_) => {
                self.resets += 1;
                self.twins.clear();
            }
            Event::PictureComplete(_) | Event::Progress(_) => {}
            other @ (Event::Sharing(_) | Event::Telemetry(_)) => bail!("not asked for: {other:?}"),
        }
        if !response.position.is_empty() {
            self.position = response.position;
        }
        Ok(())
    }

    fn is_now(&mut self, twin: v1::Twin) -> Result<()> {
        let tags = serde_json::from_str(&twin.tags.context("tags")?.json)?;
        self.twins.insert(twin.device, tags);
        Ok(())
    }

    fn change(&mut self, changed: v1::Changed) -> Result<()> {
        self.changes += 1;
        let fit = changed.r#match();
        let v1::Changed { device, what, twin, .. } = changed;
        match fit {
            v1::Match::Entered => return self.is_now(twin.context("who enters is shown")?),
            v1::Match::Left => drop(self.twins.remove(&device)),
            v1::Match::Stayed => {
                let tags = self.twins.get_mut(&device).context("who stays has entered")?;
                if let Some(What::Patched(patched)) = what {
                    let Some(Text::WholeJson(text)) = patched.change else {
                        bail!("nobody merges here: {patched:?}")
                    };
                    *tags = serde_json::from_str(&text)?;
                }
            }
            v1::Match::Unspecified | v1::Match::Undecided => bail!("{fit:?} of {device}"),
        }
        Ok(())
    }
}

async fn begin(
    node: &NodeOptions,
    filter: &str,
    seen: &Arc<Mutex<Seen>>,
    picture: bool,
) -> Result<JoinHandle<Result<()>>> {
    let (position, filter) = (lock(seen).position.clone(), filter.to_owned());
    let asked = v1::WatchRequest { position, filter, picture, batch: true, ..Default::default() };
    Ok(tokio::spawn(read(open(node, asked).await?, Arc::clone(seen))))
}

async fn read(mut events: Streaming<v1::WatchResponse>, seen: Arc<Mutex<Seen>>) -> Result<()> {
    while let Some(response) = events.message().await? {
        lock(&seen).take(response)?;
    }
    Err(anyhow!("the watch ended"))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
