//! Keeps the folder as the cluster wants it: what artifacts name is fetched where it is missing, what nobody names is
//! removed after a while.

use std::collections::{BTreeMap, BTreeSet};

use super::fetch::Progress;
use super::limits::{KEEP_EVERY, KEEP_RETRY, UNNAMED_KEPT};
use super::{Depot, Digest};

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
            let pause = if complete { KEEP_EVERY } else { KEEP_RETRY };
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

    async fn sweep(&self) {
        // Who does not hear what was decided last does not know what is named.
        if !self.inner.decider.hears_leader().await {
            return;
        }
        let named: BTreeSet<_> = self.named().into_keys().collect();
        let (depot, now) = (self.clone(), self.inner.clock.elapsed());
        let swept =
            super::writer::blocking(move || depot.inner.store.sweep(&named, now, UNNAMED_KEPT));
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
