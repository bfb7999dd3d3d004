//! Laws of the tree: it merges as plain values do, knows its length, and survives its codec.

use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::codec::{Reader, write_tree, write_value};
use super::{Stamp, Tree, Write};
use crate::patch;
use crate::time::Time;
use crate::value::{Object, Value};

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (0i64..200).prop_map(Value::Int),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        any::<f32>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| Value::Float(f.into())),
        ".{0,3}".prop_map(Value::String),
        "[a-z\"\n]{60,70}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(Value::Object),
        ]
    })
}

fn object() -> impl Strategy<Value = Object> {
    prop::collection::btree_map("[a-c]", value(), 0..4)
}

fn stamp(ms: u64) -> Stamp {
    let observed_at = ms.is_multiple_of(2).then(|| Time::from_ms(ms.wrapping_mul(7)));
    Stamp { at: Time::from_ms(ms), observed_at }
}

proptest! {
    #[test]
    fn merges_as_values_do(patches in prop::collection::vec((object(), any::<bool>()), 1..6)) {
        let mut tree = Tree::default();
        let mut model = Value::object();
        for (ms, (members, whole)) in (1..).zip(patches) {
            let before = tree.to_value();
            let foreseen = tree.measure(&members, Write::whole(whole));
            let done = tree.merge(&members, Write::whole(whole), stamp(ms));
            prop_assert_eq!(foreseen, done);
            if whole {
                model = Value::object();
            }
            patch::merge(&mut model, &Value::Object(members));
            prop_assert_eq!(tree.to_value(), model.clone());
            prop_assert_eq!(tree.json_len(), model.to_json().len());
            prop_assert_eq!(done.changed, before != model);
        }
    }

    #[test]
    fn a_leaf_keeps_its_time_while_it_keeps_its_value(first in object(), second in object()) {
        let mut tree = Tree::default();
        tree.merge(&first, Write::Merge, stamp(1));
        let before = leaves(&tree);
        let old = tree.to_value();
        tree.merge(&second, Write::Merge, stamp(2));
        for (path, stamp_now) in leaves(&tree) {
            let same = at(&old, &path).is_some_and(|value| Some(value) == at(&tree.to_value(), &path));
            let kept = before.iter().any(|leaf| *leaf == (path.clone(), stamp_now));
            prop_assert_eq!(kept, same, "{}", path);
        }
    }

    #[test]
    fn the_codec_gives_back_what_it_took(first in object(), second in object(), base in any::<u64>()) {
        let mut tree = Tree::default();
        tree.merge(&first, Write::Merge, stamp(base / 2));
        tree.merge(&second, Write::Merge, stamp(base));
        let mut bytes = Vec::new();
        write_tree(&mut bytes, &tree, base);
        let mut reader = Reader::new(&bytes);
        let read = reader.tree(base).unwrap();
        reader.finish().unwrap();
        prop_assert_eq!(read.to_value(), tree.to_value());
        prop_assert_eq!(leaves(&read), leaves(&tree));
        prop_assert_eq!(read.json_len(), tree.json_len());
        let mut again = Vec::new();
        write_tree(&mut again, &read, base);
        prop_assert_eq!(bytes, again);
    }

    #[test]
    fn values_survive_the_codec(value in value()) {
        let mut bytes = Vec::new();
        write_value(&mut bytes, &value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.value().unwrap(), value);
        reader.finish().unwrap();
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _value = Reader::new(&bytes).value();
        let _tree = Reader::new(&bytes).tree(1);
    }
}

#[test]
fn deep_bytes_are_refused() {
    for first in [9, 10] {
        // An array of one array of one array …, and objects likewise.
        let level: &[u8] = if first == 9 { &[9, 1] } else { &[10, 1, 1, b'a'] };
        let bytes = level.repeat(100_000);
        assert!(Reader::new(&bytes).value().is_err());
        let tree = [&[0, 1, 1, b'a'], bytes.as_slice()].concat();
        assert!(Reader::new(&tree).tree(0).is_err());
    }
}

fn leaves(tree: &Tree) -> Vec<(String, Stamp)> {
    let mut leaves = Vec::new();
    tree.for_each_leaf(&mut |path, stamp| leaves.push((path.into(), stamp)));
    leaves
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(value, |value, key| value.get(key))
}
