//! Schemas of device types: what they let through, what they say, and which may not be.
#![cfg(test)]

use pollux_query::Schemas;
use pollux_twin::types::{DeviceType, Part};
use pollux_twin::{JsonLimits, Value};

fn json(text: &str) -> Value {
    Value::from_json(text, &JsonLimits::default()).unwrap()
}

const PUMP: &str = r##"{
    "desired": {
        "type": "object",
        "properties": {"interval_s": {"type": "integer", "minimum": 1}},
        "additionalProperties": false
    },
    "reported": {
        "properties": {
            "level": {"$ref": "#/$defs/percent"},
            "serial": {"type": "integer", "maximum": 18446744073709551615},
            "parts": {"$ref": "#/$defs/tree"}
        },
        "$defs": {
            "percent": {"type": "number", "minimum": 0, "maximum": 100},
            "tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}
        }
    },
    "telemetry": {"propertyNames": {"pattern": "^[a-z_]+$"}},
    "commands": {"restart": {"properties": {"after_s": {"type": "integer"}}}, "blink": true}
}"##;

/// What is said of a value, if it is not as the type has it.
fn said(schemas: &Schemas, part: Part<'_>, value: &str) -> String {
    assert!(schemas.asks(part));
    schemas
        .check(part, &json(value))
        .map_or_else(|broken| format!("{}: {}", broken.at, broken.wrong), |()| "fits".into())
}

#[test]
fn values_fit_or_it_is_said_where_they_do_not() {
    let pump = Schemas::compile(PUMP).unwrap();
    for (part, value, expected) in [
        (Part::Desired, r#"{"interval_s":30}"#, "fits"),
        (Part::Desired, r#"{"interval_s":0}"#, "/interval_s: value is less than the minimum of 1"),
        (Part::Desired, r#"{"interval_s":"x"}"#, "/interval_s: value is not of type \"integer\""),
        (Part::Desired, r#"{"secret":1}"#, ": additional properties are not allowed"),
        (Part::Reported, r#"{"level":50.5,"serial":18446744073709551615}"#, "fits"),
        (Part::Reported, r#"{"level":101}"#, "/level: value is greater than the maximum of 100"),
        (Part::Reported, r#"{"parts":{"a":{"b":{}}}}"#, "fits"),
        (Part::Reported, r#"{"parts":{"a":{"b":1}}}"#, "/parts/a/b: value is not of type"),
        (Part::Telemetry, r#"{"rssi":-60}"#, "fits"),
        (Part::Telemetry, r#"{"RSSI":-60}"#, ": "),
        (Part::Command("restart"), r#"{"after_s":5}"#, "fits"),
        (Part::Command("restart"), r#"{"after_s":"5"}"#, "/after_s: value is not of type"),
        (Part::Command("blink"), "null", "fits"),
        (Part::Command("fly"), "null", ": the type has no such command; it has blink, restart"),
    ] {
        let said = said(&pump, part, value);
        assert!(said.starts_with(expected), "{part} {value}: {said}");
        assert!(expected != ": " || said != "fits");
    }
    let any = Schemas::compile(r#"{"commands":{"*":false,"blink":true}}"#).unwrap();
    assert_eq!(said(&any, Part::Command("blink"), "1"), "fits");
    assert_ne!(said(&any, Part::Command("fly"), "1"), "fits");
    let empty = Schemas::compile("{}").unwrap();
    let parts = [Part::Desired, Part::Reported, Part::Telemetry, Part::Command("a")];
    assert!(parts.iter().all(|part| !empty.asks(*part)));
}

#[test]
fn what_is_said_repeats_no_value() {
    let schemas = Schemas::compile(
        r#"{"desired":{"properties":{"a":{"const":1},"b":{"enum":["x"]},"c":{"anyOf":[{"type":"null"}]}}}}"#,
    )
    .unwrap();
    for name in ["a", "b", "c"] {
        let said = said(&schemas, Part::Desired, &format!(r#"{{"{name}":"hush"}}"#));
        assert!(said != "fits" && !said.contains("hush"), "{said}");
    }
}

fn refused(text: &str, expected: &str) {
    let said = Schemas::compile(text).expect_err(text).to_string();
    assert!(said.contains(expected), "{text}: {said}");
}

#[test]
fn schemas_that_may_not_be_are_told_apart() {
    refused("nonsense", "the type: read json at byte 0");
    refused("[]", "a type is an object");
    refused(r#"{"wanted":{}}"#, "has no \"wanted\"");
    refused(r#"{"desired":5}"#, "/desired: a schema is an object, true or false");
    refused(r#"{"desired":{"type":"intger"}}"#, "/desired/type");
    refused(r#"{"commands":[]}"#, "/commands: takes an object");
    refused(r#"{"desired":{"properties":{"a":{"pattern":"("}}}}"#, "/desired/properties/a/pattern");
    // Looking elsewhere, even by a name of its own.
    for to in ["https://example.com/schema.json", "file:///etc/passwd", "other.json", "#name"] {
        let text = format!(r#"{{"desired":{{"properties":{{"a":{{"$ref":"{to}"}}}}}}}}"#);
        refused(&text, "/desired/properties/a/$ref: ");
        refused(&text, "nothing is fetched");
    }
    refused(r##"{"desired":{"$ref":"#/$defs/a"}}"##, "there is nothing at #/$defs/a");
    refused(r##"{"desired":{"$dynamicRef":"#a"}}"##, "write \"$ref\"");
    refused(r#"{"desired":{"properties":{"a":{"$id":"https://x.example/"}}}}"#, "may have a name");
    // Nor under a name that nothing leads to by way of.
    refused(
        r##"{"desired":{"$ref":"#/$defs/a/properties/b","$defs":{"a":{"$id":"x","properties":{"b":true}}}}}"##,
        "may have a name",
    );
    let patterns: Vec<_> = (0..40).map(|n| format!(r#""p{n}":{{"pattern":"a"}}"#)).collect();
    let patterns = format!(r#"{{"properties":{{{}}}}}"#, patterns.join(","));
    Schemas::compile(&format!(r#"{{"desired":{patterns}}}"#)).unwrap();
    refused(&format!(r#"{{"desired":{patterns},"reported":{patterns}}}"#), "at most 64 patterns");
    let deep = "{\"not\":".repeat(60) + "true" + &"}".repeat(60);
    refused(&format!(r#"{{"desired":{deep}}}"#), "deep");
    refused(&format!(r#"{{"desired":{{"title":"{}"}}}}"#, "x".repeat(70_000)), "65536");
    let many: Vec<_> = (0..300).map(|n| format!(r#""c{n}":true"#)).collect();
    refused(&format!(r#"{{"commands":{{{}}}}}"#, many.join(",")), "at most 256 commands");
}

#[test]
fn what_would_never_end_is_refused_and_what_ends_is_not() {
    for circle in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}}"##,
        r##"{"properties":{"x":{"if":{"$ref":"#/properties/x"},"then":true}}}"##,
    ] {
        refused(&format!(r#"{{"reported":{circle}}}"#), "for ever");
    }
    let list =
        r##"{"properties":{"next":{"$ref":"#"},"also":{"items":{"$ref":"#"}}},"required":["n"]}"##;
    let list = Schemas::compile(&format!(r#"{{"reported":{list}}}"#)).unwrap();
    assert_eq!(said(&list, Part::Reported, r#"{"n":1,"next":{"n":2},"also":[{"n":3}]}"#), "fits");
    let broken = said(&list, Part::Reported, r#"{"n":1,"next":{"n":2,"next":{}}}"#);
    assert!(broken.starts_with("/next/next: \"n\" is a required property"), "{broken}");
}

#[test]
fn what_would_look_very_often_is_refused() {
    // Each asks the next one twice: 2^40 looks at one value.
    let mut schemas: Vec<_> = (0..40)
        .map(|n| {
            let next = n + 1;
            format!(r##""s{n}":{{"allOf":[{{"$ref":"#/$defs/s{next}"}},{{"$ref":"#/$defs/s{next}"}}]}}"##)
        })
        .collect();
    schemas.push(r#""s40":true"#.to_owned());
    let doubled = format!(r##"{{"$ref":"#/$defs/s0","$defs":{{{}}}}}"##, schemas.join(","));
    refused(&format!(r#"{{"reported":{doubled}}}"#), "more than 1000 times");
    // Each asks the one in it again to know what is left to it.
    let left = r#"{"if":"#.repeat(12)
        + "true"
        + &r#","then":true,"unevaluatedProperties":{"type":"integer"}}"#.repeat(12);
    refused(&format!(r#"{{"reported":{left}}}"#), "more than 1000 times");
    let once = r#"{"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}"#;
    let once = Schemas::compile(&format!(r#"{{"reported":{once}}}"#)).unwrap();
    assert_ne!(said(&once, Part::Reported, r#"{"b":1}"#), "fits");
    // Twice at each level of the value.
    let levels =
        r##"{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"additionalProperties":{"$ref":"#"}}]}"##;
    refused(&format!(r#"{{"reported":{levels}}}"#), "more than 1000 times");
    // Many properties are no trouble: each is of another part.
    let wide: Vec<_> = (0..1500).map(|n| format!(r##""p{n}":{{"$ref":"#/$defs/a"}}"##)).collect();
    let wide =
        format!(r#"{{"properties":{{{}}},"$defs":{{"a":{{"type":"integer"}}}}}}"#, wide.join(","));
    Schemas::compile(&format!(r#"{{"reported":{wide}}}"#)).unwrap();
}
