//! What is refused, where, and with which advice.

use pollux_query::{EXPRESSION_BYTES_MAX, Expression, Filter};

#[track_caller]
fn refused(filter: &str, column: usize, advice: &str) {
    let error = Filter::parse(filter).unwrap_err();
    assert_eq!((error.line, error.column), (1, column), "{filter}: {error}");
    assert!(error.message.contains(advice), "{filter}: {error}");
}

#[test]
fn the_place_is_told() {
    refused("", 1, "empty");
    refused("  ", 1, "empty");
    refused("tags.site == ", 14, "it ends where something more should follow");
    refused("tags.site = \"Oslo\"", 11, "");
    refused("(tags.floor > 1", 16, "");
    refused("tags.floor > 1 && site == 2", 19, "there is no `site`");
    refused("\"blå\" == tags.a && site == 2", 20, "there is no `site`");
    refused("presence.conected", 9, "connected, unknown");
    refused("presence", 1, "needs a member");
    refused("meta.tags.when", 10, "version, at, by");
    refused("meta.thing.at", 5, "tags, desired");
    refused("id.name == 1", 3, "no members");
    refused("telemetry == 1", 1, "by name");
    refused("tags.floor > len(tags.sites)", 17, "there is no function `len`");
    refused("size(tags, 2)", 5, "tags.sites.size()");
    refused("contains(id, \"x\")", 9, "id.contains");
    refused("id.matches(\"(\")", 12, "unclosed");
    refused("id.matches(tags.site)", 16, "written out");
    refused("now > timestamp(\"yesterday\")", 16, "cannot be read");
    refused("now > now - duration(\"1 hour\")", 21, "1h30m");
    refused("tags == {\"a\": 1}", 9, "objects cannot be written");
    refused("id == b\"x\"", 7, "no bytes");
}

#[test]
fn what_changes_without_the_twin_is_not_asked_of_its_changes() {
    for (filter, column) in [
        ("presence.seen < now", 17),
        ("tags.a == 1 && presence.unknown", 16),
        ("!quarantined", 2),
        ("tags.a.exists(x, x > now)", 22),
    ] {
        assert!(Filter::parse(filter).is_ok(), "{filter}");
        let error = Filter::parse_for_changes(filter).unwrap_err();
        assert_eq!((error.line, error.column), (1, column), "{filter}: {error}");
        assert!(error.message.contains("changes without a change"), "{error}");
    }
    assert!(Filter::parse_for_changes("presence.connected && !in_sync").is_ok());
    let error = Filter::parse_for_changes("tags.a >").unwrap_err();
    assert_eq!((error.line, error.column), (1, 9), "{error}");
}

#[test]
fn lines_are_counted() {
    let error = Filter::parse("tags.floor > 1\n  && site == 2").unwrap_err();
    assert_eq!((error.line, error.column), (2, 6), "{error}");
}

#[test]
fn a_filter_is_true_or_false() {
    for filter in ["1", "\"x\"", "id", "tags.a + 1", "size(tags)", "now", "[true]", "null"] {
        let error = Filter::parse(filter).unwrap_err();
        assert!(error.message.contains("true or false"), "{error}");
        assert!(Expression::parse(filter).is_ok());
    }
    assert!(Filter::parse("tags.on").is_ok() && Filter::parse("true").is_ok());
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let long = format!("id == \"{}\"", "x".repeat(EXPRESSION_BYTES_MAX));
    refused(&long, 1, "too long");
    let within = |open: &str, close: &str| open.repeat(1_000) + "1" + &close.repeat(1_000);
    for deep in [within("(", ")"), within("[", "]"), within("-(", ")"), within("id[", "]")] {
        assert!(Expression::parse(&deep).is_err());
    }
    assert!(Filter::parse(&vec!["tags.a"; 300].join(" && ")).is_ok(), "it is wide, not deep");
}
