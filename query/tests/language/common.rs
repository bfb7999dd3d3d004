//! A twin to ask things of.

use std::sync::Arc;

use pollux_query::{Expression, Filter, Subject};
use pollux_twin::change::{Change, Effect, Mark, Section};
use pollux_twin::image::pack;
use pollux_twin::{JsonLimits, Time, Twin, TwinKey, Value};

/// When the twin of these tests was last written.
pub(crate) const WRITTEN: Time = Time { ms: 1_000_000 };
/// An hour later.
pub(crate) const NOW: Time = Time { ms: WRITTEN.ms + 3_600_000 };

pub(crate) fn json(text: &str) -> Value {
    Value::from_json(text, &JsonLimits::default()).unwrap()
}

fn apply(twin: &mut Twin, effect: Effect) {
    twin.apply(&Change { at: WRITTEN, mark: Mark::None, effect }).unwrap();
}

fn patch(twin: &mut Twin, section: Section, content: &str) {
    let (patch, by) = (json(content), "a service".into());
    apply(twin, Effect::Patched { section, patch, whole: true, observed_at: None, by });
}

/// The image of a twin with these sections.
pub(crate) fn image(tags: &str, desired: &str, reported: &str) -> Arc<[u8]> {
    let mut twin = Twin::absent();
    apply(&mut twin, Effect::Connected { session: 1, incarnation: 1, node: 2 });
    let telemetry = vec![("load".into(), json("0.5")), ("a.b".into(), json("[1]"))];
    apply(&mut twin, Effect::Telemetry { values: telemetry, observed_at: None });
    patch(&mut twin, Section::Tags, tags);
    patch(&mut twin, Section::Desired, desired);
    patch(&mut twin, Section::Reported, reported);
    pack(&twin, 1)
}

/// The twin of most tests.
pub(crate) fn pump() -> Arc<[u8]> {
    image(
        r#"{"site":"Oslo","floor":3,"sites":["a","b"],"owner":{"name":"ann"},"odd key":1}"#,
        r#"{"rpm":900,"mode":{"fan":"on"}}"#,
        r#"{"rpm":900.0,"mode":{"fan":"off"},"big":18446744073709551615,"min":-9223372036854775808,
            "none":[],"on":true,"rows":[{"t":1},{"t":5},{"u":2}],"word":"blå","level":"7",
            "at":"1970-01-01T00:16:40Z"}"#,
    )
}

pub(crate) fn value_on(image: &[u8], expression: &str) -> Option<Value> {
    let key = TwinKey::parse("acme/pump-7").unwrap();
    let subject = Subject::of(&key, image, NOW, Time::default()).unwrap();
    let parsed = Expression::parse(expression);
    parsed.unwrap_or_else(|error| panic!("{expression}: {error}")).value(&subject).unwrap()
}

/// What an expression is on the pump.
pub(crate) fn value(expression: &str) -> Option<Value> {
    value_on(&pump(), expression)
}

/// Whether a filter holds on the pump.
pub(crate) fn holds(filter: &str) -> bool {
    let (key, image) = (TwinKey::parse("acme/pump-7").unwrap(), pump());
    let subject = Subject::of(&key, &image, NOW, Time::default()).unwrap();
    let parsed = Filter::parse(filter);
    parsed.unwrap_or_else(|error| panic!("{filter}: {error}")).matches(&subject).unwrap()
}
