//! Who brings or reads an artifact holds one of few turns: only for as long as it comes further.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::limits::{READ_AHEAD, UPLOAD_BYTES_MIN, UPLOAD_PACE_TIME};
use crate::artifacts::{ArtifactFault, Bytestream};
use crate::limits::DOWNLOAD_STALLED;

/// The same bytes, read by a task of its own as fast as they are taken; who takes none for too long lets others have the
/// turn.
pub(super) fn passed_on(mut read: Bytestream, turn: OwnedSemaphorePermit) -> Bytestream {
    let (given, taken) = mpsc::channel(READ_AHEAD);
    tokio::spawn(async move {
        let _turn = turn;
        loop {
            let next = read.next().await;
            let is_last = !matches!(next, Some(Ok(_)));
            let sent = tokio::time::timeout(DOWNLOAD_STALLED, given.send(next)).await;
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    stream::unfold(Some(taken), |taken| async move {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Some(Ok(piece))) => Some((Ok(piece), Some(taken))),
            Some(Some(Err(fault))) => Some((Err(fault), None)),
            Some(None) => None,
            None => {
                let why = "its bytes were not taken for too long: read on from where they ended";
                Some((Err(ArtifactFault::Broken(why.into())), None))
            }
        }
    })
    .boxed()
}

/// How fast what is brought has to come at least, as it holds a turn.
#[derive(Default)]
pub(super) struct LeastPace {
    waited: Duration,
    came: u64,
}

impl LeastPace {
    /// Counts what came, and how long it was waited for; whether enough comes.
    pub(super) fn keeps(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.came += bytes;
        if self.waited < UPLOAD_PACE_TIME {
            return true;
        }
        let keeps = self.came >= UPLOAD_BYTES_MIN;
        *self = Self::default();
        keeps
    }

    /// What is said where it does not.
    pub(super) fn broken() -> String {
        format!(
            "body: fewer than {UPLOAD_BYTES_MIN} bytes came within {} s, and others wait for their turn: bring it over a \
             faster line",
            UPLOAD_PACE_TIME.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn what_drips_in_loses_its_turn() {
        let second = Duration::from_secs(1);
        let mut pace = LeastPace::default();
        for _ in 0..600 {
            assert!(pace.keeps(second, UPLOAD_BYTES_MIN / 60 + 1));
        }
        assert!(pace.keeps(second * 59, 0) && !pace.keeps(second, UPLOAD_BYTES_MIN - 1));
        let mut pace = LeastPace::default();
        assert!((0..59).all(|_| pace.keeps(second, 1)) && !pace.keeps(second, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_holds_no_turn() {
        let turns = Arc::new(Semaphore::new(9));
        let turn = || Arc::clone(&turns).try_acquire_owned().unwrap();
        let pieces = |count: usize| {
            stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"piece")))).boxed()
        };
        let read: Vec<_> = passed_on(pieces(20), turn()).collect().await;
        assert!(read.len() == 20 && read.iter().all(Result::is_ok));
        let mut read = passed_on(pieces(20), turn());
        assert!(read.next().await.unwrap().is_ok());
        tokio::time::sleep(DOWNLOAD_STALLED * 2).await;
        assert_eq!(turns.available_permits(), 9, "others have it");
        let rest: Vec<_> = read.collect().await;
        assert!(matches!(rest.last(), Some(Err(ArtifactFault::Broken(_)))), "{rest:?}");
        let broken = stream::iter([Err(ArtifactFault::NotHere)]).boxed();
        let rest: Vec<_> = passed_on(broken, turn()).collect().await;
        assert_eq!(rest, [Err(ArtifactFault::NotHere)]);
        drop(passed_on(pieces(20), turn()));
        tokio::time::sleep(DOWNLOAD_STALLED / 2).await;
        assert_eq!(turns.available_permits(), 9, "it is told when nobody reads any more");
    }
}
