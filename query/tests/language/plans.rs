//! What indexes are asked for a filter: never too few twins, whatever the filter and the twins are.

use std::sync::Arc;

use pollux_query::{Collector, Expression, Filter, Part, Query, Subject, Text, choose};
use pollux_twin::change::{Change, Effect, Mark, Section};
use pollux_twin::index::IndexPath;
use pollux_twin::table::{Header, Images, Options, Restore, Table};
use pollux_twin::{Entry, Epoch, Time, TwinKey, Value};
use proptest::prelude::*;

use crate::common::{NOW, json};

const EPOCH: Epoch = Epoch { term: 2, leader: 1 };

fn path(text: &str) -> IndexPath {
    Expression::index_path(text).unwrap()
}

/// What a filter asks of which paths.
fn asked(filter: &str) -> Vec<String> {
    let lookups = Filter::parse(filter).unwrap().lookups();
    lookups.iter().map(|lookup| lookup.path.to_string()).collect()
}

#[test]
fn conditions_with_and_between_are_asked() {
    assert_eq!(asked("tags.a == 1"), ["tags.a"]);
    assert_eq!(asked("1 < tags.a.b && reported.c in ['x', 'y']"), ["tags.a.b", "reported.c"]);
    assert_eq!(asked("tags.a > 1 && (desired.b == 2 && tags.a <= 5)"), ["tags.a", "desired.b"]);
    assert_eq!(asked("tags.a == 1 || tags.a == 2"), ["tags.a"]);
    assert_eq!(asked("tags.on && !tags.off"), ["tags.on", "tags.off"]);
    assert_eq!(asked("tags['odd name'] == -1.5"), ["tags[\"odd name\"]"]);
    for none in [
        "tags.a == 1 || tags.b == 2",
        "tags.a == 1 || tags.a > 2",
        "tags.a != 1",
        "tags.a == reported.a",
        "!(tags.a == 1)",
        "tags.a + 1 == 2",
        "tags == 1",
        "has(tags.a)",
        "id == 'a'",
        "tags.a == timestamp('1970-01-01T00:00:00Z')",
        "tags.a < null",
        "1 in tags.a",
        "tags.list.exists(x, x == 1)",
        "(tags.a == 1) == true",
        "tags.a == 1 ? true : false",
    ] {
        assert_eq!(asked(none), [""; 0], "{none}");
    }
}

#[test]
fn the_lookup_that_finds_fewest_is_taken() {
    let lookups = Filter::parse("tags.a == 1 && tags.b == 2 && tags.c == 3").unwrap().lookups();
    let counts = [("tags.a", 7), ("tags.b", 3), ("tags.c", 5)];
    let chosen = choose(&lookups, |lookup, most| {
        let of =
            |(path, count): &(&str, usize)| (*path == lookup.path.to_string()).then_some(*count);
        counts.iter().find_map(of).filter(|count| *count <= most)
    });
    assert_eq!(
        chosen.map(|(lookup, count)| (lookup.path.to_string(), count)),
        Some(("tags.b".into(), 3))
    );
    assert!(choose(&lookups, |_, _| None).is_none());
}

#[test]
fn a_path_of_an_index_is_a_path_into_a_section() {
    assert_eq!(path(" reported['a'].b ").to_string(), "reported.a.b");
    for wrong in
        ["tags", "id", "presence.node", "tags.a + 1", "tags.a[0]", "telemetry.t", "tags.", ""]
    {
        assert!(Expression::index_path(wrong).is_err(), "{wrong}");
    }
}

/// A shard's table and how it came to be.
struct Shard {
    table: Table,
    index: u64,
    number: u64,
}

impl Shard {
    fn open(options: Options) -> Self {
        let mut table = Table::new(options);
        table.apply(1, Entry::Open { epoch: EPOCH, generation: 1, time: Time::default() }).unwrap();
        Self { table, index: 1, number: 0 }
    }

    fn apply(&mut self, changes: Vec<(TwinKey, Change)>) {
        (self.index, self.number) = (self.index + 1, self.number + 1);
        let (number, time) = (self.number, Time::from_ms(self.number));
        let batch = Entry::Batch { epoch: EPOCH, generation: 1, number, time, changes };
        self.table.apply(self.index, batch).unwrap();
    }

    /// What another replica makes of its images.
    fn copied(&mut self, options: Options) -> Self {
        let id = self.table.begin_picture().unwrap();
        let mut restore = Restore::new();
        while let Some(images) = self.table.take_picture(id, 1_000).unwrap() {
            for (key, image) in images {
                restore.add(key, image).unwrap();
            }
        }
        let header: Header = self.table.end_picture(id).unwrap();
        let table = restore.finish(&header, options).unwrap();
        Self { table, index: self.index, number: self.number }
    }

    /// What a query finds, by an index if there is one for it; and whether there was.
    fn ask(&mut self, filter: &str) -> (Part, bool) {
        let text = Text { filter: filter.into(), limit: 1_000, ..Default::default() };
        let query = Arc::new(Query::parse(&text).unwrap());
        let lookups = query.lookups();
        let chosen = choose(&lookups, |lookup, most| self.table.count(lookup, most));
        let (id, indexed) = match chosen {
            None => (self.table.begin_picture(), false),
            Some((lookup, _)) => (self.table.begin_picture_of(lookup), true),
        };
        let id = id.unwrap();
        let mut collector = Collector::new(query);
        let mut take = |images: Images| {
            for (key, image) in images {
                let subject = Subject::of(&key, &image, NOW, Time::default()).unwrap();
                collector.take(key.as_str(), &subject).unwrap();
            }
        };
        while let Some(images) = self.table.take_picture(id, 400).unwrap() {
            take(images);
        }
        self.table.end_picture(id);
        (collector.finish(), indexed)
    }
}

/// Values that meet each other often, and those at the edges.
fn literal() -> impl Strategy<Value = String> {
    let long = "x".repeat(300);
    let fixed = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "2",
        "-1",
        "0.0",
        "-0.0",
        "1.0",
        "1.5",
        "-1.5",
        "1e300",
        "9007199254740993",
        "9007199254740992.0",
        "9223372036854775807",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "\"blå\"",
        "\"x\"",
    ];
    let mut all: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
    all.push(format!("\"{long}\""));
    all.push(format!("\"{long}y\""));
    prop::sample::select(all)
}

fn change() -> impl Strategy<Value = (usize, Change)> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let patch = (name(), literal(), any::<bool>(), any::<bool>(), any::<bool>());
    let patch = patch.prop_map(|(name, value, nested, tags, whole)| {
        let value = if nested { format!("{{\"d\":{value}}}") } else { value };
        let section = if tags { Section::Tags } else { Section::Reported };
        let (patch, by) = (json(&format!("{{\"{name}\":{value}}}")), String::new());
        Effect::Patched { section, patch, whole, observed_at: None, by }
    });
    let list = Effect::Patched {
        section: Section::Tags,
        patch: json("{\"a\":[1]}"),
        whole: false,
        observed_at: None,
        by: String::new(),
    };
    let effect = prop_oneof![
        9 => patch,
        1 => Just(list),
        1 => Just(Effect::Deleted { by: String::new() }),
        1 => Just(Effect::DesiredAcked { version: 1, refused: None }),
    ];
    (0..12usize, effect).prop_map(|(twin, effect)| {
        (twin, Change { at: Time::from_ms(5), mark: Mark::None, effect })
    })
}

fn filter() -> impl Strategy<Value = String> {
    let place =
        || prop::sample::select(vec!["tags.a", "tags.b", "tags.a.d", "reported.a", "reported.c.d"]);
    let sign = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let compared = (place(), sign, literal(), any::<bool>());
    let condition = prop_oneof![
        6 => compared.prop_map(|(place, sign, value, turned)| match turned {
            true => format!("{value} {sign} {place}"),
            false => format!("{place} {sign} {value}"),
        }),
        2 => (place(), prop::collection::vec(literal(), 0..4))
            .prop_map(|(place, values)| format!("{place} in [{}]", values.join(", "))),
        1 => place().prop_map(|place| format!("!{place}")),
        1 => place().prop_map(str::to_owned),
        1 => place().prop_map(|place| format!("has({place})")),
        1 => place().prop_map(|place| format!("holds({place} == 1 && tags.a == 2)")),
        1 => (place(), literal(), literal())
            .prop_map(|(place, a, b)| format!("({place} == {a} || {place} == {b})")),
    ];
    prop::collection::vec(condition, 1..4).prop_map(|conditions| conditions.join(" && "))
}

fn indexed() -> Options {
    let paths = ["tags.a", "tags.a.d", "reported.a", "reported.c.d"];
    let indexes = paths.into_iter().map(path).collect();
    Options { hot_twins_max: 3, indexes, ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A filter finds the same by index as by looking at all, on a replica that applied everything, and on one
    /// that began with a picture half-way.
    #[test]
    fn an_index_leaves_nothing_out_and_brings_nothing_in(
        first in prop::collection::vec(change(), 0..30),
        then in prop::collection::vec(change(), 0..30),
        filters in prop::collection::vec(filter(), 1..12),
    ) {
        let (mut plain, mut live) = (Shard::open(Options::default()), Shard::open(indexed()));
        let mut replicas = Vec::new();
        for (changes, last) in [(first, false), (then, true)] {
            for some in changes.chunks(4) {
                let keyed = some.iter().map(|(twin, change)| {
                    (TwinKey::parse(&format!("acme/{twin}")).unwrap(), change.clone())
                });
                let changes: Vec<_> = keyed.collect();
                for shard in [&mut plain, &mut live].into_iter().chain(&mut replicas) {
                    shard.apply(changes.clone());
                }
            }
            if !last {
                replicas.push(live.copied(indexed()));
            }
        }
        replicas.push(live.copied(indexed()));
        replicas.push(live);
        for filter in &filters {
            let (expected, by_index) = plain.ask(filter);
            prop_assert!(!by_index);
            for shard in &mut replicas {
                let (found, by_index) = shard.ask(filter);
                prop_assert_eq!(&found.rows, &expected.rows, "{}, by index: {}", filter, by_index);
                prop_assert_eq!(found.matched, expected.matched);
                prop_assert!(found.scanned <= expected.scanned);
            }
        }
    }
}

/// The world of the test above is one in which indexes are asked, and tell few twins.
#[test]
fn an_index_is_asked() {
    let mut shard = Shard::open(indexed());
    let changes = (0..1_000i64).map(|n| {
        let patch = Value::Object([("a".to_owned(), Value::Int(n / 10))].into());
        let (section, by) = (Section::Tags, String::new());
        let effect = Effect::Patched { section, patch, whole: false, observed_at: None, by };
        let key = TwinKey::parse(&format!("acme/{n}")).unwrap();
        (key, Change { at: Time::default(), mark: Mark::None, effect })
    });
    shard.apply(changes.collect());
    for (filter, by_index, scanned, matched) in [
        ("tags.a == 7.0", true, 10, 10),
        ("tags.a in [7, 8] && id.endsWith('5')", true, 20, 2),
        ("tags.a > 7 && tags.a <= 9.5 && tags.a != 8", true, 20, 10),
        ("tags.a < -1", true, 0, 0),
        ("tags.a >= 50", false, 1_000, 500),
        ("tags.b == 1", false, 1_000, 0),
    ] {
        let (part, asked) = shard.ask(filter);
        assert_eq!((asked, part.scanned, part.matched), (by_index, scanned, matched), "{filter}");
    }
}
