//! What queries find, however twins lie on shards and however answers are cut into pages.

use std::sync::Arc;

use pollux_query::{
    After, Collector, Filter, OrderBy, Part, Query, QueryError, Row, Subject, Text,
};
use pollux_twin::{Time, TwinKey, Value};
use proptest::prelude::*;

use crate::common::{NOW, image, json};

type Fleet = Vec<(TwinKey, Arc<[u8]>)>;

/// Twins with a small number each, or none.
fn fleet(numbers: &[Option<i8>]) -> Fleet {
    let twin = |(n, number): (usize, &Option<i8>)| {
        let reported = number.map_or("{}".into(), |number| format!("{{\"n\":{number}}}"));
        let tags = format!("{{\"site\":\"{}\"}}", ["a", "b", "c"][n % 3]);
        let key = TwinKey::parse(&format!("acme/{:03}", (n * 37) % 101)).unwrap();
        (key, image(&tags, "{}", &reported))
    };
    numbers.iter().enumerate().map(twin).collect()
}

fn text(filter: &str) -> Text {
    Text { filter: filter.into(), limit: 1_000, ..Default::default() }
}

fn by(expression: &str, descending: bool) -> OrderBy {
    OrderBy { by: expression.into(), descending }
}

/// Asks each shard, then puts the parts together, as if they had come over the wire.
fn ask(fleet: &Fleet, shards: usize, text: &Text) -> Result<Part, QueryError> {
    let query = Arc::new(Query::parse(text)?);
    let mut whole = Collector::new(Arc::clone(&query));
    for shard in 0..shards {
        let mut part = Collector::new(Arc::clone(&query));
        for (key, image) in fleet.iter().skip(shard).step_by(shards) {
            part.take(key.as_str(), &Subject::of(key, image, NOW, Time::default()).unwrap())?;
        }
        whole.add(part.finish())?;
    }
    Ok(whole.finish())
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.key.strip_prefix("acme/").unwrap()).collect()
}

#[test]
fn rows_are_sorted_and_the_missing_come_last() {
    let fleet = fleet(&[Some(5), None, Some(-1), Some(5), Some(9)]);
    let mut text = text("");
    text.select = vec!["reported.n".into(), "tags.site".into()];
    let found = ask(&fleet, 2, &text).unwrap();
    assert_eq!(names(&found.rows), ["000", "010", "037", "047", "074"]);
    assert_eq!(found.rows[2].columns, [None, Some(json("\"b\""))]);
    text.order_by = vec![by("reported.n", true)];
    let found = ask(&fleet, 2, &text).unwrap();
    assert_eq!(names(&found.rows), ["047", "000", "010", "074", "037"]);
    text.order_by = vec![by("reported.n", false), by("tags.site", true)];
    text.limit = 3;
    let found = ask(&fleet, 3, &text).unwrap();
    assert_eq!(names(&found.rows), ["074", "000", "010"]);
    assert_eq!((found.scanned, found.matched, found.behind), (5, 5, 5));
}

#[test]
fn twins_are_counted() {
    let fleet = fleet(&[Some(1), Some(2), Some(1), None, Some(1)]);
    let count = |filter: &str| {
        let part = ask(&fleet, 2, &Text { count: true, ..text(filter) }).unwrap();
        assert_eq!(part.groups.len(), 1);
        part.groups[0].count
    };
    assert_eq!(count(""), 5);
    assert_eq!(count("reported.n == 1"), 3);
    assert_eq!(count("reported.n == 7"), 0);
    let grouped = Text { group_by: vec!["reported.n".into()], ..text("") };
    let groups = ask(&fleet, 2, &grouped).unwrap().groups;
    let groups: Vec<_> = groups.iter().map(|group| (group.by[0].clone(), group.count)).collect();
    assert_eq!(groups, [(Some(json("1")), 3), (Some(json("2")), 1), (None, 1)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |text: Text| Query::parse(&text).unwrap_err().to_string();
    assert!(refused(text("n == 1")).starts_with("filter: line 1, column 1: there is no `n`"));
    assert!(refused(Text { limit: 0, ..text("") }).contains("1 to 10000"));
    assert!(refused(Text { limit: 10_001, ..text("") }).contains("1 to 10000"));
    let select = vec!["id".into()];
    assert!(refused(Text { select: select.clone(), count: true, ..text("") }).contains("no rows"));
    assert!(refused(Text { select: vec!["id".into(); 33], ..text("") }).contains("at most 32"));
    let group_by = vec!["tags.".into()];
    assert!(refused(Text { group_by, ..text("") }).starts_with("group_by: line 1"));
    let after = Some(After { order: vec![None], key: "acme/a".into() });
    assert!(refused(Text { after, ..text("") }).contains("another query"));
}

#[test]
fn too_much_is_refused_and_not_cut() {
    let many: Fleet = (0..10_001)
        .map(|n| (TwinKey::parse(&format!("acme/{n}")).unwrap(), image("{}", "{}", "{}")))
        .collect();
    let grouped = Text { group_by: vec!["id".into()], ..text("") };
    assert!(matches!(ask(&many, 2, &grouped), Err(QueryError::TooMuch(_))));
    let wide = format!("{{\"w\":\"{}\"}}", "w".repeat(60_000));
    let key = |n: usize| TwinKey::parse(&format!("acme/{n}")).unwrap();
    let wide: Fleet = (0..300).map(|n| (key(n), image(&wide, "{}", "{}"))).collect();
    let select = Text { select: vec!["tags".into()], ..text("") };
    assert!(matches!(ask(&wide, 2, &select), Err(QueryError::TooMuch(_))));
    assert!(ask(&wide, 2, &Text { limit: 200, ..select }).is_ok());
}

fn number(value: &Option<Value>) -> Option<i64> {
    match value {
        Some(Value::Int(int)) => Some(*int),
        _ => None,
    }
}

proptest! {
    #[test]
    fn pages_are_the_whole(
        numbers in prop::collection::vec(prop::option::of(-3i8..3), 0..40),
        shards in 1usize..5,
        limit in 1usize..7,
        descending: bool,
    ) {
        let fleet = fleet(&numbers);
        let mut text = text("!has(reported.n) || reported.n != 0");
        text.order_by = vec![by("reported.n", descending)];
        let whole = ask(&fleet, 1, &text).unwrap().rows;
        prop_assert_eq!(whole.len(), numbers.iter().filter(|n| **n != Some(0)).count());
        // By the rules, as a reader would check them.
        for pair in whole.windows(2) {
            let [a, b] = [&pair[0], &pair[1]].map(|row| (number(&row.order[0]), &row.key));
            let fits = match (a.0, b.0) {
                (Some(x), Some(y)) if x == y => a.1 < b.1,
                (Some(x), Some(y)) => (x < y) != descending,
                (Some(_), None) => true,
                (None, None) => a.1 < b.1,
                (None, Some(_)) => false,
            };
            prop_assert!(fits, "{:?}", pair);
        }
        text.limit = limit;
        let mut paged = Vec::new();
        loop {
            let page = ask(&fleet, shards, &text).unwrap();
            let rows = u64::try_from(page.rows.len()).unwrap();
            paged.extend(page.rows);
            if page.behind == rows {
                break;
            }
            let last = paged.last().unwrap();
            text.after = Some(After { order: last.order.clone(), key: last.key.clone() });
        }
        prop_assert_eq!(paged, whole);
    }
}

#[test]
fn who_may_see_some_only_is_told_of_no_others() {
    let fleet = fleet(&[Some(5), None, Some(-1), Some(7)]);
    let found = |bounds: &str| {
        let query = Query::parse(&text("reported.n < 7")).unwrap();
        let bounds = Some(Arc::new(Filter::parse(bounds).unwrap()));
        let mut part = Collector::new(Arc::new(query)).within(bounds);
        for (key, image) in &fleet {
            let subject = Subject::of(key, image, NOW, Time::default()).unwrap();
            part.take(key.as_str(), &subject).unwrap();
        }
        part.so_far()
    };
    assert_eq!(found("true"), (4, 2));
    assert_eq!(found("reported.n > 0"), (2, 1), "looked at, and matched");
    assert_eq!(found("reported.n > 100"), (0, 0));
}
