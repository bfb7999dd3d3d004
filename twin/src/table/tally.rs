//! Counts of a table's twins, and the digest that tells a checkpoint whole (safety rule 22).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::id::TwinKey;
use crate::image::{self, Flags, Header, ImageError};

/// How many twins there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that the table knows of, the deleted ones too.
    pub twins: u64,
    /// Neither absent nor deleted.
    pub alive: u64,
    /// With a session, as the log knows it.
    pub connected: u64,
    /// Set aside (safety rule 10).
    pub quarantined: u64,
}

impl Counts {
    pub(super) fn add(&mut self, flags: Flags) {
        self.alive += u64::from(flags.is_alive());
        self.connected += u64::from(flags.is_connected());
        self.quarantined += u64::from(flags.is_quarantined());
    }

    pub(super) fn subtract(&mut self, flags: Flags) {
        self.alive -= u64::from(flags.is_alive());
        self.connected -= u64::from(flags.is_connected());
        self.quarantined -= u64::from(flags.is_quarantined());
    }
}

/// What a tenant has in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantCounts {
    /// Twins that are neither absent nor deleted.
    pub alive: u64,
    /// About what its twins take up: images, and what is unpacked by its weight.
    pub bytes: u64,
}

/// What each tenant has.
#[derive(Debug, Default)]
pub(super) struct Tenants(BTreeMap<Box<str>, TenantCounts>);

impl Tenants {
    pub(super) fn of(&self, tenant: &str) -> TenantCounts {
        self.0.get(tenant).copied().unwrap_or_default()
    }

    /// A twin weighs something else, and is alive or not, from now on.
    pub(super) fn note(
        &mut self,
        key: &TwinKey,
        (before, was): (usize, Flags),
        (after, is): (usize, Flags),
    ) {
        if before == after && was.is_alive() == is.is_alive() {
            return;
        }
        let tenant = key.tenant();
        if !self.0.contains_key(tenant) {
            self.0.insert(tenant.into(), TenantCounts::default());
        }
        let Some(counts) = self.0.get_mut(tenant) else { return };
        counts.bytes = (counts.bytes + wide(after)).saturating_sub(wide(before));
        counts.alive = (counts.alive + u64::from(is.is_alive())) - u64::from(was.is_alive());
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Count and sum of all images of a checkpoint, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many images.
    pub count: u64,
    /// Wrapping sum of a hash over key, index and checksum of each.
    pub sum: u64,
}

impl Digest {
    /// Counts an image in, whose checksum is compared.
    ///
    /// # Errors
    /// When the bytes are no image, or a damaged one.
    pub fn count(&mut self, key: &TwinKey, image: &[u8]) -> Result<(), ImageError> {
        self.add(hash(key, &image::check(image)?));
        Ok(())
    }

    pub(super) const fn add(&mut self, hash: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// One image took the place of another, or of none.
    pub(super) const fn replace(&mut self, old: Option<u64>, new: u64) {
        match old {
            Some(old) => self.sum = self.sum.wrapping_sub(old).wrapping_add(new),
            None => self.add(new),
        }
    }
}

/// What an image adds to the digest; part of the data on disk. The image's content is in by its
/// checksum.
pub(super) fn hash(key: &TwinKey, header: &Header) -> u64 {
    let seed = (u64::from(header.checksum) << 32) ^ header.index;
    xxhash_rust::xxh3::xxh3_64_with_seed(key.as_str().as_bytes(), seed)
}
