//! Takes from other nodes what is missing here: one task for each artifact, which all wait for who need it. What has
//! come is gone on with, after an interruption and after a start.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use pollux_cluster::NodeId;
use tokio::sync::watch;

use super::limits::PACE_BURST;
use super::{ArtifactFault, Depot, Digest};
use crate::clock::Clock;

/// How far a fetch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It comes.
    UnderWay {
        /// So much has.
        bytes: u64,
    },
    /// It is on the disk.
    Done,
    /// It does not come.
    Failed {
        /// Why.
        fault: ArtifactFault,
    },
}

impl Progress {
    pub(super) const fn is_over(&self) -> bool {
        !matches!(self, Self::UnderWay { .. })
    }
}

/// A fetch under way, as others see it.
pub(super) type Fetching = watch::Receiver<Progress>;

impl Depot {
    /// Begins to fetch something, or joins whoever does.
    pub(super) fn fetch(&self, digest: Digest, size: u64, from: Option<NodeId>) -> Fetching {
        let mut fetching = self.fetching();
        if let Some(known) = fetching.get(&digest) {
            return known.clone();
        }
        let (told, progress) = watch::channel(Progress::UnderWay { bytes: 0 });
        fetching.insert(digest, progress.clone());
        let depot = self.clone();
        tokio::spawn(async move {
            let fetched = tokio::select! {
                fetched = depot.fetch_now(&digest, size, from, &told) => fetched,
                () = depot.inner.stop.cancelled() => {
                    Err(ArtifactFault::Broken("the node stops".into()))
                }
            };
            // Before it is told: who hears that it failed and asks again begins anew.
            depot.fetching().remove(&digest);
            told.send_replace(match fetched {
                Ok(()) => Progress::Done,
                Err(fault) => Progress::Failed { fault },
            });
        });
        progress
    }

    async fn fetch_now(
        &self,
        digest: &Digest,
        size: u64,
        from: Option<NodeId>,
        told: &watch::Sender<Progress>,
    ) -> Result<(), ArtifactFault> {
        let others = self.others();
        let first = from.filter(|node| others.contains(node));
        let rest = others.iter().copied().filter(|node| Some(*node) != first);
        let mut last = ArtifactFault::NotHere;
        for node in first.into_iter().chain(rest) {
            match self.fetch_from(node, digest, size, told).await {
                Ok(()) => return Ok(()),
                Err(fault @ (ArtifactFault::NoSpace | ArtifactFault::Disk(_))) => {
                    return Err(fault);
                }
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn fetch_from(
        &self,
        node: NodeId,
        digest: &Digest,
        size: u64,
        told: &watch::Sender<Progress>,
    ) -> Result<(), ArtifactFault> {
        let have = self.part_bytes(digest).await?;
        let read = if have < size {
            self.has_room(size - have)?;
            Some(self.from(node, digest, size, have..size).await?)
        } else {
            None
        };
        // Only now, as it reads all that is there: a node that has nothing to give costs no reading.
        let mut writer = self.go_on(digest).await?;
        if let Some(mut read) = read {
            if writer.bytes() != have {
                return Err(ArtifactFault::Broken("its part changed meanwhile".into()));
            }
            while let Some(piece) = read.next().await {
                let piece = piece?;
                self.inner.pace.pass(piece.len()).await;
                writer.push(piece).await?;
                told.send_replace(Progress::UnderWay { bytes: writer.bytes() });
            }
        }
        writer.seal(Some(*digest)).await?.keep().await
    }
}

/// How fast what is missing is fetched, all of it together.
pub(super) struct Pace {
    bytes_per_s: u64,
    clock: Clock,
    /// When all that came so far is paid for, by elapsed time.
    paid: Mutex<Duration>,
}

impl Pace {
    pub(super) const fn new(bytes_per_s: u64, clock: Clock) -> Self {
        Self { bytes_per_s, clock, paid: Mutex::new(Duration::ZERO) }
    }

    /// Waits until so many bytes more may come.
    pub(super) async fn pass(&self, bytes: usize) {
        let wait = self.take(self.clock.elapsed(), bytes as u64);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn take(&self, now: Duration, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*paid).max(now);
        *paid = turn.saturating_add(cost);
        turn.saturating_sub(now.saturating_add(PACE_BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_faster_than_its_pace_waits() {
        let pace = Pace::new(1_000, Clock::new());
        let ms = Duration::from_millis;
        assert_eq!(pace.take(ms(0), 100), ms(0));
        assert_eq!(pace.take(ms(0), 100), ms(0), "a burst");
        assert_eq!(pace.take(ms(0), 100), ms(100));
        assert_eq!(pace.take(ms(1_000), 1_000), ms(0), "a quiet time pays for nothing ahead");
        assert_eq!(pace.take(ms(1_000), 1), ms(900));
    }
}
