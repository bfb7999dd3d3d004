//! Changes of types and groups.

use super::*;
use crate::access::{Changed, Fault};
use crate::limits::{SCHEMAS_BYTES_MAX, TYPES_BYTES_MAX, TYPES_MAX};

fn put(fleet: &mut Fleet, name: &str, schemas: &str) -> Result<Changed, Fault> {
    let change = Change::PutType {
        tenant: "acme".into(),
        name: name.into(),
        schemas: schemas.into(),
        note: String::new(),
    };
    fleet.follow(change, (5, "ops"), 2)
}

fn remove(fleet: &mut Fleet, name: &str) -> Result<Changed, Fault> {
    fleet.follow(Change::RemoveType { tenant: "acme".into(), name: name.into() }, (6, "ops"), 2)
}

#[test]
fn versions_only_rise_whatever_becomes_of_a_type() {
    let mut fleet = Fleet::default();
    let version = |fleet: &Fleet| fleet.device_type("acme", "pump").map(|one| one.version);
    assert_eq!(version(&fleet), None);
    assert_eq!(put(&mut fleet, "pump", "{}"), Ok(Changed::Yes));
    assert_eq!(put(&mut fleet, "pump", "{}"), Ok(Changed::No));
    assert_eq!(version(&fleet), Some(1));
    put(&mut fleet, "pump", r#"{"desired":true}"#).unwrap();
    assert_eq!(version(&fleet), Some(2));
    remove(&mut fleet, "pump").unwrap();
    assert_eq!(version(&fleet), Some(3));
    assert!(remove(&mut fleet, "pump").is_err());
    put(&mut fleet, "pump", r#"{"desired":true}"#).unwrap();
    assert_eq!(version(&fleet), Some(4));
    assert_eq!(of(&fleet.types, "acme").map(|(name, _)| name).collect::<Vec<_>>(), ["pump"]);
    assert_eq!(of(&fleet.types, "acm").count(), 0);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut fleet = Fleet::default();
    for name in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
        assert!(put(&mut fleet, name, "{}").is_err(), "{name}");
    }
    assert!(put(&mut fleet, "pump", &"x".repeat(SCHEMAS_BYTES_MAX + 1)).is_err());
    let whole = "x".repeat(SCHEMAS_BYTES_MAX);
    for n in 0..TYPES_BYTES_MAX / SCHEMAS_BYTES_MAX {
        put(&mut fleet, &format!("large-{n}"), &whole).unwrap();
    }
    assert!(matches!(put(&mut fleet, "pump", "{}"), Err(Fault::Full { .. })));
    let mut fleet = Fleet::default();
    for n in 0..TYPES_MAX {
        put(&mut fleet, &format!("small-{n}"), "{}").unwrap();
    }
    assert!(matches!(put(&mut fleet, "pump", "{}"), Err(Fault::Full { .. })));
    put(&mut fleet, "small-1", "true").unwrap();
}

#[test]
fn an_enrolment_brings_as_many_as_it_may_and_counts_each_once() {
    let mut fleet = Fleet::default();
    let named = || ("acme".to_owned(), "batch".to_owned());
    let put = |fleet: &mut Fleet, most: u64, key: u8, new_key: bool| {
        let (tenant, name) = named();
        let (terms, key) = (Terms { most, ..Terms::default() }, Key([key; 32]));
        fleet.follow(Change::PutEnrolment { tenant, name, terms, key, new_key }, (5, "ops"), 2)
    };
    let count = |fleet: &mut Fleet, id: u128| {
        let (tenant, name) = named();
        fleet.follow(Change::CountEnrolled { tenant, name, id }, (6, ""), 2)
    };
    assert!(count(&mut fleet, 1).is_err());
    put(&mut fleet, 2, 7, false).unwrap();
    assert_eq!(count(&mut fleet, 1), Ok(Changed::Yes));
    assert_eq!(count(&mut fleet, 1), Ok(Changed::No));
    assert_eq!(count(&mut fleet, 2), Ok(Changed::Yes));
    assert!(matches!(count(&mut fleet, 3), Err(Fault::Full { most: 2, .. })));
    put(&mut fleet, 3, 8, false).unwrap();
    assert_eq!(count(&mut fleet, 3), Ok(Changed::Yes));
    let one = fleet.enrolment("acme", "batch").unwrap();
    assert_eq!((one.enrolled, one.key.clone()), (3, Some(Key([7; 32]))));
    assert!(!format!("{one:?}").contains("7, 7"), "a key is not shown");
    put(&mut fleet, 3, 9, true).unwrap();
    let one = fleet.enrolment("acme", "batch").unwrap();
    assert_eq!((one.enrolled, one.key.clone()), (3, Some(Key([9; 32]))));
    let (tenant, name) = named();
    let terms = Terms { days: u32::MAX, ..Terms::default() };
    let long = Change::PutEnrolment { tenant, name, terms, key: Key([7; 32]), new_key: false };
    assert!(fleet.follow(long, (5, "ops"), 2).is_err(), "no certificate is good for so long");
}

#[test]
fn what_an_enrolment_names_stays() {
    let mut fleet = Fleet::default();
    put(&mut fleet, "pump", "{}").unwrap();
    let group = |filter: &str| {
        let (tenant, name, filter) = ("acme".into(), "north".into(), filter.into());
        Change::PutGroup { tenant, name, filter, note: String::new() }
    };
    fleet.follow(group(""), (5, "ops"), 2).unwrap();
    let (of_type, groups) = ("pump".to_owned(), vec!["north".to_owned()]);
    let terms = Terms { of_type, groups, ..Terms::default() };
    let (tenant, name) = ("acme".to_owned(), "batch".to_owned());
    let key = Key([7; 32]);
    let enrolment = Change::PutEnrolment { tenant, name, terms, key, new_key: false };
    fleet.follow(enrolment, (5, "ops"), 2).unwrap();
    let named = |name: &str| ("acme".to_owned(), name.to_owned());
    let (tenant, name) = named("pump");
    let no_type = Change::RemoveType { tenant, name };
    let (tenant, name) = named("north");
    let no_group = Change::RemoveGroup { tenant, name };
    assert!(fleet.follow(no_type.clone(), (6, "ops"), 2).is_err());
    assert!(fleet.follow(no_group.clone(), (6, "ops"), 2).is_err());
    let (tenant, name) = named("batch");
    fleet.follow(Change::RemoveEnrolment { tenant, name }, (6, "ops"), 2).unwrap();
    fleet.follow(no_type, (6, "ops"), 2).unwrap();
    fleet.follow(no_group, (6, "ops"), 2).unwrap();
}

#[test]
fn in_its_next_life_no_version_of_a_type_stands_for_two() {
    let mut fleet = Fleet::default();
    put(&mut fleet, "pump", "{}").unwrap();
    let before = fleet.device_type("acme", "pump").unwrap().version;
    fleet.next_life();
    let after = fleet.device_type("acme", "pump").unwrap().version;
    assert!(after > before + 1_000_000);
    put(&mut fleet, "lost", "{}").unwrap();
    assert!(fleet.device_type("acme", "lost").unwrap().version > 1_000_000);
}

#[test]
fn a_group_stays_of_its_kind() {
    let mut fleet = Fleet::default();
    let mut put = |filter: &str, note: &str| {
        let (tenant, name) = ("acme".into(), "north".into());
        let (filter, note) = (filter.into(), note.into());
        fleet.follow(Change::PutGroup { tenant, name, filter, note }, (5, "ops"), 2)
    };
    assert_eq!(put("", ""), Ok(Changed::Yes));
    assert_eq!(put("", ""), Ok(Changed::No));
    assert_eq!(put("", "of the north"), Ok(Changed::Yes));
    assert!(put("tags.site == \"north\"", "").is_err());
    let gone = Change::RemoveGroup { tenant: "acme".into(), name: "north".into() };
    assert_eq!(fleet.follow(gone.clone(), (6, "ops"), 2), Ok(Changed::Yes));
    assert!(fleet.follow(gone, (6, "ops"), 2).is_err());
}

fn arrival(name: &str, version: &str, content: u8) -> Arrival {
    Arrival {
        tenant: "acme".into(),
        name: name.into(),
        version: version.into(),
        size: 3,
        sha256: [content; 32],
        media_type: "application/octet-stream".into(),
        signature: None,
    }
}

fn come(fleet: &mut Fleet, arrival: Arrival) -> Result<Changed, Fault> {
    fleet.follow(Change::PutArtifact(Box::new(arrival)), (7, "ci"), 4)
}

fn said(result: Result<Changed, Fault>) -> String {
    match result {
        Err(Fault::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_artifact_never_changes() {
    let mut fleet = Fleet::default();
    assert_eq!(come(&mut fleet, arrival("fw", "1.2.0", 1)), Ok(Changed::Yes));
    assert_eq!(come(&mut fleet, arrival("fw", "1.2.0", 1)), Ok(Changed::No));
    assert!(said(come(&mut fleet, arrival("fw", "1.2.0", 2))).contains("other content"));
    assert_eq!(come(&mut fleet, arrival("fw", "1.2.1+b5", 2)), Ok(Changed::Yes));
    assert_eq!(fleet.artifact("acme", "fw", "1.2.0").map(|one| one.sha256), Some([1; 32]));
    for name in
        ["", "..", ".", "a/b", "../b", "a..b", ".a", "a\nb", "a b", "a@b", "ä", &"x".repeat(65)]
    {
        assert!(said(come(&mut fleet, arrival(name, "1", 1))).starts_with("name "), "{name}");
        assert!(said(come(&mut fleet, arrival("fw", name, 1))).starts_with("version "), "{name}");
    }
    // Not even from unsigned to signed: whoever signs must hear that it stays unsigned.
    let signature = Some(Signature { key: "release".into(), public: [1; 32], bytes: [7; 64] });
    let signed = Arrival { signature, ..arrival("fw", "1.2.0", 1) };
    assert!(said(come(&mut fleet, signed)).contains("another signature, or none"));
    let odd = Arrival { media_type: "text\r\n/x".into(), ..arrival("fw", "3", 1) };
    assert!(said(come(&mut fleet, odd)).contains("media type"));
}

#[test]
fn where_there_are_keys_what_comes_is_signed_by_one() {
    let mut fleet = Fleet::default();
    let key = |name: &str, public: u8| Change::PutArtifactKey {
        tenant: "acme".into(),
        name: name.into(),
        public: [public; 32],
        note: String::new(),
    };
    let signed = |version: &str, key: &str, public: u8| Arrival {
        signature: Some(Signature { key: key.into(), public: [public; 32], bytes: [9; 64] }),
        ..arrival("fw", version, 1)
    };
    assert!(said(come(&mut fleet, signed("1", "release", 1))).contains("sign it"));
    assert_eq!(fleet.follow(key("release", 1), (1, "ops"), 4), Ok(Changed::Yes));
    assert_eq!(fleet.follow(key("release", 1), (1, "ops"), 4), Ok(Changed::No));
    assert!(said(fleet.follow(key("release", 2), (1, "ops"), 4)).contains("another one"));
    assert!(said(fleet.follow(key("other", 1), (1, "ops"), 4)).contains("already"));
    assert!(said(come(&mut fleet, arrival("fw", "1", 1))).contains("sign it"));
    // Checked by a key of that name which was taken away since.
    assert!(said(come(&mut fleet, signed("1", "release", 2))).contains("sign it"));
    assert_eq!(come(&mut fleet, signed("1", "release", 1)), Ok(Changed::Yes));
    let gone = Change::RemoveArtifactKey { tenant: "acme".into(), name: "release".into() };
    assert_eq!(fleet.follow(gone, (1, "ops"), 4), Ok(Changed::Yes));
    assert_eq!(come(&mut fleet, arrival("fw", "2", 1)), Ok(Changed::Yes));
}

#[test]
fn what_a_job_was_just_made_with_is_not_taken_away() {
    let mut fleet = Fleet::default();
    come(&mut fleet, arrival("fw", "1", 1)).unwrap();
    let (tenant, name, version) = ("acme".to_owned(), "fw".to_owned(), "1".to_owned());
    let sha256 = fleet.artifact("acme", "fw", "1").unwrap().sha256;
    let named = |run, at_ms| Change::NameArtifact {
        tenant: tenant.clone(),
        name: name.clone(),
        version: version.clone(),
        sha256,
        naming: Naming { job: "update".into(), run, at_ms },
    };
    let remove = |named| Change::RemoveArtifact {
        tenant: tenant.clone(),
        name: name.clone(),
        version: version.clone(),
        named,
    };
    let mut other = named(1, 1_000);
    if let Change::NameArtifact { sha256, .. } = &mut other {
        sha256[0] ^= 1;
    }
    assert!(said(fleet.follow(other, (0, ""), 4)).contains("other content"));
    assert_eq!(fleet.artifact("acme", "fw", "1").map(|one| one.named), Some(0));
    fleet.follow(named(1, 1_000), (0, ""), 4).unwrap();
    fleet.follow(named(1, 1_500), (0, ""), 4).unwrap();
    assert!(said(fleet.follow(remove(0), (9, "ops"), 4)).contains("just now"));
    for run in 2..=16 {
        fleet.follow(named(run, 2_000), (0, ""), 4).unwrap();
    }
    assert!(said(fleet.follow(named(17, 2_000), (0, ""), 4)).contains("within a minute"));
    fleet.follow(named(17, 61_500), (0, ""), 4).unwrap();
    assert_eq!(fleet.artifact("acme", "fw", "1").map(|one| one.named), Some(17));
    assert_eq!(fleet.follow(remove(17), (9, "ops"), 4), Ok(Changed::Yes));
    assert!(said(fleet.follow(remove(17), (9, "ops"), 4)).contains("there is no artifact"));
    assert!(said(fleet.follow(named(18, 1), (0, ""), 4)).contains("there is no artifact"));
}
