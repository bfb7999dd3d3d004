//! Policies with filters: what is known of them decides, and what is decided without a twin is never another thing with it.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::limits::POLICY_FILTER_BYTES_MAX;

/// Policies, the filter of each behind a `?`.
fn filtered(policies: &[&str]) -> Access {
    let parts = |text: &&str| {
        let (policy, filter) = text.split_once(" ? ").unwrap_or((text, ""));
        (policy.to_owned(), filter.to_owned())
    };
    let all: Vec<_> = policies.iter().map(parts).collect();
    let texts: Vec<_> = all.iter().map(|(policy, _)| policy.as_str()).collect();
    let mut access = access(&texts);
    let filters = all.iter().filter(|(_, filter)| !filter.is_empty());
    access.filters = filters.map(|(text, filter)| (policy(text).0, filter.clone())).collect();
    access
}

const FILTERED: &[&str] = &[
    "berlin allow reader twin:* acme/* ? berlin",
    "north allow reader twin:read acme/* ? north",
    "locked deny reader twin:write acme/* ? locked",
    "writes allow writer twin:write acme/* desired.a",
    "writes-b allow writer twin:write acme/* desired.b ? berlin",
    "all allow limits twin:* acme/*",
    "not-secret deny limits twin:read acme/* ? secret",
];

#[test]
fn the_matrix_with_filters() {
    let access = filtered(FILTERED);
    // Principal, action, on; which filters hold, or `?` where no twin is at hand.
    let matrix = [
        ("reader", "twin:read", "acme/a", "?", "depends on the twin, by policy berlin, north"),
        ("reader", "twin:read", "acme/a", "north", "allowed by policy north"),
        ("reader", "twin:read", "acme/a", "north,berlin", "allowed by policy berlin"),
        ("reader", "twin:read", "acme/a", "", "no policy allows it on acme/a"),
        ("reader", "twin:read", "beta/a", "berlin", "no policy allows it on beta/a"),
        ("reader", "twin:read", "beta/a", "?", "no policy allows it on beta/a"),
        ("reader", "twin:write", "acme/a", "?", "depends on the twin, by policy berlin, locked"),
        ("reader", "twin:write", "acme/a", "berlin", "allowed by policy berlin"),
        ("reader", "twin:write", "acme/a", "berlin,locked", "denied by policy locked"),
        ("reader", "twin:read", "acme/*", "?", "no policy allows it on acme/*"),
        ("reader", "twin:read", "acme/*", "north", "allowed by policy north"),
        ("writer", "twin:write", "acme/a#desired.a", "?", "allowed by policy writes"),
        (
            "writer",
            "twin:write",
            "acme/a#desired.a+desired.b",
            "?",
            "depends on the twin, by policy writes-b",
        ),
        (
            "writer",
            "twin:write",
            "acme/a#desired.a+desired.b",
            "berlin",
            "allowed by policy writes, writes-b",
        ),
        (
            "writer",
            "twin:write",
            "acme/a#desired.a+desired.b",
            "",
            "no policy allows it on acme/a desired.b",
        ),
        ("limits", "twin:read", "acme/a", "?", "depends on the twin, by policy not-secret"),
        ("limits", "twin:read", "acme/a", "", "allowed by policy all"),
        ("limits", "twin:read", "acme/a", "secret", "denied by policy not-secret"),
        ("limits", "twin:read", "acme/*", "?", "denied by policy not-secret"),
        ("limits", "twin:watch", "acme/*", "?", "allowed by policy all"),
    ];
    for (principal, action, on, holds, expected) in matrix {
        let fleet = on.ends_with('*');
        let fits = |filter: &str| match holds {
            "?" if fleet => Fit::Untold,
            "?" => Fit::Depends,
            holds if holds.split(',').any(|one| one == filter) => Fit::Holds,
            _ => Fit::HoldsNot,
        };
        let decision = decide_by(&access, principal, action, on, &fits);
        assert_eq!(decision.to_string(), expected, "{principal} {action} {on} {holds}");
        assert_eq!(decision.is_allowed(), expected.starts_with("allowed"));
        if holds == "?" {
            assert_eq!(decide(&access, principal, action, on), decision, "{principal} {on}");
        }
    }
}

#[test]
fn a_filter_that_cannot_be_asked_fails_closed() {
    let access = filtered(FILTERED);
    let said = |principal, action| {
        decide_by(&access, principal, action, "acme/a", &|_| Fit::Untold).to_string()
    };
    assert_eq!(said("reader", "twin:read"), "no policy allows it on acme/a");
    assert_eq!(said("reader", "twin:write"), "denied by policy locked");
    assert_eq!(said("limits", "twin:read"), "denied by policy not-secret");
}

#[test]
fn what_is_shown_of_many_is_bounded_by_the_filters_that_allow_it() {
    let access = filtered(FILTERED);
    let on = On::Fleet { tenant: "acme", prefix: "" };
    let bounds = |principal, action| {
        let Bounds { within, without } = access.bounds(principal, action, on);
        (within.join(","), without.join(","))
    };
    let texts = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(bounds("reader", Action::TwinRead), texts("berlin,north", ""));
    assert_eq!(bounds("reader", Action::TwinWrite), texts("berlin", "locked"));
    assert_eq!(bounds("limits", Action::TwinRead), texts("", "secret"), "one without allows all");
    assert_eq!(bounds("limits", Action::TwinWatch), texts("", ""));
    assert_eq!(bounds(ROOT, Action::TwinRead), texts("", ""));
    let access = filtered(&[
        "a allow reader twin:* acme/* ? berlin",
        "b allow reader twin:read acme/* ? berlin",
        "c deny reader twin:* acme/* ? locked",
        "d deny reader twin:read acme/* ? locked",
    ]);
    let Bounds { within, without } = access.bounds("reader", Action::TwinRead, on);
    assert_eq!((within, without), (vec!["berlin"], vec!["locked"]), "each once");
}

#[test]
fn filters_are_put_with_their_policies_and_go_with_them() {
    let mut access = access(&[]);
    let put = |text: &str, filter: &str| {
        let (name, policy) = policy(text);
        Change::PutFilteredPolicy(Box::new(Filtered { name, policy, filter: filter.into() }))
    };
    let read = "p allow reader twin:read acme/*";
    follow(&mut access, order(1, put(read, "tags.a"))).unwrap();
    assert_eq!(access.filters.get("p").map(String::as_str), Some("tags.a"));
    assert_eq!((&*access.audit[0].what, &*access.audit[0].on), ("policy put", "p"));
    let (name, plain) = policy(read);
    let without = Change::PutPolicy { name, policy: plain };
    refused(&mut access, without.clone(), "remove it before it is put without");
    assert_eq!(access.filters["p"], "tags.a");
    follow(&mut access, order(2, Change::RemovePolicy { name: "p".into() })).unwrap();
    follow(&mut access, order(7, without)).unwrap();
    assert!(access.filters.is_empty());
    follow(&mut access, order(3, put(read, "tags.a"))).unwrap();
    follow(&mut access, order(4, Change::RemovePolicy { name: "p".into() })).unwrap();
    assert!(access.filters.is_empty() && access.policies.is_empty());
    refused(&mut access, put(read, " "), "it takes 1 to");
    refused(&mut access, put(read, &"x".repeat(POLICY_FILTER_BYTES_MAX + 1)), "it takes 1 to");
    refused(&mut access, put("p allow nobody twin:read acme/*", "tags.a"), "no principal");
    for actions in ["*", "cluster:read", "twin:read,tenant:*"] {
        let text = format!("p allow reader {actions} *");
        refused(&mut access, put(&text, "tags.a"), "about the cluster, too");
    }
    follow(&mut access, order(5, put("p allow reader twin:*,job:read *", "tags.a"))).unwrap();
    follow(&mut access, order(6, put("p allow reader * acme/*", "tags.a"))).unwrap();
}

fn any_policy() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["allow", "deny"]);
    let action = prop::sample::select(vec!["twin:write", "twin:*", "*"]);
    let on = prop::sample::select(vec!["*", "acme/*", "acme/a", "acme/b*"]);
    let section = prop::sample::select(vec!["", "desired.a", "desired", "tags"]);
    let filter = prop::sample::select(vec!["", "f", "g", "h"]);
    let who = prop::sample::select(vec!["reader", "writer", "*", "reader,writer"]);
    (effect, who, action, on, section, filter).prop_map(
        |(effect, who, action, on, section, filter)| {
            let section = if action == "twin:write" { section } else { "" };
            let gap = if section.is_empty() { "" } else { " " };
            format!("{effect} {who} {action} {on}{gap}{section} ? {filter}")
        },
    )
}

proptest! {
    /// Whoever knows less never says otherwise: allowed is allowed with any twin, refused is refused with any.
    #[test]
    fn what_is_decided_without_the_twin_stays_so_with_any(
        policies in vec(any_policy(), 1..7),
        on in prop::sample::select(vec!["acme/a", "acme/a#desired.a", "acme/a#desired.a+tags.x"]),
        holds in btree_set(prop::sample::select(vec!["f", "g", "h"]), 0..4),
        untold in prop::sample::select(vec!["", "f", "g"]),
    ) {
        let named: Vec<_> = policies.iter().enumerate().map(|(n, text)| format!("p{n} {text}")).collect();
        let texts: Vec<_> = named.iter().map(String::as_str).collect();
        let access = filtered(&texts);
        let fits = |filter: &str| match filter {
            filter if filter == untold => Fit::Untold,
            filter if holds.contains(filter) => Fit::Holds,
            _ => Fit::HoldsNot,
        };
        let known = decide_by(&access, "reader", "twin:write", on, &fits);
        prop_assert!(!matches!(known, Decision::Depends { .. }), "all is known: {}", known);
        let of = decide_by(&access.of("reader"), "reader", "twin:write", on, &fits);
        prop_assert_eq!(of, known.clone(), "the others' policies decide nothing");
        match decide(&access, "reader", "twin:write", on) {
            Decision::Allowed { .. } => prop_assert!(known.is_allowed(), "{}", known),
            Decision::Refused(_) => prop_assert!(!known.is_allowed(), "{}", known),
            Decision::Depends { policies } => prop_assert!(!policies.is_empty()),
        }
    }
}

#[test]
fn each_filter_is_asked_once() {
    let access = filtered(&[
        "a allow writer twin:write acme/* desired.a ? slow",
        "b allow writer twin:write acme/* desired.b ? slow",
        "c allow writer twin:write acme/* desired ? other",
        "d deny writer twin:write acme/* ? other",
    ]);
    let paths: Vec<_> =
        (0..100).map(|n| format!("desired.a.k{n}").parse::<Path>().unwrap()).collect();
    let asked = std::cell::RefCell::new(Vec::new());
    let fits = |filter: &str| {
        asked.borrow_mut().push(filter.to_owned());
        Fit::Depends
    };
    let on = On::Parts { tenant: "acme", device: "a", paths: &paths };
    let decided = access.decide_by("writer", Action::TwinWrite, on, &fits);
    let named = ["a", "c", "d"].map(str::to_owned).to_vec();
    assert_eq!(decided, Decision::Depends { policies: named });
    assert_eq!(asked.into_inner(), ["other", "slow"]);
}

#[test]
fn no_filter_is_asked_where_one_allows_it_whatever_the_twin_is() {
    let access = filtered(&[
        "a allow reader twin:read acme/* ? site",
        "b allow reader twin:read acme/*",
        "c deny reader twin:write acme/* ? locked",
    ]);
    let nobody = |filter: &str| -> Fit { panic!("{filter} is asked") };
    let decided = decide_by(&access, "reader", "twin:read", "acme/a", &nobody);
    assert_eq!(decided.to_string(), "allowed by policy b");
}
