//! A service that watches the whole fleet at one node, or goes on at another from its last position. It holds
//! what it sees against the versions, which tell of every gap, and at any time against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use pollux_proto::v1;
use pollux_proto::v1::changed::What as Change;
use pollux_proto::v1::section_patched::Change as Text;
use pollux_proto::v1::watch_response::Event;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::limits::{ANSWER, LAST, LAST_TRIES, PAUSE};
use super::way::Way;
use crate::history::{Recorder, What};
use crate::node::NodeOptions;

/// See the module.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Result<()>>,
}

/// A section of a twin.
type Whose = (String, v1::Section);

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    position: String,
    /// What each version of a section brought, from 1 on.
    sections: BTreeMap<Whose, Vec<String>>,
}

impl Watcher {
    /// Watches from now on. To be opened before anything is written.
    pub async fn open(node: &NodeOptions) -> Result<Self> {
        let seen = Arc::default();
        Ok(Self { task: begin(node, &seen).await?, seen })
    }

    /// Leaves the node, and goes on at another.
    pub async fn go_on_at(&mut self, node: &NodeOptions) -> Result<()> {
        self.task.abort();
        match (&mut self.task).await {
            Ok(ended) => ended?,
            Err(error) => ensure!(error.is_cancelled(), "{error}"),
        }
        ensure!(!lock(&self.seen).position.is_empty(), "it has no position to go on from");
        self.task = begin(node, &self.seen).await?;
        Ok(())
    }

    /// Waits until everything was seen that was acknowledged before this call.
    pub async fn sees_all(&mut self, recorder: &Recorder) -> Result<()> {
        let mut acknowledged = BTreeMap::new();
        for call in recorder.history().calls {
            let Some(version) = call.made() else { continue };
            let (section, text) = match call.what {
                What::Report(number) => (v1::Section::Reported, format!("{{\"n\":{number}}}")),
                What::Write { value, .. } => (v1::Section::Desired, format!("{{\"w\":{value}}}")),
                What::Read | What::Command(_) => continue,
            };
            acknowledged.insert(((call.twin, section), version), text);
        }
        for _ in 0..LAST_TRIES {
            if self.task.is_finished() {
                (&mut self.task).await??;
            }
            let seen = |((whose, version), text): (&(Whose, u64), &String)| {
                lock(&self.seen).is_right(whose, *version, text)
            };
            if acknowledged.iter().map(seen).collect::<Result<Vec<_>>>()?.iter().all(|seen| *seen) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        let counts = |seen: &Seen| -> BTreeMap<Whose, usize> {
            seen.sections.iter().map(|(whose, texts)| (whose.clone(), texts.len())).collect()
        };
        let newest: BTreeMap<_, _> = acknowledged.into_keys().collect();
        bail!("not all was seen: {:?} of {newest:?}", counts(&lock(&self.seen)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn take(&mut self, response: v1::WatchResponse) -> Result<()> {
        match response.event.context("an event")? {
            Event::Changed(changed) => self.change(changed)?,
            Event::Progress(_) => {}
            other => bail!("nobody asked for it: {other:?}"),
        }
        if !response.position.is_empty() {
            self.position = response.position;
        }
        Ok(())
    }

    /// The next change of a section, or one that was seen before.
    fn change(&mut self, changed: v1::Changed) -> Result<()> {
        let Some(Change::Patched(patched)) = changed.what else { return Ok(()) };
        let whose = (changed.device, patched.section());
        let text = match patched.change.context("what was patched")? {
            Text::MergeJson(text) | Text::WholeJson(text) => text,
        };
        let texts = self.sections.entry(whose.clone()).or_default();
        let newest = texts.len() as u64;
        if patched.version == newest + 1 {
            texts.push(text);
            return Ok(());
        }
        let known = self.is_right(&whose, patched.version, &text)?;
        ensure!(known, "a gap: {whose:?}: version {} after {newest}", patched.version);
        Ok(())
    }

    /// Whether this version was seen; an error if something else was.
    fn is_right(&self, whose: &Whose, version: u64, text: &str) -> Result<bool> {
        let texts = self.sections.get(whose);
        let at = version.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        let Some(seen) = texts.zip(at).and_then(|(texts, at)| texts.get(at)) else {
            return Ok(false);
        };
        ensure!(seen == text, "{whose:?}: version {version} is {text}, and {seen} was seen");
        Ok(true)
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

async fn begin(node: &NodeOptions, seen: &Arc<Mutex<Seen>>) -> Result<JoinHandle<Result<()>>> {
    let position = lock(seen).position.clone();
    let events = open(node, v1::WatchRequest { position, ..Default::default() }).await?;
    Ok(tokio::spawn(read(events, Arc::clone(seen))))
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

async fn read(mut events: Streaming<v1::WatchResponse>, seen: Arc<Mutex<Seen>>) -> Result<()> {
    while let Some(response) = events.message().await? {
        lock(&seen).take(response)?;
    }
    Err(anyhow!("the watch ended"))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
