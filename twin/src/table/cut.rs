//! A checkpoint's cut: the images that changed since the last one, all as of one log index, taken
//! a few at a time while changes go on being applied (safety rule 21).
//!
//! A twin that changes before its turn is packed first. Whoever writes the images keeps those that
//! it could not write and writes them with the next cut: here they count as written.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::place::Hot;
use super::places::Id;
use super::tally::{Digest, hash};
use super::{Fence, Header, Table};
use crate::id::TwinKey;
use crate::image::header;

/// What changed since the last cut, and the cut under way.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Where the last cut was made.
    pub(super) index: u64,
    /// Who changed since. Once each, but for a replay over newer images; then the first is right.
    changed: Vec<Turn>,
    under_way: Option<Cut>,
    digest: Digest,
}

#[derive(Debug)]
struct Cut {
    index: u64,
    fence: Fence,
    /// Who is to be taken, by number.
    twins: Vec<Turn>,
    next: usize,
    /// Taken before their turn.
    early: Vec<(TwinKey, Arc<[u8]>)>,
}

#[derive(Debug)]
struct Turn {
    id: Id,
    /// What the last cut counted for it.
    counted: Option<u64>,
    over: bool,
}

impl Cuts {
    /// As a checkpoint left it.
    pub(super) const fn restored(index: u64, digest: Digest) -> Self {
        Self { index, changed: Vec::new(), under_way: None, digest }
    }

    /// The twin is about to change, for the first time since the last cut was made.
    pub(super) fn about_to_change(&mut self, id: Id, key: &TwinKey, hot: &mut Hot) {
        let counted = hot.image.as_ref().map(|image| image_hash(key, image));
        let mut turn = Turn { id, counted, over: false };
        if let Some(cut) = &mut self.under_way
            && let Ok(at) = cut.twins.binary_search_by_key(&id, |turn| turn.id)
            && !cut.twins[at].over
        {
            let image = hot.pack();
            turn.counted = Some(count(&mut self.digest, &mut cut.twins[at], key, &image));
            cut.early.push((key.clone(), image));
        }
        self.changed.push(turn);
    }
}

impl Table {
    /// Begins a cut as of the last applied entry. Cheap. Take it with [`Table::take_cut`].
    pub fn begin_cut(&mut self) {
        assert!(self.cuts.under_way.is_none(), "one cut at a time");
        let mut twins = core::mem::take(&mut self.cuts.changed);
        twins.sort_by_key(|turn| turn.id);
        twins.dedup_by_key(|turn| turn.id);
        let (index, fence) = (self.index, self.fence);
        self.cuts.under_way = Some(Cut { index, fence, twins, next: 0, early: Vec::new() });
        // A replay over newer images has not yet caught up with them; they count as cut there.
        self.cuts.index = self.cuts.index.max(self.index);
    }

    /// The next images of the cut, about `limit` of them; none when all were taken.
    pub fn take_cut(&mut self, limit: usize) -> Vec<(TwinKey, Arc<[u8]>)> {
        let cut = self.cuts.under_way.as_mut().expect("a cut was begun");
        let mut images = core::mem::take(&mut cut.early);
        while images.len() < limit
            && let Some(turn) = cut.twins.get_mut(cut.next)
        {
            cut.next += 1;
            if !turn.over {
                let (key, place) = self.places.get_mut(turn.id);
                let image = place.pack();
                count(&mut self.cuts.digest, turn, key, &image);
                images.push((key.clone(), image));
            }
        }
        images
    }

    /// Ends a cut that was taken to its end: what it stands for, to be written with its images.
    pub fn end_cut(&mut self) -> Header {
        let cut = self.cuts.under_way.take().expect("a cut was begun");
        let taken = cut.next == cut.twins.len() && cut.early.is_empty();
        assert!(taken, "a cut ends when all was taken");
        Header { index: cut.index, fence: cut.fence, digest: self.cuts.digest }
    }
}

/// Counts a twin's image into the digest; its hash.
fn count(digest: &mut Digest, turn: &mut Turn, key: &TwinKey, image: &[u8]) -> u64 {
    let hash = image_hash(key, image);
    turn.over = true;
    digest.replace(turn.counted, hash);
    hash
}

fn image_hash(key: &TwinKey, image: &[u8]) -> u64 {
    hash(key, &header(image).expect("an image in the table was packed or checked here"))
}
