//! The table, rule by rule.

mod cache;
mod cut;
mod fence;
mod index;
mod newer_image;
mod picture;
mod poison;
mod read;
mod restore;
mod tenants;

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Applied, Header, Images, Options, Outcome, Restore, Table};
use crate::change::{Change, Effect, Mark, Section};
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::time::Time;
use crate::value::Value;

const EPOCH: Epoch = Epoch { term: 2, leader: 1 };

fn key(name: &str) -> TwinKey {
    TwinKey::parse(name).unwrap()
}

fn effect(effect: Effect) -> Change {
    Change { at: Time::from_ms(7), mark: Mark::None, effect }
}

/// `{"n": n}` into the reported section.
fn set(n: i64) -> Change {
    let patch = Value::Object([("n".into(), Value::Int(n))].into());
    let section = Section::Reported;
    effect(Effect::Patched { section, patch, whole: false, observed_at: None, by: "device".into() })
}

fn connected(session: u64) -> Change {
    effect(Effect::Connected { session, incarnation: 5, node: 1 })
}

fn disconnected(session: u64) -> Change {
    effect(Effect::Disconnected { session })
}

fn deleted() -> Change {
    effect(Effect::Deleted { by: "someone".into() })
}

fn open(epoch: Epoch, generation: u64) -> Entry {
    Entry::Open { epoch, generation, time: Time::from_ms(10) }
}

fn batch(generation: u64, number: u64, changes: &[(&str, Change)]) -> Entry {
    let changes = changes.iter().map(|(name, change)| (key(name), change.clone())).collect();
    Entry::Batch { epoch: EPOCH, generation, number, time: Time::from_ms(10 + number), changes }
}

/// A table that is one opening into its log.
fn opened(options: Options) -> Table {
    let mut table = Table::new(options);
    assert_ne!(table.apply(1, open(EPOCH, 1)).unwrap().outcome, Outcome::Skipped);
    table
}

/// Applies a batch of the first generation next.
fn apply(table: &mut Table, changes: &[(&str, Change)]) -> Applied {
    let entry = batch(1, table.fence().number + 1, changes);
    let applied = table.apply(table.index() + 1, entry).unwrap();
    assert_ne!(applied.outcome, Outcome::Skipped);
    applied
}

fn n(table: &Table, name: &str) -> Option<i64> {
    let view = table.view(&key(name)).unwrap()?;
    match view.reported.value {
        Value::Object(object) => match object.get("n") {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        },
        _ => None,
    }
}

fn cut(table: &mut Table) -> (Images, Header) {
    table.begin_cut();
    let mut all = Vec::new();
    loop {
        let images = table.take_cut(2);
        if images.is_empty() {
            return (all, table.end_cut());
        }
        all.extend(images);
    }
}

fn restore(images: &Images, header: &Header) -> Table {
    let mut restore = Restore::new();
    for (key, image) in images {
        restore.add(key.clone(), Arc::clone(image)).unwrap();
    }
    restore.finish(header, small()).unwrap()
}

/// A cache of two twins.
fn small() -> Options {
    Options { hot_twins_max: 2, ..Options::default() }
}

fn everything(table: &Table) -> Images {
    table.scan("", None, usize::MAX)
}
