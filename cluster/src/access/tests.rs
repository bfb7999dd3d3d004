//! The matrix of who may do what, texts and what they refuse, and changes with their audit.

mod filters;

use super::*;
use crate::access::rules::{Changed, Fault};
use crate::fleet::{self, Fleet};
use crate::limits::{ACCESS_TOKENS_MAX, AUDIT_ENTRIES_MAX};

fn follow(access: &mut Access, order: Order) -> Result<Changed, Fault> {
    access.follow(order, (&mut Fleet::default(), 1))
}

fn policy(text: &str) -> (String, Policy) {
    // name effect principals actions selectors sections
    let words: Vec<_> = text.split(' ').collect();
    let list = |at: usize| {
        words.get(at).map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect())
    };
    let policy = Policy {
        effect: if words[1] == "deny" { Effect::Deny } else { Effect::Allow },
        principals: list(2),
        actions: list(3),
        on: list(4).iter().map(|text| text.parse().unwrap()).collect(),
        sections: list(5).iter().map(|text| text.parse().unwrap()).collect(),
    };
    (words[0].to_owned(), policy)
}

fn access(policies: &[&str]) -> Access {
    let mut access = Access::default();
    for name in ["admin", "reader", "writer", "pumps", "limits"] {
        access.principals.insert(name.into(), Principal::default());
    }
    access.policies = policies.iter().map(|text| policy(text)).collect();
    access
}

/// What is done to: empty for the cluster, `tenant/device`, `tenant/prefix*`, and parts of a twin behind a `#`.
fn decide(access: &Access, principal: &str, action: &str, on: &str) -> Decision {
    asked(action, on, |action, on| access.decide(principal, action, on))
}

/// The same, by what is said of filters.
fn decide_by(
    access: &Access,
    principal: &str,
    action: &str,
    on: &str,
    fits: &dyn Fn(&str) -> Fit,
) -> Decision {
    asked(action, on, |action, on| access.decide_by(principal, action, on, fits))
}

fn asked(action: &str, on: &str, decide: impl Fn(Action, On<'_>) -> Decision) -> Decision {
    let action = Action::of(action).unwrap();
    let (on, parts) = on.split_once('#').unwrap_or((on, ""));
    let paths: Vec<Path> =
        parts.split('+').filter(|p| !p.is_empty()).map(|p| p.parse().unwrap()).collect();
    match on.split_once('/') {
        None => decide(action, On::Cluster),
        Some((tenant, name)) => match name.strip_suffix('*') {
            Some(prefix) => decide(action, On::Fleet { tenant, prefix }),
            None if paths.is_empty() => decide(action, On::Twin { tenant, device: name }),
            None => decide(action, On::Parts { tenant, device: name, paths: &paths }),
        },
    }
}

const POLICIES: &[&str] = &[
    "admins allow admin * *",
    "readers allow reader,writer twin:read,twin:query,twin:watch acme/*",
    "writers allow writer twin:*,command:send acme/*",
    "one-site allow pumps twin:read,twin:write,twin:watch acme/pump-*,beta/pump-7",
    "limits allow limits twin:write acme/* desired.limits,tags.seen",
    "never deny * twin:delete acme/safe-*",
    "no-secrets deny writer twin:write acme/* desired.secret",
    "not-this deny reader twin:read acme/pump-9",
];

#[test]
fn the_matrix_of_principals_actions_and_selectors() {
    let access = access(POLICIES);
    let matrix = [
        ("admin", "cluster:admin", "", "allowed by policy admins"),
        ("admin", "access:admin", "", "allowed by policy admins"),
        ("admin", "twin:delete", "any/thing", "allowed by policy admins"),
        ("admin", "twin:delete", "acme/safe-1", "denied by policy never"),
        ("admin", "twin:query", "acme/*", "allowed by policy admins"),
        ("root", "twin:delete", "acme/safe-1", "allowed to whoever has a node's own secret"),
        ("nobody", "twin:read", "acme/pump-1", "there is no such principal"),
        ("*", "twin:read", "acme/pump-1", "there is no such principal"),
        ("reader", "twin:read", "acme/pump-1", "allowed by policy readers"),
        ("reader", "twin:read", "beta/pump-1", "no policy allows it on beta/pump-1"),
        ("reader", "twin:read", "acme/pump-9", "denied by policy not-this"),
        ("reader", "twin:read", "acme/*", "denied by policy not-this"),
        ("reader", "twin:read", "acme/valve-*", "allowed by policy readers"),
        ("reader", "twin:query", "acme/*", "allowed by policy readers"),
        ("reader", "twin:watch", "acme/pump-9", "allowed by policy readers"),
        (
            "reader",
            "twin:write",
            "acme/pump-1#desired",
            "no policy allows it on acme/pump-1 desired",
        ),
        ("reader", "cluster:read", "", "no policy allows it on the cluster"),
        ("writer", "twin:write", "acme/pump-1#desired.a+tags", "allowed by policy writers"),
        ("writer", "twin:write", "acme/pump-1#desired.secret.key", "denied by policy no-secrets"),
        ("writer", "twin:write", "acme/pump-1#tags+desired.secret", "denied by policy no-secrets"),
        ("writer", "twin:write", "acme/pump-1#desired", "denied by policy no-secrets"),
        ("writer", "twin:delete", "acme/pump-1", "allowed by policy writers"),
        ("writer", "twin:delete", "acme/safe-1", "denied by policy never"),
        ("writer", "command:send", "acme/pump-1", "allowed by policy writers"),
        ("writer", "device:manage", "acme/pump-1", "no policy allows it on acme/pump-1"),
        ("writer", "twin:read", "acme*/x", "no policy allows it on acme*/x"),
        ("pumps", "twin:read", "acme/pump-1", "allowed by policy one-site"),
        ("pumps", "twin:read", "beta/pump-7", "allowed by policy one-site"),
        ("pumps", "twin:read", "beta/pump-70", "no policy allows it on beta/pump-70"),
        ("pumps", "twin:watch", "acme/pump-1*", "allowed by policy one-site"),
        ("pumps", "twin:watch", "acme/pump*", "no policy allows it on acme/pump*"),
        ("pumps", "twin:watch", "beta/pump-7*", "no policy allows it on beta/pump-7*"),
        ("pumps", "twin:query", "acme/*", "no policy allows it on acme/*"),
        ("limits", "twin:write", "acme/p#desired.limits.max", "allowed by policy limits"),
        ("limits", "twin:write", "acme/p#desired.limits+tags.seen", "allowed by policy limits"),
        (
            "limits",
            "twin:write",
            "acme/p#desired.limits+desired.x",
            "no policy allows it on acme/p desired.x",
        ),
        (
            "limits",
            "twin:write",
            "acme/p#desired.limitsx",
            "no policy allows it on acme/p desired.limitsx",
        ),
        ("limits", "twin:write", "acme/p#desired", "no policy allows it on acme/p desired"),
        ("limits", "twin:write", "acme/p", "no policy allows it on acme/p"),
    ];
    for (principal, action, on, expected) in matrix {
        let decision = decide(&access, principal, action, on);
        assert_eq!(decision.to_string(), expected, "{principal} {action} {on}");
        assert_eq!(decision.is_allowed(), expected.starts_with("allowed"));
    }
}

#[test]
fn nothing_is_allowed_until_a_policy_says_so_and_a_tenant_is_not_the_cluster() {
    let bare = access(&[]);
    for action in Action::ALL {
        assert!(!decide(&bare, "admin", action.name(), "").is_allowed());
        assert!(!decide(&bare, "admin", action.name(), "acme/pump").is_allowed());
    }
    let tenant = access(&["all-of-acme allow admin * acme/*"]);
    assert!(decide(&tenant, "admin", "twin:delete", "acme/pump").is_allowed());
    for action in Action::ALL.iter().filter(|action| action.is_of_cluster()) {
        assert!(!decide(&tenant, "admin", action.name(), "").is_allowed(), "{action:?}");
    }
    let denied = access(&["all allow admin * *", "not-acme deny admin * acme/*"]);
    assert!(decide(&denied, "admin", "cluster:admin", "").is_allowed(), "of a tenant only");
    assert!(!decide(&denied, "admin", "twin:read", "acme/pump").is_allowed());
}

#[test]
fn texts_come_back_and_nonsense_is_refused() {
    for text in ["*", "acme/*", "acme/pump-*", "acme/pump-7"] {
        assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
    }
    for text in ["", "acme", "/x", "acme/", "ac me/*", "a#/x", "**", "acme/a/b"] {
        assert!(text.parse::<Selector>().is_err(), "{text}");
    }
    for text in ["desired", "desired.limits.max", "tags.site"] {
        assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
    }
    for text in ["", "reported", "desired.", "desired..a", ".desired"] {
        assert!(text.parse::<Path>().is_err(), "{text}");
    }
    for pattern in ["*", "twin:*", "access:admin"] {
        assert!(Action::is_pattern(pattern), "{pattern}");
    }
    for pattern in ["", "twin", "twin:r*", "tw*", "twin:fly", "nothing:*"] {
        assert!(!Action::is_pattern(pattern), "{pattern}");
    }
}

fn order(id: u128, change: Change) -> Order {
    Order {
        id,
        at_ms: 1_000,
        node: 1,
        who: "admin".into(),
        via: "token 1".into(),
        from: "10.0.0.1".into(),
        change,
    }
}

fn put(name: &str) -> Change {
    Change::PutPrincipal { name: name.into(), principal: Principal::default() }
}

fn issue(id: u64, principal: &str, expires_ms: u64) -> Change {
    let token = Token {
        principal: principal.into(),
        hash: [1; 32],
        issued_ms: 1_000,
        expires_ms,
        note: String::new(),
    };
    Change::IssueToken { id, token }
}

/// A refusal changes nothing and says what would be right.
fn refused(access: &mut Access, change: Change, words: &str) {
    let before = access.clone();
    match follow(access, order(u128::MAX, change)) {
        Err(Fault::Invalid(why)) => assert!(why.contains(words), "{why}"),
        Err(Fault::Full { what, .. }) => assert!(what.contains(words), "{what}"),
        Ok(_) => panic!("it must be refused: {words}"),
    }
    assert_eq!(*access, before);
}

#[test]
fn a_change_is_made_once_and_written_down() {
    let mut access = Access::default();
    assert_eq!(follow(&mut access, order(1, put("svc"))), Ok(Changed::Yes));
    assert_eq!(follow(&mut access, order(1, put("svc"))), Ok(Changed::No), "the same order");
    assert_eq!(follow(&mut access, order(2, issue(7, "svc", 5_000))), Ok(Changed::Yes));
    let (name, all) = policy("p allow svc * *");
    assert_eq!(
        follow(&mut access, order(3, Change::PutPolicy { name, policy: all })),
        Ok(Changed::Yes)
    );
    let begin = Change::Begin { what: "node drain".into(), on: "node 2".into() };
    assert_eq!(follow(&mut access, order(4, begin)), Ok(Changed::Yes));
    let end = |result: &str| Change::End { result: result.into() };
    assert_eq!(follow(&mut access, order(4, end("done"))), Ok(Changed::Yes));
    assert_eq!(follow(&mut access, order(4, end("done"))), Ok(Changed::No));
    assert_eq!(follow(&mut access, order(9, end("done"))), Ok(Changed::No), "nothing was begun");
    assert_eq!(
        follow(&mut access, order(5, Change::RemovePrincipal { name: "svc".into() })),
        Ok(Changed::Yes)
    );
    assert!(access.tokens.is_empty(), "its tokens go with it");
    let told: Vec<_> = access
        .audit
        .iter()
        .map(|entry| format!("{} {} {}: {}", entry.number, entry.what, entry.on, entry.result))
        .collect();
    assert_eq!(
        told,
        [
            "1 principal put svc: done",
            "2 token issue 0000000000000007 of svc: done",
            "3 policy put p: done",
            "4 node drain node 2: done",
            "5 principal remove svc: done",
        ]
    );
    assert_eq!(
        (access.audit[0].who.as_str(), access.audit[0].from.as_str()),
        ("admin", "10.0.0.1")
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut access = access(&[]);
    for name in ["", "two words", "device", "anonymous", "root", &"x".repeat(65)] {
        refused(&mut access, put(name), "principal");
    }
    refused(&mut access, issue(1, "nobody", 5_000), "add it first");
    refused(&mut access, issue(1, "admin", 1_000), "expires after");
    refused(&mut access, Change::RemovePrincipal { name: "x".into() }, "no principal");
    refused(&mut access, Change::RevokeToken { id: 1 }, "no token");
    refused(&mut access, Change::RemovePolicy { name: "x".into() }, "no policy");
    let mut policies = |text: &str, words: &str| {
        let (name, policy) = policy(text);
        refused(&mut access, Change::PutPolicy { name, policy }, words);
    };
    policies("p allow nobody twin:read *", "no principal");
    policies("p allow admin twin:fly *", "there are twin:read");
    policies("p allow admin twin:read * desired", "twin:write alone");
    policies("p! allow admin twin:read *", "a name has");
    let many = vec!["admin"; 400].join(",");
    policies(&format!("p allow {many} twin:read *"), "bytes of text");
    let empty = Policy { actions: vec!["*".into()], ..Policy::default() };
    refused(&mut access, Change::PutPolicy { name: "p".into(), policy: empty }, "no principals");
    let subject = Subject { issuer: "https://id".into(), subject: "one".into() };
    let principal = Principal { subjects: vec![subject], ..Principal::default() };
    let put = |name: &str| Change::PutPrincipal { name: name.into(), principal: principal.clone() };
    follow(&mut access, order(1, put("reader"))).unwrap();
    assert_eq!(access.known_as("https://id", "one"), Some("reader"));
    assert_eq!(access.known_as("https://evil", "one"), None);
    refused(&mut access, put("writer"), "already");
}

#[test]
fn tokens_and_the_audit_are_bounded_and_what_expired_makes_room() {
    let mut access = access(&[]);
    for id in 0..8 {
        follow(&mut access, order(u128::from(id), issue(id, "admin", 2_000))).unwrap();
    }
    refused(&mut access, issue(8, "admin", 2_000), "tokens of one principal");
    refused(&mut access, issue(3, "reader", 2_000), "found by this already");
    let later = Order { at_ms: 2_000, ..order(100, issue(8, "admin", 9_000)) };
    follow(&mut access, later).unwrap();
    assert_eq!(access.tokens.len(), 9, "a clock that is ahead takes nothing away");
    for id in 9..3 * ACCESS_TOKENS_MAX as u64 {
        let at_ms = 10_000 + 10 * id;
        let next = Order { at_ms, ..order(100 + u128::from(id), issue(id, "admin", at_ms + 5)) };
        follow(&mut access, next).unwrap();
        assert!(access.tokens.len() <= 2 * ACCESS_TOKENS_MAX);
    }
    for id in 0..2 * AUDIT_ENTRIES_MAX {
        let begin = Change::Begin { what: "x".repeat(1000), on: String::new() };
        follow(&mut access, order(1_000 + id as u128, begin)).unwrap();
    }
    assert_eq!(access.audit.len(), AUDIT_ENTRIES_MAX);
    let numbers: Vec<_> = access.audit.iter().map(|entry| entry.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "without a gap");
}

#[test]
fn a_claim_that_is_so_already_is_no_news() {
    let (mut access, mut fleet) = (Access::default(), Fleet::default());
    let put = |pin: Option<u8>| {
        let claimed = pin.map(|pin| fleet::Claimed::Pinned([pin; 32]));
        let (tenant, name) = ("acme".to_owned(), "spring".to_owned());
        Change::Fleet(Box::new(fleet::Change::PutClaim { tenant, name, claimed }))
    };
    let missing = access.follow(order(1, put(None)), (&mut fleet, 1)).unwrap_err();
    assert!(format!("{missing:?}").contains("spring"), "{missing:?}");
    fleet.enrolments.insert("acme/spring".into(), fleet::Enrolment::default());
    let steps = [
        (None, Changed::No, 0),
        (Some(1), Changed::Yes, 1),
        (Some(1), Changed::No, 1),
        (Some(2), Changed::Yes, 2),
        (None, Changed::Yes, 3),
    ];
    for (id, (pin, changed, audited)) in (2..).zip(steps) {
        let did = access.follow(order(id, put(pin)), (&mut fleet, 1));
        assert_eq!((did, access.audit.len()), (Ok(changed), audited), "{pin:?}");
        assert_eq!(fleet.claimed("acme", "spring").is_some(), pin.is_some());
    }
}
