//! Keeps the folder as the cluster wants it: what artifacts name is fetched where it is missing, what nobody names is
//! removed after a while, and what was there at the start is read once, since a disk may have changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;

use super::digest::Hasher;
use super::fetch::Progress;
use super::limits::{KEEP_EVERY, KEEP_RETRY, UNNAMED_KEPT};
use super::writer::blocking;
use super::{ArtifactFault, Depot, Digest};

/// What could not be fetched: how often in a row, and from when on, by elapsed time, it is tried again.
#[derive(Default)]
struct Later(BTreeMap<Digest, (u32, Duration)>);

impl Later {
    fn is_due(&self, digest: &Digest, now: Duration) -> bool {
        self.0.get(digest).is_none_or(|(_, from)| now >= *from)
    }

    fn came(&mut self, digest: &Digest) {
        self.0.remove(digest);
    }

    /// Each time after twice as long, as a try asks every node.
    fn failed(&mut self, digest: Digest, now: Duration) {
        let (failures, from) = self.0.entry(digest).or_default();
        let pause = KEEP_RETRY.saturating_mul(1 << (*failures).min(16));
        *failures += 1;
        *from = now.saturating_add(pause.min(KEEP_EVERY));
    }

    fn next(&self) -> Option<Duration> {
        self.0.values().map(|(_, from)| *from).min()
    }
}

impl Depot {
    /// Runs until the node stops.
    pub(crate) async fn keep(self) {
        let mut picture = self.picture();
        let mut swept = self.inner.clock.elapsed();
        let mut later = Later::default();
        loop {
            self.fetch_missing(&mut later).await;
            let now = self.inner.clock.elapsed();
            if now.saturating_sub(swept) >= KEEP_EVERY {
                swept = now;
                self.sweep().await;
            }
            let unread = self.read_again().await;
            let pause = if unread == 0 { KEEP_EVERY } else { KEEP_RETRY };
            let pause = later.next().map_or(pause, |next| pause.min(next.saturating_sub(now)));
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                changed = picture.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// How many artifacts there are whose bytes are not here.
    pub(crate) fn missing(&self) -> u64 {
        let named = self.named();
        let lacks = |(digest, size): &(&Digest, &u64)| !self.inner.store.has(digest, **size);
        named.iter().filter(lacks).count() as u64
    }

    /// Fetches what is missing and whose time has come.
    async fn fetch_missing(&self, later: &mut Later) {
        let named = self.named();
        let missing = |(digest, size): &(&Digest, &u64)| !self.inner.store.has(digest, **size);
        let missing: Vec<_> =
            named.iter().filter(missing).map(|(digest, size)| (*digest, *size)).collect();
        // What nobody names, or came otherwise, is not waited for.
        later.0.retain(|digest, _| missing.iter().any(|(lacks, _)| lacks == digest));
        for (digest, size) in missing {
            if !later.is_due(&digest, self.inner.clock.elapsed()) {
                continue;
            }
            let mut fetching = self.fetch(digest, size, None);
            let over = fetching.wait_for(Progress::is_over).await.map(|progress| progress.clone());
            if self.inner.stop.is_cancelled() {
                return;
            }
            let now = self.inner.clock.elapsed();
            match over {
                Ok(Progress::Done) => later.came(&digest),
                Ok(Progress::Failed { fault }) => {
                    later.failed(digest, now);
                    let digest = pollux_proto::hex::hex(&digest);
                    tracing::warn!(digest, %fault, "an artifact is missing here");
                }
                Ok(Progress::UnderWay { .. }) | Err(_) => later.failed(digest, now),
            }
        }
    }

    /// Reads one file that was there at the start, and drops it if it is not what its name says: then it is fetched.
    /// How many are left.
    async fn read_again(&self) -> usize {
        let (next, left) = self.inner.store.next_unread();
        let Some(digest) = next else { return left };
        match self.digest_of(&digest).await {
            Ok(actual) if actual == digest => {}
            Ok(_) => {
                let name = pollux_proto::hex::hex(&digest);
                tracing::error!(name, "the disk has changed an artifact: it is fetched anew");
                self.inner.store.forget(&digest);
            }
            Err(fault) => {
                tracing::error!(%fault, "an artifact cannot be read: it is fetched anew");
                self.inner.store.forget(&digest);
            }
        }
        left
    }

    async fn digest_of(&self, digest: &Digest) -> Result<Digest, ArtifactFault> {
        let path = self.inner.store.path(digest);
        let size = blocking(move || std::fs::metadata(path)).await?.len();
        let mut read = self.here(digest, 0..size).await?;
        let mut hasher = Hasher::new();
        while let Some(piece) = read.next().await {
            let piece = piece?;
            self.inner.pace.pass(piece.len()).await;
            hasher.update(&piece);
        }
        Ok(hasher.finish())
    }

    async fn sweep(&self) {
        // Who does not hear what was decided last does not know what is named.
        if !self.learns_newest().await {
            return;
        }
        let named: BTreeSet<_> = self.named().into_keys().collect();
        let (depot, now) = (self.clone(), self.inner.clock.elapsed());
        let swept = blocking(move || depot.inner.store.sweep(&named, now, UNNAMED_KEPT));
        match swept.await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(removed, "files of artifacts that nobody names are removed")
            }
            Err(fault) => tracing::warn!(%fault, "files of artifacts that nobody names stay"),
        }
    }

    /// What artifacts there are, by digest.
    fn named(&self) -> BTreeMap<Digest, u64> {
        let picture = self.picture();
        let meta = std::sync::Arc::clone(&picture.borrow().meta);
        meta.fleet.artifacts.values().map(|one| (one.sha256, one.size)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_asked_for_less_and_less() {
        let (mut later, digest) = (Later::default(), [1; 32]);
        let mut now = Duration::from_secs(100);
        assert!(later.is_due(&digest, now) && later.next().is_none());
        for pause in [2, 4, 8, 16, 30, 30] {
            later.failed(digest, now);
            let next = now + Duration::from_secs(pause);
            assert_eq!(later.next(), Some(next));
            assert!(!later.is_due(&digest, next - Duration::from_millis(1)));
            assert!(later.is_due(&digest, next) && later.is_due(&[2; 32], now));
            now = next;
        }
        later.came(&digest);
        later.failed(digest, now);
        assert_eq!(later.next(), Some(now + KEEP_RETRY), "from the beginning");
    }
}
