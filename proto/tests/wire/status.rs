//! Every rejection has its row, and comes back from what it was sent as.

use std::collections::{BTreeSet, HashSet};

use pollux_proto::status::{from_status, from_value, message, row, to_status, to_value};
use pollux_twin::Rejection;
use pollux_twin::rejection::Violation;

use crate::frames::rejections;

fn all() -> Vec<Rejection> {
    let name = || "old".to_owned();
    let others = [
        Rejection::Behind,
        Rejection::NotRegistered,
        Rejection::Disabled { reason: String::new() },
        Rejection::Disabled { reason: "stolen".to_owned() },
        Rejection::BadCredential { expired: None },
        Rejection::BadCredential { expired: Some(name()) },
        Rejection::UnknownCredential { name: name() },
        Rejection::LevelTooLow { level: 3, needed: 4 },
        Rejection::Unauthenticated { reason: "the token has expired".into() },
        Rejection::SchemaViolated(Box::new(Violation {
            of_type: "pump".into(),
            version: 3,
            part: "reported".into(),
            at: "/limits/max".into(),
            wrong: "value is not of type \"integer\"".into(),
        })),
        Rejection::NotEnrolled { why: "expired".into() },
        Rejection::TookTooLong { max_ms: 30_000 },
        Rejection::UnknownType { name: name() },
        Rejection::UnknownGroup { name: name() },
        Rejection::Forbidden { action: "twin:read".into(), on: "acme/pump".into() },
    ];
    rejections().into_iter().chain(others).collect()
}

#[test]
fn reasons_are_unique_words() {
    let reasons: BTreeSet<_> = all().iter().map(|rejection| row(rejection).reason).collect();
    let kinds: HashSet<_> = all().iter().map(std::mem::discriminant).collect();
    assert_eq!(reasons.len(), kinds.len());
    for reason in reasons {
        assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
    }
}

#[test]
fn every_rejection_comes_back_from_json_and_from_a_status() {
    for rejection in all() {
        assert_eq!(from_value(&to_value(&rejection)), Some(rejection.clone()));
        let status = to_status(&rejection);
        assert_eq!(status.code(), row(&rejection).grpc);
        assert_eq!(from_status(&status), Some(rejection));
    }
    let whole = Rejection::VersionMismatch { section: None, expected: 0, actual: 1 };
    assert_eq!(from_value(&to_value(&whole)), Some(whole));
    assert_eq!(from_status(&tonic::Status::unavailable("no route")), None);
}

#[test]
fn messages_are_in_style() {
    for rejection in all() {
        let text = message(&rejection);
        assert!(!text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
        assert!(text.len() > 10, "{text}");
    }
}

#[test]
fn what_passes_by_itself_says_when() {
    let when: Vec<_> = all()
        .iter()
        .map(row)
        .filter_map(|row| Some((row.reason, row.http, row.retry_after_ms?)))
        .collect();
    assert_eq!(
        when,
        [
            ("overloaded", 429, 250),
            ("out_of_space", 507, 5_000),
            ("not_owner", 503, 200),
            ("behind", 503, 200)
        ]
    );
}

#[test]
fn huge_texts_are_cut_for_headers() {
    let rejection = Rejection::Invalid { reason: "ä".repeat(100_000) };
    let status = to_status(&rejection);
    assert!(status.message().len() <= 512);
    let Some(Rejection::Invalid { reason }) = from_status(&status) else {
        panic!("not the same rejection")
    };
    assert_eq!(reason, "ä".repeat(256));
}
