//! A cluster, as the node that is asked sees it.

use pollux_proto::v1;
use pollux_twin::Time;

use super::finding::Finding;

/// Looks at what a node answered.
pub(super) fn look(status: &v1::ClusterStatusResponse, now: Time) -> Vec<Finding> {
    let mut findings = vec![rest(status), balance(status), level(status)];
    findings.extend(zones(status));
    findings.extend(refusals(status));
    findings.extend(artifacts(status));
    findings.extend(keys(status, now));
    findings.extend(notes(status));
    findings
}

fn there(status: &v1::ClusterStatusResponse) -> impl Iterator<Item = &v1::ClusterNode> {
    status.nodes.iter().filter(|node| node.state != "removed")
}

fn rest(status: &v1::ClusterStatusResponse) -> Finding {
    let (nodes, shards) = (there(status).count(), status.shards.len());
    if status.settled {
        return Finding::good("cluster", format!("{nodes} nodes and {shards} shards, at rest"));
    }
    let closed = status.shards.iter().filter(|shard| !shard.open).count();
    let next = "see all of it with `pollux cluster status`, and wait with --settled-within 1m";
    match closed {
        0 => Finding::note("cluster", format!("not at rest: {}", status.unsettled), next),
        _ => Finding::wrong(
            "cluster",
            format!("{closed} of {shards} shards are not served: {}", status.unsettled),
            "start the nodes that do not answer; where a majority is gone for good, see `pollux cluster \
             recover --help`",
        ),
    }
}

fn balance(status: &v1::ClusterStatusResponse) -> Finding {
    match status.balancing {
        true => Finding::good("balance", "shards are moved where they are needed"),
        false => Finding::note(
            "balance",
            "paused: nothing is moved away from a node that does badly",
            "`pollux cluster resume`",
        ),
    }
}

fn level(status: &v1::ClusterStatusResponse) -> Finding {
    let levels = || there(status).map(|node| node.level_newest);
    let reach = levels().min().unwrap_or(status.level);
    let mut versions: Vec<_> = there(status).map(|node| node.version.as_str()).collect();
    versions.retain(|version| !version.is_empty());
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        let text = format!("nodes run {} versions: {}", versions.len(), versions.join(", "));
        return Finding::note("version", text, "bring the older ones up, one after the other");
    }
    let text = format!("all nodes run {}, level {}", versions.join(""), status.level);
    match reach > status.level {
        true => Finding::note(
            "version",
            format!("{text}; all can run at level {reach}"),
            "`pollux cluster upgrade --finish`, once you need not go back",
        ),
        false => Finding::good("version", text),
    }
}

/// Nodes whose place is not told may all stand in the same one.
fn zones(status: &v1::ClusterStatusResponse) -> Option<Finding> {
    let several = there(status).count() > 1;
    let silent = there(status).filter(|node| node.zone.is_empty()).count();
    (several && silent > 0).then(|| {
        Finding::note(
            "zones",
            format!("{silent} nodes say nothing of where they stand: replicas may share a place"),
            "set node.zone to the rack, room or city of each",
        )
    })
}

fn refusals(status: &v1::ClusterStatusResponse) -> Option<Finding> {
    let refused = |node: &v1::ClusterNode| node.load.as_ref().map_or(0, |load| load.overloads);
    let all: u64 = status.nodes.iter().map(refused).sum();
    (all > 0).then(|| {
        Finding::note(
            "load",
            format!("{all} requests were refused for want of room since the nodes started"),
            "see with `pollux top` whether it goes on, and which twins are busiest",
        )
    })
}

/// Nodes that do not have the bytes of all artifacts.
fn artifacts(status: &v1::ClusterStatusResponse) -> Option<Finding> {
    let lacking = there(status).filter(|node| node.artifacts_missing > 0);
    let said = lacking.map(|node| format!("node {} lacks {}", node.id, node.artifacts_missing));
    let said: Vec<_> = said.collect();
    (!said.is_empty()).then(|| {
        Finding::note(
            "artifacts",
            format!("bytes are yet to come: {}", said.join(", ")),
            "take no node away meanwhile; if it lasts, look into that node's log and at the room of its disk",
        )
    })
}

/// How old the keys are by which signed tokens are checked, where they are oldest.
fn keys(status: &v1::ClusterStatusResponse, now: Time) -> Option<Finding> {
    let of_nodes =
        there(status).filter_map(|node| Some((node.load.as_ref()?.issuer_keys_at_ms, node.id)));
    let (at, node) = of_nodes.filter(|(at, _)| *at > 0).min()?;
    let minutes = now.since_ms(Time::from_ms(at)) / 60_000;
    let text =
        format!("keys of signed tokens are {minutes} minutes old at node {node}, nowhere older");
    Some(Finding::good("issuer", text))
}

/// What the cluster says of itself.
fn notes(status: &v1::ClusterStatusResponse) -> impl Iterator<Item = Finding> {
    status.notes.iter().map(|note| Finding::note("cluster", note, ""))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    #[test]
    fn the_oldest_keys_of_signed_tokens_are_told() {
        let mut status = status();
        assert!(keys(&status, NOW).is_none());
        for (node, minutes) in status.nodes.iter_mut().zip([3, 90]) {
            let issuer_keys_at_ms = NOW.ms - minutes * 60_000;
            node.load = Some(v1::NodeLoad { issuer_keys_at_ms, ..Default::default() });
        }
        let said = keys(&status, NOW).unwrap().line();
        assert!(said.contains("90 minutes old at node 2"), "{said}");
    }

    fn status() -> v1::ClusterStatusResponse {
        let node = |id| v1::ClusterNode {
            id,
            state: "active".into(),
            zone: format!("z{id}"),
            version: "1.0.0".into(),
            level_newest: 6,
            ..Default::default()
        };
        let shard = v1::ClusterShard { open: true, owner: 1, ..Default::default() };
        v1::ClusterStatusResponse {
            nodes: (1..=3).map(node).collect(),
            shards: vec![shard],
            settled: true,
            balancing: true,
            level: 6,
            ..Default::default()
        }
    }

    fn worst(change: impl FnOnce(&mut v1::ClusterStatusResponse)) -> (Verdict, String) {
        let mut status = status();
        change(&mut status);
        let worst = look(&status, NOW).into_iter().max_by_key(|finding| finding.verdict).unwrap();
        (worst.verdict, worst.line())
    }

    #[test]
    fn what_is_wrong_is_named_with_what_helps() {
        assert_eq!(worst(|_| ()).0, Verdict::Good);
        let check = |(verdict, line): (Verdict, String), expected: Verdict, part: &str| {
            assert_eq!(verdict, expected, "{line}");
            assert!(line.contains(part), "{line}");
        };
        let closed = worst(|status| {
            status.settled = false;
            status.shards[0].open = false;
        });
        check(closed, Verdict::Wrong, "1 of 1 shards are not served");
        check(worst(|status| status.balancing = false), Verdict::Note, "cluster resume");
        check(worst(|status| status.level = 3), Verdict::Note, "upgrade --finish");
        check(worst(|status| status.nodes[1].zone.clear()), Verdict::Note, "node.zone");
        let mixed = worst(|status| status.nodes[1].version = "1.1.0".into());
        check(mixed, Verdict::Note, "2 versions: 1.0.0, 1.1.0");
        let load = v1::NodeLoad { overloads: 7, ..Default::default() };
        check(worst(|status| status.nodes[0].load = Some(load)), Verdict::Note, "7 requests");
        let lacking = worst(|status| status.nodes[2].artifacts_missing = 4);
        check(lacking, Verdict::Note, "node 3 lacks 4");
    }
}
