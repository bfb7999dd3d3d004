//! One log, one image: replaying it from the beginning, from any checkpoint, over images newer than
//! their header, and the actor's own state all give the same bytes, and indexes that fit them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use pollux_twin::TwinKey;
use pollux_twin::image::Glance;
use pollux_twin::index::{Lookup, Scalar, Values};
use pollux_twin::table::{Header, Restore, Table};

use crate::world::judge::{End, Invariant, Seen, Verdict};
use crate::world::replica;
use crate::world::store::{options, restore};
use crate::world::truth::Truth;

/// Checkpoints kept for the end.
const CHECKPOINTS_MAX: usize = 6;

type Images = BTreeMap<TwinKey, Arc<[u8]>>;

#[derive(Default)]
pub(super) struct Replay {
    checkpoints: Vec<(Header, Images)>,
    seen: usize,
}

impl Invariant for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Settled { key, own, table } => match table {
                Some(table) if **table == **own => Ok(()),
                Some(_) => Err(format!("the actor of {key} packs to other bytes than the table")),
                None if truth.past(key).is_none() => Ok(()),
                None => Err(format!("the table has no {key}")),
            },
            Seen::Checkpointed { header, images } => {
                // Every third, so that they are spread over the run.
                self.seen += 1;
                if self.seen % 3 == 1 && self.checkpoints.len() < CHECKPOINTS_MAX {
                    self.checkpoints.push((*header, (*images).clone()));
                }
                Ok(())
            }
            Seen::Restored { table } => same("a restart or a state taken in", table, &truth.table),
            _ => Ok(()),
        }
    }

    fn end(&mut self, truth: &Truth, end: &End<'_>) -> Verdict {
        for (number, table) in (1..).zip(&end.tables) {
            same(&format!("node {number}"), table, &truth.table)?;
        }
        let mut scratch = Table::new(options());
        replica::replay(truth.mutant, &mut scratch, &truth.log, 1);
        same("a replay from the beginning", &scratch, &truth.table)?;
        for (header, images) in &self.checkpoints {
            let mut table = restore(header, images);
            replica::replay(truth.mutant, &mut table, &truth.log, header.index + 1);
            same(&format!("a replay from index {}", header.index), &table, &truth.table)?;
        }
        if let [(header, _), .., (_, newer)] = &self.checkpoints[..] {
            let mut images = Restore::new();
            for (key, image) in newer {
                images.add(key.clone(), Arc::clone(image)).map_err(|error| error.to_string())?;
            }
            let header = Header { digest: images.digest(), ..*header };
            let table = images.finish(&header, options());
            let mut table = table.map_err(|error| error.to_string())?;
            replica::replay(truth.mutant, &mut table, &truth.log, header.index + 1);
            same("a replay over newer images", &table, &truth.table)?;
        }
        Ok(())
    }
}

fn same(what: &str, table: &Table, truth: &Table) -> Verdict {
    let (index, expected) = (table.index(), truth.index());
    if index != expected {
        return Err(format!("{what} ends at index {index}, the log at {expected}"));
    }
    if table.fence() != truth.fence() {
        return Err(format!("{what} has {:?}, the log {:?}", table.fence(), truth.fence()));
    }
    let images = |table: &Table| table.scan("", None, usize::MAX);
    let (own, expected) = (images(table), images(truth));
    if own.len() != expected.len() {
        return Err(format!("{what} has {} twins, the log {}", own.len(), expected.len()));
    }
    match own.iter().zip(&expected).find(|(own, expected)| own != expected) {
        Some(((key, _), _)) => Err(format!("{what} has other bytes for {key} than the log gives")),
        None => indexed(what, table, &own),
    }
}

/// Indexes find those twins by each value that have it, and nobody else.
fn indexed(what: &str, table: &Table, images: &[(TwinKey, Arc<[u8]>)]) -> Verdict {
    for path in options().indexes.iter() {
        let mut by_value: BTreeMap<Scalar, Vec<TwinKey>> = BTreeMap::new();
        for (key, image) in images {
            let value = Glance::of(image).and_then(|glance| glance.scalar(path));
            if let Some(value) = value.map_err(|error| error.to_string())? {
                by_value.entry(value).or_default().push(key.clone());
            }
        }
        let find = |values| {
            let mut keys = table.keys_of(&Lookup { path: path.clone(), values })?;
            keys.sort_unstable();
            Some(keys)
        };
        let all = find(Values::Between(Bound::Unbounded, Bound::Unbounded)).map(|keys| keys.len());
        if all != Some(by_value.values().map(Vec::len).sum()) {
            return Err(format!("{what} has an index of {path} with {all:?} twins in it"));
        }
        for (value, keys) in by_value {
            if find(Values::among(vec![value.clone()])) != Some(keys) {
                return Err(format!("{what} finds other twins at {path} {value:?} than have it"));
            }
        }
    }
    Ok(())
}
