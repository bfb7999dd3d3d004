//! Indexes of a table: which twins have which value at some paths of their documents. Derived from the twins
//! alone, in step with each change, so that every replica has the same ones; nothing of them is stored.
//!
//! A twin costs about 8 bytes in each where many share a value, and 100 to 200 where each has its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use super::place::Place;
use super::places::{Id, Places};
use super::restore::RestoreError;
use super::{Options, Table};
use crate::change::Effect;
use crate::id::TwinKey;
use crate::image::{Glance, ImageError};
use crate::index::{IndexPath, Lookup, Scalar, Values};
use crate::limits::{INDEX_FEW, INDEX_PART};
use crate::twin::Twin;
use crate::value::Value;

/// All indexes of a table.
#[derive(Debug, Default)]
pub(super) struct Indexes(Vec<Index>);

/// The twins by what stands at one path.
#[derive(Debug)]
struct Index {
    path: IndexPath,
    twins: BTreeMap<Scalar, Twins>,
}

/// Those that share a value; most often one, or very many.
#[derive(Debug)]
enum Twins {
    One(Id),
    #[expect(clippy::box_collection, reason = "two words each, as there may be very many of one")]
    Many(Box<BTreeSet<Id>>),
}

/// What stood at the paths that a change may touch.
pub(super) struct Before(Vec<(usize, Option<Scalar>)>);

impl Indexes {
    pub(super) fn new(options: &Options) -> Self {
        let index = |path: &IndexPath| Index { path: path.clone(), twins: BTreeMap::new() };
        Self(options.indexes.iter().map(index).collect())
    }

    /// Those of twins that were restored.
    pub(super) fn over(places: &Places, options: &Options) -> Result<Self, RestoreError> {
        let mut all: Vec<Vec<(Scalar, Id)>> = options.indexes.iter().map(|_| Vec::new()).collect();
        if all.is_empty() {
            return Ok(Self::default());
        }
        for (id, (key, place)) in places.all() {
            let mut look = |glance: Result<Glance<'_>, ImageError>| {
                let glance = glance?;
                for (found, path) in all.iter_mut().zip(&*options.indexes) {
                    found.extend(glance.scalar(path)?.map(|scalar| (scalar, id)));
                }
                Ok(())
            };
            let looked = match place {
                Place::Packed(image) => look(Glance::of(image)),
                Place::Hot(_) => look(Glance::of(&place.image())),
            };
            looked.map_err(|error| RestoreError::Image { key: key.clone(), error })?;
        }
        let paths = options.indexes.iter().cloned();
        Ok(Self(paths.zip(all).map(|(path, found)| Index::of(path, found)).collect()))
    }

    /// What stands at the paths that a change may touch, before it is carried out.
    pub(super) fn before(&self, effect: &Effect, twin: &Twin) -> Before {
        let touched = self.0.iter().enumerate().filter(|(_, index)| touches(effect, &index.path));
        Before(touched.map(|(at, index)| (at, twin.scalar(&index.path))).collect())
    }

    /// The change was carried out.
    pub(super) fn changed(&mut self, id: Id, before: Before, twin: &Twin) {
        for (at, before) in before.0 {
            let index = &mut self.0[at];
            let after = twin.scalar(&index.path);
            if before == after {
                continue;
            }
            if let Some(before) = before {
                index.remove(&before, id);
            }
            if let Some(after) = after {
                index.insert(after, id);
            }
        }
    }

    fn of(&self, path: &IndexPath) -> Option<&Index> {
        self.0.iter().find(|index| index.path == *path)
    }

    /// The twins that a lookup is about, by number; `None` if there is no such index.
    pub(super) fn find(&self, lookup: &Lookup) -> Option<Vec<Id>> {
        let index = self.of(&lookup.path)?;
        let mut found = Vec::new();
        for twins in index.matching(&lookup.values) {
            match twins {
                Twins::One(id) => found.push(*id),
                Twins::Many(ids) => found.extend(ids.iter().copied()),
            }
        }
        found.sort_unstable();
        Some(found)
    }
}

impl Index {
    /// From all there is.
    fn of(path: IndexPath, mut found: Vec<(Scalar, Id)>) -> Self {
        found.sort_unstable();
        let mut twins: Vec<(Scalar, Twins)> = Vec::new();
        let mut found = found.into_iter().peekable();
        while let Some((scalar, id)) = found.next() {
            let mut ids = Vec::new();
            while let Some((_, id)) = found.next_if(|(other, _)| *other == scalar) {
                ids.push(id);
            }
            let shared = match ids.is_empty() {
                true => Twins::One(id),
                false => Twins::Many(Box::new(core::iter::once(id).chain(ids).collect())),
            };
            twins.push((scalar, shared));
        }
        Self { path, twins: twins.into_iter().collect() }
    }

    fn insert(&mut self, scalar: Scalar, id: Id) {
        match self.twins.get_mut(&scalar) {
            None => drop(self.twins.insert(scalar, Twins::One(id))),
            Some(Twins::Many(ids)) => drop(ids.insert(id)),
            Some(one) => {
                let Twins::One(other) = *one else { unreachable!("the other kind was matched") };
                *one = Twins::Many(Box::new([other, id].into()));
            }
        }
    }

    fn remove(&mut self, scalar: &Scalar, id: Id) {
        let nobody_left = match self.twins.get_mut(scalar) {
            Some(Twins::Many(ids)) => {
                ids.remove(&id);
                ids.is_empty()
            }
            Some(Twins::One(one)) => *one == id,
            None => false,
        };
        if nobody_left {
            self.twins.remove(scalar);
        }
    }

    fn matching<'i>(&'i self, values: &'i Values) -> impl Iterator<Item = &'i Twins> {
        let (some, range) = match values {
            Values::Among(values) => (&values[..], None),
            Values::Between(low, high) => {
                let range: (Bound<&Scalar>, Bound<&Scalar>) = (low.as_ref(), high.as_ref());
                (&[][..], Some(self.twins.range::<Scalar, _>(range)))
            }
        };
        let some = some.iter().filter_map(|value| self.twins.get(value));
        some.chain(range.into_iter().flatten().map(|(_, twins)| twins))
    }
}

impl Twins {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(ids) => ids.len(),
        }
    }
}

/// Whether a change may leave something else at a path.
fn touches(effect: &Effect, path: &IndexPath) -> bool {
    match effect {
        Effect::Patched { section, patch: Value::Object(patch), whole, .. } => {
            *section == path.section && (*whole || patch.contains_key(&*path.names[0]))
        }
        Effect::Deleted { .. } => true,
        _ => false,
    }
}

impl Table {
    /// How many twins a lookup is about; `None` if there is no such index, or they are so many that looking
    /// at all is better, or more than `most`.
    pub fn count(&self, lookup: &Lookup, most: usize) -> Option<usize> {
        let index = self.indexes.of(&lookup.path)?;
        let twins = usize::try_from(self.counts.twins).unwrap_or(usize::MAX);
        let most = most.min((twins / INDEX_PART).max(INDEX_FEW));
        let mut count = 0;
        for twins in index.matching(&lookup.values) {
            count += twins.len();
            if count > most {
                return None;
            }
        }
        Some(count)
    }

    /// The keys of the twins that a lookup is about, in no order; `None` if there is no such index.
    pub fn keys_of(&self, lookup: &Lookup) -> Option<Vec<TwinKey>> {
        let found = self.indexes.find(lookup)?.into_iter();
        Some(found.map(|id| self.places.get(id).0.clone()).collect())
    }
}
