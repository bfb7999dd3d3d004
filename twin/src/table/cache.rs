//! Which twins of a table are unpacked: a bounded number, those that changed last (second chance).

use alloc::collections::VecDeque;

use super::Options;
use super::place::{Hot, Place};
use super::places::{Id, Places};
use super::tally::Tenants;

#[derive(Debug)]
pub(super) struct Cache {
    options: Options,
    /// Every unpacked twin, once.
    round: VecDeque<Id>,
    bytes: usize,
    /// Bytes of the images of all twins that are packed.
    packed_bytes: usize,
}

impl Cache {
    pub(super) const fn new(options: Options) -> Self {
        Self::over(options, 0)
    }

    /// An empty one over a table whose packed images have so many bytes.
    pub(super) const fn over(options: Options, packed_bytes: usize) -> Self {
        Self { options, round: VecDeque::new(), bytes: 0, packed_bytes }
    }

    /// What all twins weigh, packed and unpacked.
    pub(super) const fn table_bytes(&self) -> usize {
        self.bytes + self.packed_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.round.len()
    }

    /// A twin was unpacked, whose image had the bytes that it weighs now; or it is new, and weighs nothing.
    pub(super) fn enter(&mut self, id: Id, hot: &Hot) {
        self.round.push_back(id);
        self.bytes += hot.bytes;
        self.packed_bytes -= hot.bytes;
    }

    /// A twin changed.
    pub(super) fn changed(&mut self, hot: &mut Hot) {
        let bytes = hot.twin.bytes();
        self.bytes = self.bytes - hot.bytes + bytes;
        hot.bytes = bytes;
        hot.used = true;
    }

    /// Packs twins that did not change for longest, until the rest fits. Between entries only: an
    /// entry's index may not stand for half of its changes of a twin.
    pub(super) fn cool(&mut self, places: &mut Places, tenants: &mut Tenants) {
        while self.round.len() > self.options.hot_twins_max
            || self.bytes > self.options.hot_bytes_max
        {
            let Some(id) = self.round.pop_front() else { return };
            let (key, place) = places.get_mut(id);
            let Place::Hot(hot) = place else { unreachable!("only this packs a twin's place") };
            if core::mem::replace(&mut hot.used, false) {
                self.round.push_back(id);
                continue;
            }
            self.bytes -= hot.bytes;
            let image = hot.pack();
            self.packed_bytes += image.len();
            tenants.note(key, (hot.bytes, hot.flags), (image.len(), hot.flags));
            *place = Place::Packed(image);
        }
    }
}
