//! What readers of a table see: the applied state, never what an actor decided ahead of it
//! (safety rule 25). Who needs the newest asks the owner's actor.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::place::Place;
use super::{Counts, Fault, Fence, Table, TenantCounts};
use crate::id::TwinKey;
use crate::image::{Flags, ImageError};
use crate::time::Time;
use crate::twin::{Restorable, Twin, View};

impl Table {
    /// The log index of the last entry applied.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The log's fence there.
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// When the newest opening was; what was last seen before it may be gone (safety rule 18).
    pub const fn opened(&self) -> Time {
        self.opened
    }

    /// How many twins there are.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What a tenant has.
    pub fn tenant(&self, tenant: &str) -> TenantCounts {
        self.tenants.of(tenant)
    }

    /// Whether a twin is there, and was not deleted.
    pub fn is_alive(&self, key: &TwinKey) -> bool {
        let found = self.places.find(key.as_str()).map(|id| self.places.get(id).1.flags());
        found.is_some_and(|flags| flags.is_ok_and(Flags::is_alive))
    }

    /// About what all twins take up in memory: images, and what is unpacked by its weight.
    pub const fn bytes(&self) -> usize {
        self.cache.table_bytes()
    }

    /// How many twins are unpacked.
    pub fn hot(&self) -> usize {
        self.cache.len()
    }

    /// The twin, for an actor that begins with it; `None` if nobody ever spoke of it.
    pub fn twin(&self, key: &TwinKey) -> Result<Option<Twin>, Fault> {
        self.read(key, Place::twin)
    }

    /// The twin of a device that nobody spoke of, for an actor that begins with it.
    pub fn absent(&self) -> Twin {
        Twin::absent_above(self.fence.epoch.floor())
    }

    /// What a reader sees of the twin; `None` if nobody ever spoke of it.
    pub fn view(&self, key: &TwinKey) -> Result<Option<View>, Fault> {
        let view = self.read(key, |place| match place {
            Place::Hot(hot) => Ok(hot.twin.view()),
            Place::Packed(_) => place.twin().map(|twin| twin.view()),
        })?;
        Ok(view.map(|mut view| {
            let presence = &mut view.presence;
            presence.unknown = presence.session.is_some() && presence.seen < self.opened;
            view
        }))
    }

    /// The twin's image, to be unpacked where it is in nobody's way.
    pub fn image(&self, key: &TwinKey) -> Option<Arc<[u8]>> {
        self.places.find(key.as_str()).map(|id| self.places.get(id).1.image())
    }

    /// Twins that a new owner must activate at once: with a session or live commands, by key.
    pub fn wakeful(&self) -> impl ExactSizeIterator<Item = &TwinKey> {
        self.wakeful.iter()
    }

    /// Twins whose buried content is to be forgotten by now, the longest due first.
    pub fn overdue(&self, now: Time) -> impl Iterator<Item = &TwinKey> {
        self.buried.iter().take_while(move |(until, _)| *until <= now).map(|(_, key)| key)
    }

    /// Twins that begin with `prefix` and can be brought back at this time, after `after`, in order of keys, at most
    /// `limit`.
    pub fn restorable(
        &self,
        prefix: &str,
        after: Option<&TwinKey>,
        now: Time,
        limit: usize,
    ) -> Result<Vec<(TwinKey, Restorable)>, Fault> {
        let mut keys = BTreeSet::new();
        for (_, key) in self.buried.iter().rev().take_while(|(until, _)| *until > now) {
            if key.as_str().starts_with(prefix) && after.is_none_or(|after| key > after) {
                keys.insert(key);
                if keys.len() > limit {
                    keys.pop_last();
                }
            }
        }
        let twin = |key: &TwinKey| Ok(self.twin(key)?.and_then(|twin| twin.restorable()));
        let known = |key: &TwinKey| Some(twin(key).transpose()?.map(|found| (key.clone(), found)));
        keys.into_iter().filter_map(known).collect()
    }

    /// Keys of living twins that begin with `prefix` (`tenant/` for a tenant's), after `after`, in
    /// order, at most `limit`.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Vec<TwinKey>, Fault> {
        let mut keys = Vec::new();
        for (key, place) in self.range(prefix, after) {
            if keys.len() >= limit {
                break;
            }
            let flags = place.flags().map_err(|error| Fault { key: key.clone(), error })?;
            if flags.is_alive() {
                keys.push(key.clone());
            }
        }
        Ok(keys)
    }

    /// Images of all twins that begin with `prefix`, the deleted ones too, after `after`, in order
    /// of keys, at most `limit`: for queries and exports, which go on from the last key.
    pub fn scan(
        &self,
        prefix: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Vec<(TwinKey, Arc<[u8]>)> {
        let image = |(key, place): &(TwinKey, Place)| (key.clone(), place.image());
        self.range(prefix, after).take(limit).map(image).collect()
    }

    fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a TwinKey>,
    ) -> impl Iterator<Item = &'a (TwinKey, Place)> {
        let from = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        self.places.range(from).take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    fn read<T>(
        &self,
        key: &TwinKey,
        read: impl FnOnce(&Place) -> Result<T, ImageError>,
    ) -> Result<Option<T>, Fault> {
        let place = self.places.find(key.as_str()).map(|id| &self.places.get(id).1);
        let read = place.map(read).transpose();
        read.map_err(|error| Fault { key: key.clone(), error })
    }
}
