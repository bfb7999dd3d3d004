//! Pictures: all images of a table as of one log index, for a replica that the log no longer
//! reaches. Taken a few at a time, in the order of keys, while changes go on being applied.
//!
//! A picture is a fixed cut (safety rule 21): a twin that changes before its turn is packed first and
//! goes out before the rest, and one that is new is not in it. Several may be under way, beside a cut.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;

use super::place::Hot;
use super::places::{Id, Places};
use super::tally::{Digest, hash};
use super::{Fence, Header, Table};
use crate::id::TwinKey;
use crate::image::header;
use crate::index::Lookup;
use crate::limits::{PICTURE_EARLY_BYTES_MAX, PICTURE_TURN_MAX, PICTURES_MAX};

/// Some images of a table.
pub type Images = Vec<(TwinKey, Arc<[u8]>)>;

/// Names a picture of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId(u64);

/// Why a picture cannot be taken further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFault {
    /// Twins changed faster than their images were taken, beyond what may be held for that.
    Overtaken,
    /// It was ended, or the table is another one.
    Ended,
}

impl fmt::Display for PictureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overtaken => {
                "take picture: twins change faster than their images are taken; begin again"
            }
            Self::Ended => "take picture: it has ended; begin another",
        })
    }
}

impl core::error::Error for PictureFault {}

/// The pictures under way.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    under_way: Vec<Picture>,
    begun: u64,
}

#[derive(Debug)]
struct Picture {
    id: PictureId,
    index: u64,
    fence: Fence,
    /// Twins from this number on are newer than the picture.
    end: Id,
    rest: Rest,
    early: Early,
    digest: Digest,
}

/// Whose turn has not come.
#[derive(Debug)]
enum Rest {
    /// All after this key.
    After(Option<TwinKey>),
    /// Those of these, in order, that were not passed yet.
    Of(Vec<Id>, usize),
    Nobody,
}

/// Images that are taken before their turn.
#[derive(Debug, Default)]
struct Early {
    images: VecDeque<(TwinKey, Arc<[u8]>)>,
    bytes: usize,
    /// Whose turn is to be passed over.
    twins: BTreeSet<Id>,
    overtaken: bool,
}

impl Pictures {
    /// The twin is about to change.
    pub(super) fn about_to_change(&mut self, id: Id, key: &TwinKey, hot: &mut Hot) {
        for picture in &mut self.under_way {
            if picture.awaits(id, key) && picture.early.twins.insert(id) {
                picture.early.push(key, hot.pack());
            }
        }
    }

    fn find(&mut self, id: PictureId) -> Option<&mut Picture> {
        self.under_way.iter_mut().find(|picture| picture.id == id)
    }
}

impl Picture {
    fn awaits(&self, id: Id, key: &TwinKey) -> bool {
        let to_come = match &self.rest {
            Rest::After(Some(after)) => key > after,
            Rest::After(None) => true,
            Rest::Of(ids, passed) => ids[*passed..].binary_search(&id).is_ok(),
            Rest::Nobody => false,
        };
        to_come && id < self.end && !self.early.overtaken
    }

    /// The next of some twins, `passed` of which had their turn.
    fn take_of(
        &mut self,
        places: &Places,
        (ids, mut passed): (Vec<Id>, usize),
        bytes: usize,
        (images, taken): (&mut Images, &mut usize),
    ) {
        for _ in images.len()..PICTURE_TURN_MAX {
            let Some(id) = ids.get(passed).filter(|_| *taken < bytes) else { break };
            passed += 1;
            if !self.early.twins.remove(id) {
                let (key, place) = places.get(*id);
                let image = place.image();
                self.count(key, &image);
                *taken += image.len();
                images.push((key.clone(), image));
            }
        }
        if passed < ids.len() {
            self.rest = Rest::Of(ids, passed);
        }
    }

    fn count(&mut self, key: &TwinKey, image: &[u8]) {
        let header = header(image).expect("an image in the table was packed or checked here");
        self.digest.add(hash(key, &header));
    }
}

impl Early {
    fn push(&mut self, key: &TwinKey, image: Arc<[u8]>) {
        self.bytes += image.len();
        self.images.push_back((key.clone(), image));
        if self.bytes > PICTURE_EARLY_BYTES_MAX {
            *self = Self { overtaken: true, ..Self::default() };
        }
    }

    fn pop(&mut self) -> Option<(TwinKey, Arc<[u8]>)> {
        let image = self.images.pop_front()?;
        self.bytes -= image.1.len();
        Some(image)
    }
}

impl Table {
    /// Begins a picture as of the last applied entry; `None` if too many are under way. Cheap. Take
    /// it with [`Table::take_picture`], and end it in any case.
    pub fn begin_picture(&mut self) -> Option<PictureId> {
        self.begin(Rest::After(None))
    }

    /// As [`Table::begin_picture`], of those twins alone that an index knows for this; `None` also if there
    /// is no such index.
    pub fn begin_picture_of(&mut self, lookup: &Lookup) -> Option<PictureId> {
        let found = self.indexes.find(lookup)?;
        self.begin(Rest::Of(found, 0))
    }

    fn begin(&mut self, rest: Rest) -> Option<PictureId> {
        let pictures = &mut self.pictures;
        if pictures.under_way.len() >= PICTURES_MAX {
            return None;
        }
        pictures.begun += 1;
        let id = PictureId(pictures.begun);
        pictures.under_way.push(Picture {
            id,
            index: self.index,
            fence: self.fence,
            end: self.places.next(),
            rest,
            early: Early::default(),
            digest: Digest::default(),
        });
        Some(id)
    }

    /// The next images of a picture, at least `bytes` of them if there are that many and a turn comes
    /// that far; `None` when all were taken.
    pub fn take_picture(
        &mut self,
        id: PictureId,
        bytes: usize,
    ) -> Result<Option<Images>, PictureFault> {
        let picture = self.pictures.find(id).ok_or(PictureFault::Ended)?;
        if picture.early.overtaken {
            return Err(PictureFault::Overtaken);
        }
        let (mut images, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && images.len() < PICTURE_TURN_MAX
            && let Some((key, image)) = picture.early.pop()
        {
            picture.count(&key, &image);
            taken += image.len();
            images.push((key, image));
        }
        let after = match core::mem::replace(&mut picture.rest, Rest::Nobody) {
            Rest::After(after) => after,
            Rest::Of(ids, passed) => {
                picture.take_of(&self.places, (ids, passed), bytes, (&mut images, &mut taken));
                return Ok(Some(images));
            }
            Rest::Nobody => return Ok((!images.is_empty()).then_some(images)),
        };
        let mut last = after.clone();
        let from = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
        let mut numbers = self.places.numbers(from);
        for _ in images.len()..PICTURE_TURN_MAX {
            if taken >= bytes {
                break;
            }
            // Nobody is left, and that is what `rest` says already.
            let Some(number) = numbers.next() else { return Ok(Some(images)) };
            let (key, place) = self.places.get(number);
            if number < picture.end && !picture.early.twins.remove(&number) {
                let image = place.image();
                picture.count(key, &image);
                taken += image.len();
                images.push((key.clone(), image));
            }
            last = Some(key.clone());
        }
        picture.rest = Rest::After(last);
        Ok(Some(images))
    }

    /// Ends a picture: what it stands for, if it was taken to its end.
    pub fn end_picture(&mut self, id: PictureId) -> Option<Header> {
        let under_way = &mut self.pictures.under_way;
        let at = under_way.iter().position(|picture| picture.id == id)?;
        let Picture { index, fence, digest, rest, early, .. } = under_way.swap_remove(at);
        let taken = matches!(rest, Rest::Nobody) && early.images.is_empty() && !early.overtaken;
        taken.then_some(Header { index, fence, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;

    #[test]
    fn gives_up_when_it_is_overtaken() {
        let mut table = Table::new(Options::default());
        let id = table.begin_picture().unwrap();
        let (key, image) = (TwinKey::parse("a").unwrap(), Arc::from(alloc::vec![0; 1 << 20]));
        for _ in 0..PICTURE_EARLY_BYTES_MAX >> 20 {
            table.pictures.under_way[0].early.push(&key, Arc::clone(&image));
        }
        assert!(table.take_picture(id, 0).is_ok());
        table.pictures.under_way[0].early.push(&key, image);
        assert_eq!(table.take_picture(id, 1), Err(PictureFault::Overtaken));
        assert_eq!(table.end_picture(id), None);
    }
}
