//! Laws that hold after any commands in any order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Budget, Goal};
use super::*;
use crate::access::{self, Change};

fn profile() -> impl Strategy<Value = Profile> {
    (0..6_u32, 0..4_u32, 2..=Formats::OURS.newest).prop_map(|(name, authority, newest)| Profile {
        authority,
        formats: Formats { oldest: 1, newest },
        ..Profile::named(format!("n{name}"))
    })
}

fn anyone() -> impl Strategy<Value = Newcomer> {
    (0..5_u8, 1..9_u128, profile(), prop_oneof![4 => Just(0), 1 => Just(90_000)]).prop_map(
        |(token, node_uuid, profile, late)| Newcomer {
            token: [token; 32],
            node_uuid,
            fingerprint: SHARED,
            profile,
            now_ms: NOW + late,
        },
    )
}

fn goal() -> impl Strategy<Value = Goal> {
    (vec(1..7_u64, 0..4), vec(1..7_u64, 0..2))
        .prop_map(|(voters, learners)| Goal { voters, learners })
}

fn command() -> impl Strategy<Value = Command> {
    let hash = || (0..5_u8).prop_map(|n| [n; 32]);
    let node = || 1..7_u64;
    prop_oneof![
        4 => hash().prop_map(|hash| Command::IssueToken { hash, ttl_ms: 60_000, now_ms: NOW }),
        1 => hash().prop_map(|hash| Command::RevokeToken { hash }),
        6 => anyone().prop_map(Command::Join),
        2 => (node(), anyone()).prop_map(|(old, newcomer)| Command::Replace { old, newcomer }),
        3 => (node(), 1..9_u128, 1..5_u64).prop_map(|(node, uuid, starts)| start(node, uuid, starts)),
        2 => (node(), 1..9_u128, profile())
            .prop_map(|(node, node_uuid, profile)| Command::Advertise { node, node_uuid, profile }),
        2 => node().prop_map(|node| Command::Drain { node }),
        1 => node().prop_map(|node| Command::Undrain { node }),
        2 => node().prop_map(|node| Command::Remove { node }),
        4 => (0..6_u32, goal()).prop_map(|(group, goal)| Command::Place { group, goal }),
        3 => (0..6_u32, goal()).prop_map(|(group, goal)| Command::Settle { group, goal }),
        1 => Just(Command::Pause),
        1 => Just(Command::Resume),
        1 => (0..3_u32).prop_map(|n| {
            Command::Budget(Budget { transfers_max: n, ..Budget::default() })
        }),
        1 => (1..4_u32).prop_map(|level| Command::Finish { level }),
        1 => (1..4_u32).prop_map(|generation| {
            Command::TrustRoot { generation, certificate: vec![7] }
        }),
        1 => (1..4_u32).prop_map(|generation| Command::RetireRoot { generation }),
        1 => (1..4_u64).prop_map(|lineage| Command::RaiseLineage { lineage }),
        6 => (0..40_u128, change()).prop_map(|(id, change)| Command::Access(Box::new(order(id, change)))),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let name = || (0..3_u8).prop_map(|n| format!("svc-{n}"));
    let token = |(id, principal, expires_ms): (u64, String, u64)| {
        let token = access::Token {
            principal,
            hash: [7; 32],
            issued_ms: NOW,
            expires_ms,
            note: String::new(),
        };
        Change::IssueToken { id, token }
    };
    let policy = |(name, principal): (String, String)| {
        let all = || vec!["*".to_owned()];
        let on = vec![access::Selector::All];
        let policy = access::Policy {
            principals: vec![principal],
            actions: all(),
            on,
            ..Default::default()
        };
        Change::PutPolicy { name, policy }
    };
    let filtered = |(name, principal): (String, String)| {
        let policy = access::Policy {
            principals: vec![principal],
            actions: vec!["twin:*".to_owned()],
            on: vec![access::Selector::All],
            ..Default::default()
        };
        let filter = "tags.a".to_owned();
        Change::PutFilteredPolicy(Box::new(access::Filtered { name, policy, filter }))
    };
    prop_oneof![
        3 => name().prop_map(|name| Change::PutPrincipal { name, principal: Default::default() }),
        1 => name().prop_map(|name| Change::RemovePrincipal { name }),
        2 => (0..4_u64, name(), NOW..NOW + 2).prop_map(token),
        1 => (0..4_u64).prop_map(|id| Change::RevokeToken { id }),
        2 => (name(), name()).prop_map(policy),
        1 => (name(), name()).prop_map(filtered),
        1 => name().prop_map(|name| Change::RemovePolicy { name }),
        1 => name().prop_map(|on| Change::Begin { what: "node drain".into(), on }),
        1 => name().prop_map(|result| Change::End { result }),
    ]
}

fn order(id: u128, change: Change) -> access::Order {
    let text = String::new;
    access::Order { id, at_ms: NOW, node: 1, who: text(), via: text(), from: text(), change }
}

fn founded() -> Meta {
    let mut meta = Meta::default();
    let profile = Profile::named("one");
    let found =
        Command::Found { cluster: 9, shards: 4, fingerprint: SHARED, node_uuid: 100, profile };
    assert_eq!(meta.apply(found), Answer::Node(1));
    meta
}

/// What must be so at any time.
fn whole(meta: &Meta) {
    let access = &meta.access;
    assert!(access.filters.keys().all(|name| access.policies.contains_key(name)), "of no policy");
    for (group, place) in meta.places() {
        let members: Vec<u64> = place.goal.members().collect();
        let distinct: BTreeSet<u64> = members.iter().copied().collect();
        assert_eq!(members.len(), distinct.len(), "{group}: twice in {members:?}");
        assert!(place.goal.voters.len() % 2 == 1, "{group}: {place:?}");
        for id in &members {
            assert!(meta.nodes[id].is_member(), "{group}: node {id} is gone");
        }
        let out_of_sight = |id: &&u64| !distinct.contains(*id) && !place.leaving.contains(*id);
        assert_eq!(place.acting.iter().find(out_of_sight), None, "{group}: {place:?}");
        let stays = |id| meta.nodes.get(&id).is_some_and(|node| node.is_member());
        assert!(place.keeps_majority(stays), "{group} lost its majority: {place:?}");
    }
    let names: BTreeSet<_> = meta.members().map(|(_, node)| &node.profile.name).collect();
    assert_eq!(names.len(), meta.members().count());
    assert!(meta.active().count() > 0);
    assert!(meta.members().all(|(_, node)| node.profile.formats.hold(meta.level)));
    assert!(meta.nodes.keys().all(|id| *id <= meta.last_node));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_log_gives_one_state_and_ids_and_tokens_are_used_once(log in vec(command(), 0..60)) {
        let mut meta = founded();
        let mut disks: BTreeMap<u64, u128> = BTreeMap::from([(1, 100)]);
        let mut used: BTreeMap<[u8; 32], u64> = BTreeMap::new();
        for command in &log {
            let before = meta.clone();
            let answer = meta.apply(command.clone());
            if let Answer::Refused(refusal) = &answer {
                prop_assert_eq!(&meta, &before);
                prop_assert!(!refusal.to_string().is_empty());
            }
            prop_assert_eq!(meta.version != before.version, meta != before);
            if let (Command::Join(newcomer) | Command::Replace { newcomer, .. }, Answer::Node(id)) =
                (command, &answer)
            {
                let newest = *disks.last_key_value().expect("node 1 is there").0;
                let known = *disks.entry(*id).or_insert(newcomer.node_uuid);
                prop_assert!(*id <= newest + 1);
                prop_assert_eq!(known, newcomer.node_uuid, "an id belongs to one disk");
                if *id > newest {
                    prop_assert!(before.tokens.contains_key(&newcomer.token));
                    let first = used.insert(newcomer.token, *id);
                    prop_assert_eq!(first, None, "a token lets one node in");
                } else {
                    prop_assert_eq!(used.get(&newcomer.token), Some(id));
                }
            }
            if let Command::RevokeToken { hash } = command {
                used.remove(hash);
            }
            whole(&meta);
            let after = meta.clone();
            meta.apply(command.clone());
            prop_assert_eq!(&meta, &after, "once more changes nothing");
        }
        let mut again = founded();
        for command in &log {
            let bytes = command.encode();
            again.apply(Command::decode(&bytes).unwrap());
        }
        prop_assert_eq!(again.encode(), meta.encode());
        prop_assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
    }
}
