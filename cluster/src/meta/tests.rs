//! Tests of the agreed state as a whole: rules by example (`rules`), laws over random commands (`laws`), and the
//! bytes of today and of the version before (`bytes`).

mod bytes;
mod laws;
mod rules;

use super::{Answer, Command, Formats, Meta, Newcomer, Profile, Refusal};

/// A time of day for tests, in milliseconds since 1970.
const NOW: u64 = 1_700_000_000_000;
/// Fingerprint of the configuration that tests share.
const SHARED: u64 = 5;

fn founding() -> Command {
    let profile = Profile::named("one");
    Command::Found { cluster: 9, shards: 4, fingerprint: SHARED, node_uuid: 100, profile }
}

fn token(n: u8) -> Command {
    Command::IssueToken { hash: [n; 32], ttl_ms: 60_000, now_ms: NOW }
}

fn newcomer(n: u8, node_uuid: u128) -> Newcomer {
    let profile = Profile::named(format!("n{node_uuid}"));
    Newcomer { token: [n; 32], node_uuid, fingerprint: SHARED, profile, now_ms: NOW }
}

fn start(node: u64, node_uuid: u128, starts: u64) -> Command {
    Command::Start { node, node_uuid, starts, fingerprint: SHARED, formats: Formats::OURS }
}

fn done(meta: &mut Meta, command: Command) {
    assert_eq!(meta.apply(command), Answer::Done);
}

fn joined(meta: &mut Meta, n: u8, node_uuid: u128) -> u64 {
    done(meta, token(n));
    match meta.apply(Command::Join(newcomer(n, node_uuid))) {
        Answer::Node(id) => id,
        other => panic!("{other:?}"),
    }
}

fn refused(refusal: Refusal) -> Answer {
    Answer::Refused(refusal)
}

/// A founded cluster of this many nodes, of four shards that are all at node 1. The disk of node `n` is
/// named `100 n`.
fn cluster(nodes: u8) -> Meta {
    let mut meta = Meta::default();
    assert_eq!(meta.apply(founding()), Answer::Node(1));
    for n in 2..=nodes {
        assert_eq!(joined(&mut meta, 100 + n, u128::from(n) * 100), u64::from(n));
    }
    meta
}
