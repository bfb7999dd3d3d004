//! What readers see.

use super::*;
use crate::table::Versions;

#[test]
fn lists_by_prefix_in_order_in_pages() {
    let mut table = opened(small());
    let names = ["t1/a", "t1/b", "t1/c", "t10/a", "t2/a", "t2/b"];
    apply(&mut table, &names.map(|name| (name, set(1))));
    apply(&mut table, &[("t1/b", deleted())]);
    let list = |prefix, after: Option<&str>, limit| -> Vec<alloc::string::String> {
        let after = after.map(key);
        let keys = table.list(prefix, after.as_ref(), limit).unwrap();
        keys.iter().map(|key| key.as_str().into()).collect()
    };
    assert_eq!(list("", None, 99), ["t1/a", "t1/c", "t10/a", "t2/a", "t2/b"]);
    assert_eq!(list("t1/", None, 99), ["t1/a", "t1/c"]);
    assert_eq!(list("t1/", Some("t1/a"), 99), ["t1/c"]);
    assert_eq!(list("t2/", Some("t1/a"), 1), ["t2/a"]);
    assert!(list("t2/", Some("t2/b"), 1).is_empty());
    assert!(list("t1/", Some("t2/a"), 9).is_empty());
    assert_eq!(table.scan("t1/", None, 99).len(), 3, "tombstones too");
    assert_eq!(table.scan("t1/", Some(&key("t1/a")), 1)[0].0, key("t1/b"));
}

#[test]
fn who_must_be_awake() {
    let mut table = opened(small());
    apply(&mut table, &[("b", connected(1)), ("a", connected(1)), ("c", set(1))]);
    assert_eq!(table.wakeful().collect::<Vec<_>>(), [&key("a"), &key("b")]);
    assert_eq!(table.counts().connected, 2);
    apply(&mut table, &[("b", disconnected(1))]);
    assert_eq!(table.wakeful().collect::<Vec<_>>(), [&key("a")]);
    apply(&mut table, &[("a", deleted())]);
    assert_eq!(table.wakeful().len(), 0);
    assert_eq!((table.counts().alive, table.counts().twins), (2, 3));
}

#[test]
fn events_say_what_came_of_each_change() {
    let mut table = opened(small());
    let events = apply(&mut table, &[("a", set(1)), ("a", connected(1)), ("b", set(1))]).events;
    let versions: Vec<_> = events.iter().map(|event| event.result.unwrap()).collect();
    let section = |twin, section| Versions { twin, section };
    assert_eq!(versions, [section(1, 1), section(1, 0), section(1, 1)]);
    assert_eq!(events[2].key, key("b"));
    assert_eq!(events[2].change, set(1));
}

#[test]
fn what_nobody_spoke_of_is_not_there() {
    let table = opened(small());
    assert!(table.twin(&key("a")).unwrap().is_none());
    assert!(table.view(&key("a")).unwrap().is_none());
    assert!(table.image(&key("a")).is_none());
}

#[test]
fn an_actor_gets_the_twin_as_applied() {
    let mut table = opened(small());
    apply(&mut table, &[("a", set(1)), ("b", set(1)), ("c", set(1)), ("d", set(4))]);
    for name in ["a", "d"] {
        let twin = table.twin(&key(name)).unwrap().unwrap();
        assert_eq!(twin.view(), table.view(&key(name)).unwrap().unwrap());
        assert_eq!(*crate::image::pack(&twin, 2), *table.image(&key(name)).unwrap());
    }
}

/// Safety rule 18: at another opening every session is unknown until something of it is logged.
#[test]
fn sessions_of_an_earlier_opening_are_unknown() {
    let at = |ms, change: Change| Change { at: Time::from_ms(ms), ..change };
    let mut table = opened(small());
    let sessions = [("a", at(20, connected(1))), ("b", at(20, connected(1))), ("c", set(1))];
    apply(&mut table, &sessions);
    let unknown = |table: &Table| {
        ["a", "b", "c"].map(|name| table.view(&key(name)).unwrap().unwrap().presence.unknown)
    };
    assert_eq!(unknown(&table), [false, false, false]);
    let open = Entry::Open { epoch: EPOCH, generation: 2, time: Time::from_ms(30) };
    table.apply(table.index() + 1, open).unwrap();
    assert_eq!(unknown(&table), [true, true, false]);
    let heard = [("a", at(40, connected(2))), ("b", at(40, disconnected(1)))];
    table.apply(table.index() + 1, batch(2, 1, &heard)).unwrap();
    assert_eq!(unknown(&table), [false, false, false]);
}
