//! Lineages: the lives of a cluster's logs (safety rule 24). A forced recovery and a restore begin the
//! next one, in which nothing may be given twice that the one before may have given: terms, versions,
//! session epochs and command ids go on a stride above. Owns the arithmetic; leaves to the runtime when
//! a lineage begins.

use alloc::sync::Arc;

use crate::entry::Epoch;
use crate::image::{self, ImageError};

/// What one lineage leaves free for the next to begin above: more elections, changes of one twin or
/// commands than a lineage will see, at one a second for thirty years.
pub const LINEAGE_STRIDE: u64 = 1_000_000_000;
/// The last lineage: all numbers stay below 2^53, so that every reader of JSON has them exactly.
pub const LINEAGE_MAX: u64 = 9_000_000;

/// The term that comes before all elections of a lineage; the first lineage begins at 0.
pub const fn first_term(lineage: u64) -> u64 {
    lineage.saturating_sub(1).saturating_mul(LINEAGE_STRIDE)
}

impl Epoch {
    /// What versions begin above in the lineage of this epoch, for a twin that nobody spoke of in it: an
    /// earlier life may have known the device, and lost it.
    pub const fn floor(self) -> u64 {
        self.term - self.term % LINEAGE_STRIDE
    }
}

/// The image of a twin as it goes on `lineages` later; see [`Twin::next_life`](crate::twin::Twin::next_life).
///
/// # Errors
/// When the bytes are no image.
pub fn next_life(bytes: &[u8], lineages: u64) -> Result<Arc<[u8]>, ImageError> {
    let (mut twin, index) = image::unpack(bytes)?;
    twin.next_life(lineages.saturating_mul(LINEAGE_STRIDE));
    Ok(image::pack(&twin, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_begins_above_the_one_before() {
        assert_eq!((first_term(0), first_term(1), first_term(2)), (0, 0, LINEAGE_STRIDE));
        let floor = |term| Epoch { term, leader: 7 }.floor();
        assert_eq!((floor(0), floor(5)), (0, 0));
        assert_eq!(floor(first_term(3) + 5), 2 * LINEAGE_STRIDE);
        assert!(first_term(LINEAGE_MAX + 1) < 1 << 53);
    }
}
