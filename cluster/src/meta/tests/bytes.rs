//! The bytes of today come back, those of the version before are read, and garbage is refused.

use super::super::{
    ARTIFACTS_LEVEL, Addresses, CONTROL_LEVEL, Goal, Labels, Node, NodeState, POLICY_FILTERS_LEVEL,
    Place,
};
use super::*;
use crate::access::{Access, Audited, Change, Filtered, Order, Policy, Principal, Subject, Token};
use crate::fleet::{
    self, Arrival, Artifact, Claimed, DeviceType, Enrolment, Fleet, Group, Naming, Share,
    Signature, SigningKey, TenantLimits, Terms,
};
use crate::limits::{
    ACCESS_TOKENS_MAX, ADDRESS_BYTES_MAX, ARTIFACT_KEYS_MAX, ARTIFACT_NAME_BYTES_MAX,
    ARTIFACT_NAMINGS_MAX, ARTIFACTS_MAX, AUDIT_ENTRIES_MAX, AUDIT_TEXT_BYTES_MAX,
    CLAIM_CA_BYTES_MAX, COUNTED_MAX, DEVICE_GROUPS_MAX, ENROLMENTS_MAX, FILTER_BYTES_MAX,
    FLEET_NAME_BYTES_MAX, ID_BYTES_MAX, MEDIA_TYPE_BYTES_MAX, META_BYTES_MAX, META_NODES_MAX,
    NAME_BYTES_MAX, NOTE_BYTES_MAX, POLICIES_MAX, POLICY_BYTES_MAX, POLICY_FILTER_BYTES_MAX,
    PRINCIPALS_MAX, SUBJECT_BYTES_MAX, SUBJECTS_MAX, TENANTS_MAX, TERMS_BYTES_MAX, TYPES_BYTES_MAX,
    TYPES_MAX,
};

/// A record as a release of version 1 wrote it.
fn written(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const FOUND_1: &str = "\
    0100c100000000000000000000000000000002000000f100000000000000a10000000000000000000000\
    00000000";
const JOIN_1: &str = "\
    0101a2000000000000000000000000000000f10000000000000000000000000000000000000000000000\
    00000000";
const START_1: &str = "\
    01020100000000000000a10000000000000000000000000000000700000000000000f100000000000000\
    00000000";
const PLACE_1: &str = "\
    01020000000000000001000000000000000401000000ebffffff02000000000000000000000000000000\
    0000000000000000000000000000000000000000";
const REMOVE_1: &str = "\
    010302000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000";
const CONFIGURE_1: &str = "\
    0105f2000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000";
const META_1: &str = "\
    010001000000000000000200000000000000030000000000000000000000000000000000000000000000\
    a1000000000000000000000000000000070000000000000000a200000000000000000000000000000000\
    0000000000000000a3000000000000000000000000000000000000000000000001000000000000000000\
    000000000000000000000000000000000000000000000000000000000000000000000000000000000003\
    000000010000000000000002000000000000000100000000000000e8ffffff01000000e8ffffff020000\
    00c10000000000000000000000000000000100000000000000f1000000000000000effffff03000000c8\
    ffffff020000000600000000000000";

#[test]
fn bytes_come_back_and_garbage_is_refused() {
    let command = Command::Place { group: 7, goal: Goal::of([1, 2, 3]) };
    let bytes = command.encode();
    assert_eq!(Command::decode(&bytes).unwrap(), command);
    // Unaligned on purpose: entries lie where the log puts them.
    let shifted = [&[0][..], &bytes].concat();
    assert_eq!(Command::decode(&shifted[1..]).unwrap(), command);
    let records = [bytes.to_vec(), cluster(2).encode().to_vec(), written(META_1), written(FOUND_1)];
    for record in records {
        for end in 0..record.len() {
            let _ = Command::decode(&record[..end]);
            let _ = Meta::decode(&record[..end]);
        }
        for at in 0..record.len() {
            let mut bad = record.clone();
            bad[at] ^= 0xff;
            let _ = Command::decode(&bad);
            let _ = Meta::decode(&bad);
        }
    }
    for version in [0, 6, 255] {
        let later = [&[version][..], &bytes[1..]].concat();
        let fault = Command::decode(&later).unwrap_err().to_string();
        assert!(fault.contains(&format!("version is {version}")), "{fault}");
    }
    let answer = Answer::Refused(Refusal::WentBack { seen: 3 });
    assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
    let meta = cluster(3);
    assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
}

#[test]
fn a_log_of_the_version_before_gives_its_state() {
    let mut meta = Meta::default();
    let mut apply = |hex| meta.apply(Command::decode(&written(hex)).unwrap());
    assert_eq!(apply(FOUND_1), Answer::Node(1));
    assert_eq!(apply(START_1), Answer::Node(1));
    assert_eq!(apply(START_1), refused(Refusal::WentBack { seen: 7 }));
    assert_eq!(apply(REMOVE_1), refused(Refusal::UnknownNode));
    assert!(matches!(apply(PLACE_1), Answer::Refused(Refusal::BadPlace { .. })));
    assert_eq!(apply(CONFIGURE_1), Answer::Done);
    assert_eq!((meta.cluster, meta.lineage, meta.fingerprint), (0xc1, 1, 0xf2));
    assert_eq!((meta.level, meta.map.len(), meta.nodes[&1].uuid), (2, 2, 0xa1));
    assert_eq!(meta.nodes[&1].starts, 7);
    // No node could join in that version: there were no tokens.
    Command::decode(&written(JOIN_1)).unwrap_err();
}

#[test]
fn an_image_of_the_version_before_is_read() {
    let meta = Meta::decode(&written(META_1)).unwrap();
    let node = |uuid, starts, name: &str| Node {
        uuid,
        starts,
        // The level of that program.
        profile: Profile { formats: Formats { oldest: 2, newest: 2 }, ..Profile::named(name) },
        state: NodeState::Active,
    };
    assert_eq!(meta.nodes[&1], node(0xa1, 7, "node-1"));
    assert_eq!(meta.nodes[&2], node(0xa2, 0, "node-2"));
    assert!(!meta.nodes[&3].is_member());
    assert_eq!((meta.cluster, meta.last_node, meta.level), (0xc1, 3, 2));
    assert_eq!(meta.own, Place::settled(Goal::of([1])));
    assert_eq!(meta.map, [Place::settled(Goal::of([1])), Place::settled(Goal::of([2, 1]))]);
    assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
}

/// A cluster as it was before it was raised to the level of access.
fn before_control() -> Meta {
    let mut meta = cluster(3);
    meta.level = CONTROL_LEVEL - 1;
    meta
}

fn put_principal(id: u128) -> Command {
    let change = Change::PutPrincipal { name: "svc".into(), principal: Principal::default() };
    let text = String::new;
    Command::Access(Box::new(Order {
        id,
        at_ms: NOW,
        node: 1,
        who: text(),
        via: text(),
        from: text(),
        change,
    }))
}

#[test]
fn what_older_programs_read_is_written_until_the_level_is_raised() {
    let mut meta = before_control();
    let image = meta.encode();
    assert_eq!(image[0], 2);
    assert_eq!(Meta::decode(&image).unwrap(), meta);
    for command in [Command::Pause, founding(), Command::Join(newcomer(1, 300))] {
        assert_eq!(command.encode()[0], 2, "{command:?}");
    }
    let before = meta.clone();
    match meta.apply(put_principal(1)) {
        Answer::Refused(Refusal::Invalid { why }) => assert!(why.contains("--finish"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(meta, before);
    done(&mut meta, Command::Finish { level: CONTROL_LEVEL });
    done(&mut meta, put_principal(1));
    let image = meta.encode();
    assert_eq!(image[0], 3);
    assert_eq!(Meta::decode(&image).unwrap(), meta);
    let bytes = put_principal(1).encode();
    assert_eq!((bytes[0], Command::decode(&bytes).unwrap()), (3, put_principal(1)));
    // No release of version 2 wrote such a command.
    let earlier = [&[2][..], &bytes[1..]].concat();
    assert!(Command::decode(&earlier).unwrap_err().to_string().contains("version 3"));
}

#[test]
fn what_has_nothing_new_is_written_as_before() {
    let mut meta = cluster(3);
    meta.level = CONTROL_LEVEL;
    done(&mut meta, put_principal(1));
    let group = fleet::Change::PutGroup {
        tenant: "acme".into(),
        name: "north".into(),
        filter: String::new(),
        note: String::new(),
    };
    let order = |id, change: fleet::Change| match put_principal(id) {
        Command::Access(order) => {
            Command::Access(Box::new(Order { change: Change::Fleet(Box::new(change)), ..*order }))
        }
        other => other,
    };
    done(&mut meta, order(2, group));
    let image = meta.encode();
    assert_eq!((image[0], Meta::decode(&image).unwrap()), (3, meta.clone()));
    // Limits of tenants are not known to programs of that version.
    let limits = TenantLimits { devices: Some(9), ..TenantLimits::default() };
    let limit = fleet::Change::LimitTenant { tenant: "acme".into(), limits, note: String::new() };
    let limit = order(3, limit);
    let bytes = limit.encode();
    assert_eq!((bytes[0], Command::decode(&bytes).unwrap()), (4, limit.clone()));
    let before = meta.clone();
    assert!(matches!(meta.apply(limit.clone()), Answer::Refused(Refusal::Invalid { .. })));
    assert_eq!(meta, before);
    done(&mut meta, Command::Finish { level: ARTIFACTS_LEVEL });
    done(&mut meta, limit);
    for (shard, has) in [(0, 4), (1, 3)] {
        let tenant = "acme".to_owned();
        // The limit is as old as its order.
        let share = fleet::Change::ShareDevices { tenant, shard, turn: NOW, has, wants: 5 };
        done(&mut meta, Command::Fleet(Box::new(share)));
    }
    let image = meta.encode();
    assert_eq!((image[0], Meta::decode(&image).unwrap()), (4, meta.clone()));
    let free = Some(9 - 4 - 3).filter(|_| meta.map.len() == 2);
    let expected = Share::Of { own: Some(4), free, limit: 9, turn: NOW + 1 };
    assert_eq!(meta.fleet.tenants["acme"].share(0), expected);
}

#[test]
fn artifacts_wait_for_their_level() {
    let mut meta = cluster(3);
    meta.level = ARTIFACTS_LEVEL - 1;
    meta.fleet.groups.insert("acme/north".into(), Group::default());
    let order = |id, change| {
        let text = String::new;
        let (at_ms, node) = (NOW, 1);
        Command::Access(Box::new(Order {
            id,
            at_ms,
            node,
            who: text(),
            via: text(),
            from: text(),
            change,
        }))
    };
    let group = fleet::Change::RemoveGroup { tenant: "acme".into(), name: "north".into() };
    assert_eq!(order(1, Change::Fleet(Box::new(group))).encode()[0], 3);
    let come = Arrival {
        tenant: "acme".into(),
        name: "fw".into(),
        version: "1".into(),
        media_type: "a/b".into(),
        ..Arrival::default()
    };
    let put = order(2, Change::Fleet(Box::new(fleet::Change::PutArtifact(Box::new(come)))));
    assert_eq!((put.encode()[0], Command::decode(&put.encode()).unwrap()), (4, put.clone()));
    let before = meta.clone();
    match meta.apply(put.clone()) {
        Answer::Refused(Refusal::Invalid { why }) => assert!(why.contains("level 5"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((meta.encode()[0], &Meta::decode(&meta.encode()).unwrap()), (3, &before));
    done(&mut meta, Command::Finish { level: ARTIFACTS_LEVEL });
    done(&mut meta, put);
    assert_eq!((meta.encode()[0], Meta::decode(&meta.encode()).unwrap()), (4, meta));
}

#[test]
fn a_policy_about_newer_actions_waits_for_their_level() {
    let put = |id, action: &str| {
        let policy = Policy {
            principals: vec!["*".into()],
            actions: vec![action.into()],
            on: vec!["*".parse().unwrap()],
            ..Policy::default()
        };
        match put_principal(id) {
            Command::Access(order) => {
                let change = Change::PutPolicy { name: "p".into(), policy };
                Command::Access(Box::new(Order { change, ..*order }))
            }
            other => other,
        }
    };
    let mut meta = cluster(3);
    meta.level = CONTROL_LEVEL;
    for (id, action, known) in [
        (1, "twin:*", true),
        (2, "*", true),
        (3, "artifact:read", false),
        (4, "artifact:*", false),
        (5, "tenant:limit", false),
    ] {
        let refused = match meta.apply(put(id, action)) {
            Answer::Refused(Refusal::Invalid { why }) => why.contains("level 5"),
            _ => false,
        };
        assert_ne!(refused, known, "{action}");
    }
    done(&mut meta, Command::Finish { level: ARTIFACTS_LEVEL });
    done(&mut meta, put(6, "artifact:read"));
}

#[test]
fn a_policy_with_a_filter_waits_for_its_level() {
    let policy = Policy {
        principals: vec!["*".into()],
        actions: vec!["twin:read".into()],
        on: vec!["acme/*".parse().unwrap()],
        ..Policy::default()
    };
    let put = |id, filter: Option<&str>| {
        let (name, policy) = ("p".to_owned(), policy.clone());
        let change = match filter {
            None => Change::PutPolicy { name, policy },
            Some(filter) => {
                let filter = filter.to_owned();
                Change::PutFilteredPolicy(Box::new(Filtered { name, policy, filter }))
            }
        };
        match put_principal(id) {
            Command::Access(order) => Command::Access(Box::new(Order { change, ..*order })),
            other => other,
        }
    };
    let filtered = put(2, Some("tags.a"));
    let bytes = filtered.encode();
    assert_eq!((bytes[0], Command::decode(&bytes).unwrap()), (5, filtered.clone()));
    assert_eq!(put(1, None).encode()[0], 3, "one without has the bytes that it had");
    // No release of version 4 wrote such a command.
    let earlier = [&[4][..], &bytes[1..]].concat();
    assert!(Command::decode(&earlier).unwrap_err().to_string().contains("version 5"));
    let mut meta = cluster(3);
    meta.level = ARTIFACTS_LEVEL;
    done(&mut meta, put(1, None));
    let before = meta.clone();
    match meta.apply(filtered.clone()) {
        Answer::Refused(Refusal::Invalid { why }) => {
            assert!(why.contains("level 6") && why.contains("--finish"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((meta.encode()[0], &Meta::decode(&meta.encode()).unwrap()), (4, &before));
    done(&mut meta, Command::Finish { level: POLICY_FILTERS_LEVEL });
    done(&mut meta, filtered);
    assert_eq!(meta.access.filters["p"], "tags.a");
    assert_eq!((meta.encode()[0], Meta::decode(&meta.encode()).unwrap()), (5, meta.clone()));
    match meta.apply(put(3, None)) {
        Answer::Refused(Refusal::Invalid { why }) => assert!(why.contains("remove it"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(meta.access.filters["p"], "tags.a", "nobody takes it away without a word");
}

#[test]
fn the_largest_cluster_fits_into_an_image() {
    let mut meta = cluster(1);
    let text = |length: usize, n: usize| format!("{n:0length$}");
    for n in 1..=META_NODES_MAX {
        let address = format!("{}:65535", text(ADDRESS_BYTES_MAX - 6, n));
        let addresses = Addresses {
            devices: address.clone(),
            grpc: address.clone(),
            http: address.clone(),
            peers: address,
        };
        let labels = Labels { zone: text(NAME_BYTES_MAX, n), ..Labels::default() };
        let profile = Profile { addresses, labels, ..Profile::named(text(NAME_BYTES_MAX, n)) };
        assert_eq!(profile.fault(), None);
        let node = Node { uuid: n as u128, profile, ..Node::default() };
        meta.nodes.insert(n as u64, node);
    }
    fill(&mut meta.access);
    fill_fleet(&mut meta.fleet);
    let bytes = meta.encode();
    // Shards, tokens and authorities take well under one of the remaining megabytes.
    assert!(bytes.len() < META_BYTES_MAX - 2 * 1024 * 1024, "{} bytes", bytes.len());
    assert_eq!(Meta::decode(&bytes).unwrap(), meta);
}

/// As much as there can be.
fn fill_fleet(there: &mut Fleet) {
    let text = |length: usize, n: usize| format!("{n:0length$}");
    let key = |n| fleet::key(&text(ID_BYTES_MAX, 0), &text(FLEET_NAME_BYTES_MAX, n));
    let (note, by) = (|n| text(NOTE_BYTES_MAX, n), |n| text(NAME_BYTES_MAX, n));
    for n in 0..TYPES_MAX {
        let schemas = Some(text(TYPES_BYTES_MAX / TYPES_MAX, n));
        let one = DeviceType { version: 1, schemas, note: note(n), at_ms: NOW, by: by(n) };
        there.types.insert(key(n), one);
    }
    for n in 0..ENROLMENTS_MAX {
        let terms = Terms { tags: text(TERMS_BYTES_MAX, n), note: note(n), ..Terms::default() };
        let counted = vec![7; COUNTED_MAX];
        let key = fleet::Key([7; 32]);
        let one = Enrolment { terms, counted, key: Some(key), by: by(n), ..Enrolment::default() };
        there.enrolments.insert(fleet::key("acme", &text(FLEET_NAME_BYTES_MAX, n)), one);
    }
    let limits = TenantLimits { devices: Some(u64::MAX), ..TenantLimits::default() };
    for n in 0..TENANTS_MAX {
        let limit =
            fleet::Change::LimitTenant { tenant: text(ID_BYTES_MAX, n), limits, note: note(n) };
        there.follow(limit, (NOW, &by(n)), 4096).unwrap();
    }
    for n in 0..ENROLMENTS_MAX {
        let name = fleet::key("acme", &text(FLEET_NAME_BYTES_MAX, n));
        there.claims.insert(name, Claimed::By(vec![1; CLAIM_CA_BYTES_MAX]));
    }
    for n in 0..ARTIFACTS_MAX {
        let name = |n| text(ARTIFACT_NAME_BYTES_MAX, n);
        let signature = Signature { key: name(n), public: [7; 32], bytes: [7; 64] };
        let naming = Naming { job: name(n), run: 1, at_ms: NOW };
        let one = Artifact {
            media_type: text(MEDIA_TYPE_BYTES_MAX, n),
            signature: Some(signature),
            by: by(n),
            namings: vec![naming; ARTIFACT_NAMINGS_MAX],
            ..Artifact::default()
        };
        let key = fleet::artifact_key(&text(ID_BYTES_MAX, 0), &name(n), &name(n));
        there.artifacts.insert(key, one);
    }
    for n in 0..ARTIFACT_KEYS_MAX {
        let one = SigningKey { note: note(n), by: by(n), ..SigningKey::default() };
        there.artifact_keys.insert(key(n), one);
    }
    for n in 0..DEVICE_GROUPS_MAX {
        let filter = text(FILTER_BYTES_MAX, n);
        there.groups.insert(key(n), Group { filter, note: note(n), at_ms: NOW, by: by(n) });
    }
}

/// As much as there can be.
fn fill(access: &mut Access) {
    let text = |length: usize, n: usize| format!("{n:0length$}");
    for n in 0..PRINCIPALS_MAX {
        let issuer = text(SUBJECT_BYTES_MAX, n);
        let subjects = vec![Subject { subject: issuer.clone(), issuer }; SUBJECTS_MAX];
        let principal = Principal { note: text(NOTE_BYTES_MAX, n), subjects, added_ms: NOW };
        access.principals.insert(text(NAME_BYTES_MAX, n), principal);
    }
    for n in 0..ACCESS_TOKENS_MAX {
        let (principal, note) = (text(NAME_BYTES_MAX, n), text(NOTE_BYTES_MAX, n));
        let token = Token { principal, hash: [7; 32], issued_ms: NOW, expires_ms: NOW + 1, note };
        access.tokens.insert(n as u64, token);
    }
    for n in 0..POLICIES_MAX {
        let policy = Policy { principals: vec![text(POLICY_BYTES_MAX, n)], ..Policy::default() };
        access.policies.insert(text(NAME_BYTES_MAX, n), policy);
        access.filters.insert(text(NAME_BYTES_MAX, n), text(POLICY_FILTER_BYTES_MAX, n));
    }
    for n in 0..AUDIT_ENTRIES_MAX {
        let text = || text(AUDIT_TEXT_BYTES_MAX, n);
        access.audit.push(Audited {
            number: n as u64,
            id: n as u128,
            at_ms: NOW,
            node: 1,
            who: text(),
            via: text(),
            from: text(),
            what: text(),
            on: text(),
            result: text(),
        });
    }
}
