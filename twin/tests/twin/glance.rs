//! A look into an image shows what its twin does.

use pollux_twin::change::Section;
use pollux_twin::image::{Glance, Packed, unpack};
use pollux_twin::twin::SectionView;
use pollux_twin::{Twin, Value};

/// Holds a look into an image against its unpacked twin.
pub(crate) fn check(image: &[u8]) {
    let (twin, _) = unpack(image).unwrap();
    let (glance, view) = (Glance::of(image).unwrap(), twin.view());
    assert_eq!((glance.version(), glance.presence()), (view.version, view.presence));
    assert_eq!(glance.flags(), pollux_twin::image::Flags::of(&twin));
    // In an order in which each has to find its own place.
    section(&glance, Section::Reported, &view.reported);
    section(&glance, Section::Tags, &view.tags);
    section(&glance, Section::Desired, &view.desired);
    telemetry(&glance, &twin);
}

fn section(glance: &Glance<'_>, which: Section, expected: &SectionView) {
    let section = glance.section(which).unwrap();
    assert_eq!((section.version, section.at), (expected.version, expected.at));
    assert_eq!((section.by, section.content.to_value()), (&*expected.by, expected.value.clone()));
    let Value::Object(members) = &expected.value else { panic!("a section is an object") };
    assert_eq!(section.content.len(), members.len());
    for (key, value) in members {
        found(section.content.find(key).unwrap(), value);
    }
    for absent in ["", "\u{0}", "a\u{0}", "zzzz", "\u{10ffff}"] {
        let there = members.contains_key(absent);
        assert_eq!(section.content.find(absent).is_some(), there);
    }
}

/// Members are found at every depth, by name and in order.
fn found(packed: Packed<'_>, expected: &Value) {
    assert_eq!(&packed.to_value(), expected);
    if let (Packed::Object(object), Value::Object(members)) = (packed, expected) {
        let keys: Vec<_> = object.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, members.keys().collect::<Vec<_>>());
        members.iter().for_each(|(key, value)| found(object.find(key).unwrap(), value));
    }
}

fn telemetry(glance: &Glance<'_>, twin: &Twin) {
    let told = glance.telemetry().map(|(name, value)| (name.to_owned(), value.to_value()));
    let expected = twin.view().telemetry.into_iter().map(|one| (one.name, one.value));
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
