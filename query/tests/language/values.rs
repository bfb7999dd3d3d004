//! What expressions are worth.

use crate::common::{holds, image, json, value, value_on};

#[track_caller]
fn check(expression: &str, expected: &str) {
    assert_eq!(value(expression), Some(json(expected)), "{expression}");
}

#[track_caller]
fn nothing(expression: &str) {
    assert_eq!(value(expression), None, "{expression}");
    assert!(!holds(&format!("({expression}) == 1")), "{expression}");
}

#[test]
fn names_are_found() {
    check("id", r#""pump-7""#);
    check("tenant", r#""acme""#);
    check("version", "3");
    check("tags.site", r#""Oslo""#);
    check(r#"tags["odd key"]"#, "1");
    check(r#"tags["owner"].name"#, r#""ann""#);
    check("tags.owner", r#"{"name":"ann"}"#);
    check("desired", r#"{"mode":{"fan":"on"},"rpm":900}"#);
    check("reported.big", "18446744073709551615");
    check("reported.min", "-9223372036854775808");
    check("telemetry.load", "0.5");
    check(r#"telemetry["a.b"][0]"#, "1");
    check("presence.connected", "true");
    check("presence.unknown", "false");
    check("presence.node", "2");
    check("presence.since", r#""1970-01-01T00:16:40Z""#);
    check("meta.desired.version", "1");
    check("meta.reported.by", r#""a service""#);
    check("meta.tags.at == timestamp(1000)", "true");
    check("now - presence.seen", r#""3600s""#);
    check("quarantined", "false");
    check("standing", r#""unregistered""#);
}

#[test]
fn what_is_not_there_is_nothing() {
    for expression in [
        "tags.nowhere",
        "tags.site.deeper",
        "reported.rows[9]",
        "reported.rows[-1]",
        "tags.nowhere.deeper == 1",
        "telemetry.nothing",
        "tags.site > 5",
        "tags.site + 1",
        "reported.level + 1",
        "1 / 0",
        "9223372036854775807 + 1",
        "-reported.min",
        "reported.on ? 1 / 0 : 2",
        "reported.rpm.startsWith(\"9\")",
        "!tags.site",
        "tags.nowhere && true",
        "int(tags.site)",
        "reported.rpm % 7",
    ] {
        nothing(expression);
    }
    assert_eq!(value_on(&image("{}", "{}", "{}"), "presence.seen > now"), Some(json("false")));
}

#[test]
fn a_side_that_decides_puts_the_other_aside() {
    for filter in [
        "tags.nowhere == 1 || true",
        "true || tags.nowhere == 1",
        "!(tags.nowhere == 1 && false)",
        "!(false && tags.nowhere == 1)",
    ] {
        assert!(holds(filter), "{filter}");
    }
    for filter in ["tags.nowhere == 1 || false", "!(tags.nowhere == 1)", "tags.nowhere != 1"] {
        assert!(!holds(filter), "{filter}");
    }
}

#[test]
fn presence_of_members_is_asked_with_has() {
    for filter in [
        "has(tags.site)",
        "has(tags.owner.name)",
        "!has(tags.nowhere)",
        "holds(has(tags.site))",
        "!holds(tags.nowhere > 1)",
        "!holds(tags.site)",
        "!holds(!holds(tags.site == 'Oslo'))",
        "!has(tags.nowhere.deeper)",
        "has(telemetry.load)",
        "\"site\" in tags",
        "!(\"nowhere\" in tags)",
        "reported.rows.exists(row, has(row.u))",
    ] {
        assert!(holds(filter), "{filter}");
    }
}

#[test]
fn numbers_compare_by_what_they_are_worth() {
    for filter in [
        "reported.rpm == desired.rpm",
        "reported.rpm == 900u",
        "reported.rpm < 900.5",
        "900.5 > reported.rpm",
        "reported.big > 9223372036854775807",
        "reported.big > 1.8e19",
        "reported.big < 1e300",
        "reported.min < -9.2e18",
        "reported.min >= -9223372036854775808.0",
        "9007199254740993 != 9007199254740992.0",
        "9007199254740993 > 9007199254740992.0",
        "tags.floor * 1.5 == 4.5",
        "7 / 2 == 3",
        "-7 % 4 == -3",
    ] {
        assert!(holds(filter), "{filter}");
    }
}

#[test]
fn kinds_are_never_the_same() {
    for filter in
        ["reported.level == 7", "reported.on == 1", "tags.floor == \"3\"", "null == false"]
    {
        assert!(!holds(filter), "{filter}");
    }
    assert!(holds("tags.owner == tags.owner && tags.sites == [\"a\", \"b\"] && null == null"));
    assert!(holds("tags.sites != [\"a\"] && tags.owner != desired.mode"));
}

#[test]
fn texts_are_asked_about() {
    for filter in [
        "id.startsWith(\"pump\") && id.endsWith(\"-7\") && id.contains(\"mp-\")",
        "id.matches(\"^pump-[0-9]+$\")",
        "!id.matches(\"^x\")",
        "reported.word.size() == 3 && size(tags.sites) == 2 && tags.owner.size() == 1",
        "tags.site.lowerAscii() == \"oslo\" && tags.site.upperAscii() == \"OSLO\"",
        "tags.site + \"/\" + id == \"Oslo/pump-7\"",
        "int(reported.level) == 7 && double(reported.level) == 7.0",
        "int(reported.rpm) == 900 && string(tags.floor) == \"3\"",
        "tags.site in [\"Oslo\", \"Bergen\"] && !(tags.site in [])",
        "timestamp(reported.at) == presence.since",
        "timestamp(reported.at) < now - duration(\"59m\")",
        "duration(\"1d\") > duration(\"23h59m\")",
    ] {
        assert!(holds(filter), "{filter}");
    }
}

#[test]
fn lists_are_gone_through() {
    for filter in [
        "reported.rows.exists(row, row.t > 4)",
        "tags.sites.all(site, site.size() == 1)",
        "reported.none.all(none, false)",
        "!reported.none.exists(none, true)",
        "tags.sites.exists_one(site, site == \"a\")",
        "tags.sites.map(site, site + \"!\") == [\"a!\", \"b!\"]",
        "reported.rows.filter(row, has(row.t) && row.t > 1).size() == 1",
        "tags.exists(name, name == \"site\")",
        "reported.rows.exists(row, tags.sites.exists(site, site == \"b\" && row.t == 5))",
    ] {
        assert!(holds(filter), "{filter}");
    }
    nothing("reported.rows.exists(row, row.u > 4)");
    nothing("reported.rows.all(row, row.t > 0)");
    check("reported.rows.all(row, row.t > 4)", "false");
}

#[test]
fn whether_reported_shows_what_is_desired() {
    check("in_sync", "false");
    let sync = |desired, reported| value_on(&image("{}", desired, reported), "in_sync");
    assert_eq!(sync(r#"{"a":{"b":1}}"#, r#"{"a":{"b":1,"c":2}}"#), Some(json("true")));
    assert_eq!(sync("{}", r#"{"a":1}"#), Some(json("true")));
    assert_eq!(sync(r#"{"a":1}"#, "{}"), Some(json("false")));
}
