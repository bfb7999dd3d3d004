//! Keeps the folder as the cluster wants it: what artifacts name is fetched where it is missing, what nobody names is
//! removed after a while, and what was there at the start is read once, since a disk may have changed it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use super::digest::Hasher;
use super::fetch::Progress;
use super::limits::{KEEP_EVERY, KEEP_RETRY, UNNAMED_KEPT};
use super::writer::blocking;
use super::{ArtifactFault, Depot, Digest};

impl Depot {
    /// Runs until the node stops.
    pub(crate) async fn keep(self) {
        let mut picture = self.picture();
        let mut swept = self.inner.clock.elapsed();
        loop {
            let complete = self.fetch_missing().await;
            let now = self.inner.clock.elapsed();
            if now.saturating_sub(swept) >= KEEP_EVERY {
                swept = now;
                self.sweep().await;
            }
            let unread = self.read_again().await;
            let pause = if complete && unread == 0 { KEEP_EVERY } else { KEEP_RETRY };
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                changed = picture.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether all is here.
    async fn fetch_missing(&self) -> bool {
        let named = self.named();
        let missing = |(digest, size): &(&Digest, &u64)| !self.inner.store.has(digest, **size);
        let missing: Vec<_> =
            named.iter().filter(missing).map(|(digest, size)| (*digest, *size)).collect();
        let mut complete = true;
        for (digest, size) in missing {
            let mut fetching = self.fetch(digest, size, None);
            let over = fetching.wait_for(Progress::is_over).await.map(|progress| progress.clone());
            match over {
                Ok(Progress::Done) => {}
                Ok(Progress::Failed { fault }) => {
                    complete = false;
                    let digest = pollux_proto::artifact::hex(&digest);
                    tracing::warn!(digest, %fault, "an artifact is missing here");
                }
                Ok(Progress::UnderWay { .. }) | Err(_) => complete = false,
            }
            if self.inner.stop.is_cancelled() {
                return false;
            }
        }
        complete
    }

    /// Reads one file that was there at the start, and drops it if it is not what its name says: then it is fetched.
    /// How many are left.
    async fn read_again(&self) -> usize {
        let (next, left) = self.inner.store.next_unread();
        let Some(digest) = next else { return left };
        match self.digest_of(&digest).await {
            Ok(actual) if actual == digest => {}
            Ok(_) => {
                let name = pollux_proto::artifact::hex(&digest);
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
        if !self.inner.decider.hears_leader().await {
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
