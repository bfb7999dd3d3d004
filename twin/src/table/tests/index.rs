//! Indexes are in step with the twins, and what they find is a picture of one place. Twins around changes.

use alloc::format;
use alloc::vec;

use super::*;
use crate::image::unpack;
use crate::index::{IndexPath, Lookup, Scalar, Values};

fn path() -> IndexPath {
    IndexPath { section: Section::Reported, names: ["n".into()].into() }
}

fn indexed() -> Options {
    Options { indexes: [path()].into(), ..small() }
}

fn at(n: i64) -> Lookup {
    Lookup { path: path(), values: Values::among(vec![Scalar::Int(n)]) }
}

fn found(table: &mut Table, n: i64) -> Vec<TwinKey> {
    let id = table.begin_picture_of(&at(n)).unwrap();
    let mut all = Vec::new();
    while let Some(images) = table.take_picture(id, 1).unwrap() {
        all.extend(images.into_iter().map(|(key, _)| key));
    }
    assert!(table.end_picture(id).is_some(), "it was taken to its end");
    all
}

/// What is found, as an index of that table alone and of one made of its images.
fn check(table: &mut Table, n: i64, names: &[&str]) {
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    assert_eq!(table.count(&at(n), usize::MAX), Some(keys.len()));
    assert_eq!(found(table, n), keys);
    let mut unsorted = table.keys_of(&at(n)).unwrap();
    unsorted.sort_unstable();
    assert_eq!(unsorted, keys);
    let (images, header) = (everything(table), cut(table).1);
    let mut restore = Restore::new();
    for (key, image) in images {
        restore.add(key, image).unwrap();
    }
    let mut restored = restore.finish(&header, indexed()).unwrap();
    assert_eq!(found(&mut restored, n), keys);
}

#[test]
fn it_follows_every_change() {
    let mut table = opened(indexed());
    check(&mut table, 1, &[]);
    apply(&mut table, &[("a", set(1)), ("b", set(1)), ("c", set(2)), ("d", connected(1))]);
    check(&mut table, 1, &["a", "b"]);
    apply(&mut table, &[("a", set(2)), ("b", set(1)), ("b", connected(1))]);
    check(&mut table, 1, &["b"]);
    check(&mut table, 2, &["a", "c"]);
    let nothing = Effect::Patched {
        section: Section::Reported,
        patch: Value::object(),
        whole: true,
        observed_at: None,
        by: "device".into(),
    };
    apply(&mut table, &[("a", effect(nothing)), ("b", deleted())]);
    check(&mut table, 1, &[]);
    check(&mut table, 2, &["c"]);
    // What breaks an invariant changes nothing.
    apply(&mut table, &[("c", connected(9)), ("c", set(1))]);
    check(&mut table, 2, &["c"]);
}

#[test]
fn where_there_is_none_nothing_is_counted() {
    let mut table = opened(small());
    apply(&mut table, &[("a", set(1))]);
    assert_eq!(table.count(&at(1), usize::MAX), None);
    assert_eq!(table.begin_picture_of(&at(1)), None);
    assert_eq!(table.keys_of(&at(1)), None);
}

#[test]
fn too_many_are_not_worth_asking_for() {
    let mut table = opened(indexed());
    let names: Vec<_> = (0..1_000).map(|n| format!("twin-{n}")).collect();
    let changes: Vec<_> =
        names.iter().zip(0..).map(|(name, n)| (name.as_str(), set(n % 3))).collect();
    apply(&mut table, &changes);
    assert_eq!(table.count(&at(1), usize::MAX), None, "a third of all");
    let changes: Vec<_> = changes.iter().take(400).map(|(name, _)| (*name, set(7))).collect();
    apply(&mut table, &changes);
    assert_eq!(table.count(&at(1), usize::MAX), Some(200));
    assert_eq!(table.count(&at(1), 199), None);
}

#[test]
fn what_is_found_is_as_of_one_place() {
    let mut table = opened(indexed());
    apply(&mut table, &[("a", set(1)), ("b", set(1)), ("c", set(1)), ("d", set(2))]);
    let id = table.begin_picture_of(&at(1)).unwrap();
    let mut taken = table.take_picture(id, 1).unwrap().unwrap();
    assert_eq!(taken.len(), 1);
    // Those to come change, one that is there joins them, one is new.
    apply(
        &mut table,
        &[("b", set(5)), ("c", deleted()), ("d", set(1)), ("e", set(1)), ("a", set(6))],
    );
    while let Some(images) = table.take_picture(id, 1).unwrap() {
        taken.extend(images);
    }
    assert!(table.end_picture(id).is_some());
    taken.sort();
    let keys: Vec<_> = taken.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, [key("a"), key("b"), key("c")]);
    for (_, image) in &taken {
        let (twin, index) = unpack(image).unwrap();
        assert_eq!(index, 2, "before the changes");
        assert_eq!(twin.view().reported.value, Value::Object([("n".into(), Value::Int(1))].into()));
    }
    assert_eq!(found(&mut table, 1), [key("d"), key("e")]);
}

#[test]
fn twins_around_changes_are_told_where_they_are_kept() {
    let mut table = opened(small());
    let plain = apply(&mut table, &[("a", set(1))]);
    assert!(plain.events[0].states.is_none());
    table.keep_states(true);
    let changes = [("a", set(2)), ("b", set(1)), ("a", set(3)), ("c", set(1)), ("d", set(1))];
    let applied = apply(&mut table, &changes);
    let n = |image: &Arc<[u8]>| {
        let (twin, _) = unpack(image).unwrap();
        twin.view().reported.value.get("n").cloned()
    };
    let around = |at: usize| {
        let states = applied.events[at].states.as_ref().unwrap();
        (states.before.as_ref().map(n), n(&states.after))
    };
    let is = |n: i64| Some(Value::Int(n));
    assert_eq!(around(0), (Some(is(1)), is(2)));
    assert_eq!(around(1), (None, is(1)));
    assert_eq!(around(2), (Some(is(2)), is(3)));
    let [first, second] = [0, 2].map(|at| applied.events[at].states.as_ref().unwrap());
    let (after, before) = (&first.after, second.before.as_ref().unwrap());
    assert!(Arc::ptr_eq(after, before), "packed once");
}

/// What is packed early changes nothing of a checkpoint.
#[test]
fn checkpoints_are_the_same_with_twins_kept() {
    let tables = [false, true].map(|keeps| {
        let mut table = opened(small());
        table.keep_states(keeps);
        let mut written = Vec::new();
        for round in 0..6 {
            let names = ["a", "b", "c", "d", "e"].map(|name| (name, set(round)));
            apply(&mut table, &names[..5 - usize::from(round == 3)]);
            apply(&mut table, &[("e", set(round * 10)), ("e", set(round * 10 + 1))]);
            table.begin_cut();
            let mut images = table.take_cut(2);
            apply(&mut table, &[("a", set(99)), ("d", set(98)), ("f", set(round))]);
            loop {
                let more = table.take_cut(2);
                if more.is_empty() {
                    break;
                }
                images.extend(more);
            }
            images.sort();
            written.push((images, table.end_cut()));
        }
        written
    });
    assert_eq!(tables[0], tables[1]);
}
