//! Which twins of a table are unpacked: a bounded number, those that changed last (second chance).

use alloc::collections::VecDeque;

use super::Options;
use super::place::{Hot, Place};
use super::places::{Id, Places};

#[derive(Debug)]
pub(super) struct Cache {
    options: Options,
    /// Every unpacked twin, once.
    round: VecDeque<Id>,
    bytes: usize,
}

impl Cache {
    pub(super) const fn new(options: Options) -> Self {
        Self { options, round: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.round.len()
    }

    /// A twin was unpacked.
    pub(super) fn enter(&mut self, id: Id, hot: &Hot) {
        self.round.push_back(id);
        self.bytes += hot.bytes;
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
    pub(super) fn cool(&mut self, places: &mut Places) {
        while self.round.len() > self.options.hot_twins_max
            || self.bytes > self.options.hot_bytes_max
        {
            let Some(id) = self.round.pop_front() else { return };
            let (_, place) = places.get_mut(id);
            let Place::Hot(hot) = place else { unreachable!("only this packs a twin's place") };
            if core::mem::replace(&mut hot.used, false) {
                self.round.push_back(id);
                continue;
            }
            self.bytes -= hot.bytes;
            *place = Place::Packed(hot.pack());
        }
    }
}
