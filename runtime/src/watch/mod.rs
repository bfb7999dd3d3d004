//! Watching: committed changes of a shard in log order, from any position that is still kept.
//!
//! `ring` keeps the newest changes of a replica, `hub` shares it and wakes watchers, `feed` brings what is in
//! one to another node, `walk` goes over one shard wherever its replicas are, `watcher` over those of its
//! scope. `live` is beside all that: telemetry that is in no log. `committed` is a change as all who watch share it, `batch` what of them is told together. `sieve` asks a
//! watch's filter of changes, `twins` of a picture's twins. How a position is written is proto's.

mod batch;
mod committed;
mod feed;
mod hub;
mod live;
mod ring;
mod sieve;
mod twins;
mod walk;
mod watcher;

use futures_util::stream::BoxStream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::hub::Step;
use crate::limits::WATCH_PROGRESS;

pub(crate) use batch::InBatches;
pub use committed::Committed;
pub(crate) use feed::{serve, serve_sifted};
pub(crate) use hub::Hub;
pub(crate) use live::{Listeners, serve as serve_live};
pub use ring::{Cursor, Event, Need, Ring, TooOld};
pub(crate) use sieve::Sieve;
pub(crate) use twins::{Page, page, serve as serve_twins, there};
pub(crate) use walk::Walk;
pub use watcher::Watch;

/// What follows a place, as it comes; it ends where that cannot be told any more.
type Steps = BoxStream<'static, Step>;

/// A replica that tells what follows a place.
struct Source {
    stands: Cursor,
    /// How long ago, at most, it had all that was acknowledged.
    age_ms: u64,
    steps: Steps,
}

/// Ticks when nothing was told for a while; to be reset whenever something is.
fn progress() -> Interval {
    let mut progress = interval(WATCH_PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    progress.reset();
    progress
}
