//! What a replica holds of a shard: its twins, applied from the log. No decision is taken here.
//!
//! A twin at rest is its image; those that change are unpacked in a bounded `cache` and changed in
//! place. `fence` says which entries take effect, `cut` takes what a checkpoint writes, `picture` what
//! another replica begins with, `index` finds some of them, `restore` reads both back, `read` is for readers. Where images are
//! kept and how entries come is the driver's.

mod apply;
mod cache;
mod cut;
mod fence;
mod header;
mod index;
mod picture;
mod place;
mod places;
mod read;
mod restore;
mod tally;

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;

pub use self::apply::{Applied, Event, States, Versions};
use self::cache::Cache;
use self::cut::Cuts;
pub use self::fence::{Fence, Outcome};
pub use self::header::Header;
use self::index::Indexes;
use self::picture::Pictures;
pub use self::picture::{Images, PictureFault, PictureId};
use self::places::Places;
pub use self::restore::{Restore, RestoreError};
use self::tally::Tenants;
pub use self::tally::{Counts, Digest, TenantCounts};
use crate::id::TwinKey;
use crate::image::ImageError;
use crate::index::IndexPath;
use crate::limits;
use crate::time::Time;

/// The bounds of a table's cache, and which paths it has indexes of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// See [`limits::HOT_TWINS_MAX`].
    pub hot_twins_max: usize,
    /// See [`limits::HOT_BYTES_MAX`].
    pub hot_bytes_max: usize,
    /// At most [`limits::INDEXES_MAX`].
    pub indexes: Arc<[IndexPath]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hot_twins_max: limits::HOT_TWINS_MAX,
            hot_bytes_max: limits::HOT_BYTES_MAX,
            indexes: Arc::default(),
        }
    }
}

/// The table is unsound: an image in it cannot be read. The shard must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose image.
    pub key: TwinKey,
    /// What is wrong with it.
    pub error: ImageError,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read twin {} in the table: {}", self.key, self.error)
    }
}

impl core::error::Error for Fault {}

/// The twins of one shard as of one log index.
#[derive(Debug)]
pub struct Table {
    fence: Fence,
    index: u64,
    places: Places,
    cache: Cache,
    wakeful: BTreeSet<TwinKey>,
    /// Deleted twins that can be brought back, by the time until which.
    buried: BTreeSet<(Time, TwinKey)>,
    counts: Counts,
    tenants: Tenants,
    cuts: Cuts,
    /// When the newest opening was; what was last seen before it may be gone (safety rule 18).
    opened: Time,
    pictures: Pictures,
    indexes: Indexes,
    /// Whether events carry the twin as it was and is.
    keeps_states: bool,
}

impl Table {
    /// The table of a shard whose log is empty.
    pub fn new(options: Options) -> Self {
        Self {
            indexes: Indexes::new(&options),
            keeps_states: false,
            fence: Fence::default(),
            index: 0,
            places: Places::default(),
            cache: Cache::new(options),
            wakeful: BTreeSet::new(),
            buried: BTreeSet::new(),
            counts: Counts::default(),
            tenants: Tenants::default(),
            cuts: Cuts::default(),
            opened: Time::default(),
            pictures: Pictures::default(),
        }
    }
}
