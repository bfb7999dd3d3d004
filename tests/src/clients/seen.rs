//! What a service that follows the fleet saw: held against the versions, which tell of every gap, and at any time
//! against what was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use pollux_proto::v1;
use pollux_proto::v1::changed::What as Change;
use pollux_proto::v1::section_patched::Change as Text;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::limits::{LAST_TRIES, PAUSE};
use crate::history::{Recorder, What};

/// A section of a twin.
type Whose = (String, v1::Section);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Sections>>);

/// What each version of a section brought, from 1 on.
#[derive(Debug, Default)]
struct Sections(BTreeMap<Whose, Vec<String>>);

impl Seen {
    /// The next change of a section, or one that was seen before.
    pub(super) fn change(&self, changed: v1::Changed) -> Result<()> {
        let Some(Change::Patched(patched)) = changed.what else { return Ok(()) };
        let whose = (changed.device, patched.section());
        let text = match patched.change.context("what was patched")? {
            Text::MergeJson(text) | Text::WholeJson(text) => text,
        };
        let mut sections = self.lock();
        let texts = sections.0.entry(whose.clone()).or_default();
        let newest = texts.len() as u64;
        if patched.version == newest + 1 {
            texts.push(text);
            return Ok(());
        }
        let known = sections.is_right(&whose, patched.version, &text)?;
        ensure!(known, "a gap: {whose:?}: version {} after {newest}", patched.version);
        Ok(())
    }

    /// Waits until whoever sees has seen everything that was acknowledged before this call.
    pub(super) async fn all(
        &self,
        recorder: &Recorder,
        sees: &mut JoinHandle<Result<()>>,
    ) -> Result<()> {
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
            if sees.is_finished() {
                (&mut *sees).await??;
            }
            let seen = |((whose, version), text): (&(Whose, u64), &String)| {
                self.lock().is_right(whose, *version, text)
            };
            if acknowledged.iter().map(seen).collect::<Result<Vec<_>>>()?.iter().all(|seen| *seen) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        let counts: BTreeMap<Whose, usize> =
            self.lock().0.iter().map(|(whose, texts)| (whose.clone(), texts.len())).collect();
        let newest: BTreeMap<_, _> = acknowledged.into_keys().collect();
        bail!("not all was seen: {counts:?} of {newest:?}")
    }

    fn lock(&self) -> MutexGuard<'_, Sections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sections {
    /// Whether this version was seen; an error if something else was.
    fn is_right(&self, whose: &Whose, version: u64, text: &str) -> Result<bool> {
        let texts = self.0.get(whose);
        let at = version.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        let Some(seen) = texts.zip(at).and_then(|(texts, at)| texts.get(at)) else {
            return Ok(false);
        };
        ensure!(seen == text, "{whose:?}: version {version} is {text}, and {seen} was seen");
        Ok(true)
    }
}
