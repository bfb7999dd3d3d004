//! Every rejection has its row, and comes back from what it was sent as.

use std::collections::BTreeSet;

use pollux_proto::status::{from_status, from_value, message, row, to_status, to_value};
use pollux_twin::Rejection;
use pollux_twin::change::Section;

/// Every variant, by a match that a new variant breaks.
fn after(rejection: Option<&Rejection>) -> Option<Rejection> {
    use Rejection as R;
    let Some(rejection) = rejection else { return Some(R::NotFound) };
    Some(match rejection {
        R::NotFound => {
            R::VersionMismatch { section: Some(Section::Desired), expected: 3, actual: u64::MAX }
        }
        R::VersionMismatch { .. } => R::NotAnObject,
        R::NotAnObject => R::TooLarge { bytes: 70_000, max: 65_536 },
        R::TooLarge { .. } => R::TooDeep { max: 16 },
        R::TooDeep { .. } => R::BadKey { key: "schlüssel \u{7f} \"🔑\"".to_owned() },
        R::BadKey { .. } => R::TooMany { what: "commands".to_owned(), max: 32 },
        R::TooMany { .. } => R::Invalid { reason: "name is empty; it takes 1 byte".to_owned() },
        R::Invalid { .. } => R::DeviceOffline,
        R::DeviceOffline => R::UnknownCommand,
        R::UnknownCommand => R::CommandOver,
        R::CommandOver => R::KeyReused,
        R::KeyReused => R::SessionOver,
        R::SessionOver => R::OutOfOrder { expected: 8 },
        R::OutOfOrder { .. } => R::Overloaded { retry_after_ms: 250 },
        R::Overloaded { .. } => R::OutOfSpace,
        R::OutOfSpace => R::Quarantined,
        R::Quarantined => R::NotOwner,
        R::NotOwner => R::Unknown,
        R::Unknown => return None,
    })
}

fn all() -> Vec<Rejection> {
    std::iter::successors(after(None), |rejection| after(Some(rejection))).collect()
}

#[test]
fn reasons_are_unique_words() {
    let reasons: BTreeSet<_> = all().iter().map(|rejection| row(rejection).reason).collect();
    assert_eq!(reasons.len(), all().len());
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
        [("overloaded", 429, 250), ("out_of_space", 507, 5_000), ("not_owner", 503, 200)]
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
