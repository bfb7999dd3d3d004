//! A table from a checkpoint or a snapshot: images are checked and kept as they are, so that a
//! million of them is a matter of seconds.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::cache::Cache;
use super::cut::Cuts;
use super::index::Indexes;
use super::picture::Pictures;
use super::place::Place;
use super::places::Places;
use super::tally::{Counts, Digest, Tenants, hash};
use super::{Header, Options, Table};
use crate::id::TwinKey;
use crate::image::{self, Flags, Glance, ImageError};
use crate::time::Time;

/// Why a checkpoint is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// An image is corrupt.
    Image {
        /// Whose.
        key: TwinKey,
        /// What is wrong with it.
        error: ImageError,
    },
    /// Images are missing, too many or older than they should be.
    Digest {
        /// What the checkpoint's header says.
        expected: Digest,
        /// What the images come to.
        found: Digest,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { key, error } => write!(f, "restore twin {key}: {error}"),
            Self::Digest { expected, found } => write!(
                f,
                "restore table: {} images with digest {:016x}; \
                 its header says {} images with digest {:016x}",
                found.count, found.sum, expected.count, expected.sum
            ),
        }
    }
}

impl core::error::Error for RestoreError {}

/// A table that is being filled.
#[derive(Debug, Default)]
pub struct Restore {
    places: Vec<(TwinKey, Place)>,
    wakeful: Vec<TwinKey>,
    buried: Vec<(Time, TwinKey)>,
    counts: Counts,
    tenants: Tenants,
    digest: Digest,
    newest: u64,
    bytes: usize,
}

impl Restore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image, quickest in the order of keys. The checksum is compared.
    pub fn add(&mut self, key: TwinKey, image: Arc<[u8]>) -> Result<(), RestoreError> {
        let header = match image::check(&image) {
            Ok(header) => header,
            Err(error) => return Err(RestoreError::Image { key, error }),
        };
        self.digest.add(hash(&key, &header));
        self.counts.twins += 1;
        self.counts.add(header.flags);
        self.tenants.note(&key, (0, Flags::default()), (image.len(), header.flags));
        self.newest = self.newest.max(header.index);
        self.bytes += image.len();
        if header.flags.is_wakeful() {
            self.wakeful.push(key.clone());
        }
        if header.flags.has_buried() {
            match Glance::of(&image).map(|glance| glance.restorable_until()) {
                Ok(until) => self.buried.extend(until.map(|until| (until, key.clone()))),
                Err(error) => return Err(RestoreError::Image { key, error }),
            }
        }
        self.places.push((key, Place::Packed(image)));
        Ok(())
    }

    /// Count and digest of what was added so far.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The table, if the images are those that the header stands for.
    pub fn finish(self, header: &Header, options: Options) -> Result<Table, RestoreError> {
        if self.digest != header.digest {
            let (expected, found) = (header.digest, self.digest);
            return Err(RestoreError::Digest { expected, found });
        }
        let places = Places::restored(self.places);
        Ok(Table {
            indexes: Indexes::over(&places, &options)?,
            keeps_states: false,
            fence: header.fence,
            index: header.index,
            places,
            cache: Cache::over(options, self.bytes),
            wakeful: self.wakeful.into_iter().collect::<BTreeSet<_>>(),
            buried: self.buried.into_iter().collect(),
            counts: self.counts,
            tenants: self.tenants,
            cuts: Cuts::restored(self.newest.max(header.index), self.digest),
            // Whoever owned the shard then, no session is known to be there until it is heard of.
            opened: header.fence.time.plus_ms(1),
            pictures: Pictures::default(),
        })
    }
}
