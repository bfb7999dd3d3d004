//! One picture of a cluster: what its nodes, shards and busiest twins did between two answers of a node.
//! Owns the figures and how they are laid out; leaves asking and the terminal to what is beside.

use std::collections::BTreeMap;
use std::time::Duration;

use pollux_proto::v1;
use serde_json::{Value, json};

/// A node that told nothing, and what it would have told.
const NONE: &str = "-";

/// What happened between two answers.
#[derive(Debug)]
pub(super) struct Picture {
    status: v1::ClusterStatusResponse,
    rates: BTreeMap<u64, Rates>,
}

/// What a node did, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rates {
    acks: f64,
    ack_p50_us: Option<u64>,
    ack_p99_us: Option<u64>,
    calls: f64,
    batches: f64,
    overloads: f64,
    /// Of one core.
    cpu_percent: f64,
}

impl Picture {
    /// What happened since `before`, which was so long ago; without it there are no rates yet.
    pub(super) fn new(
        before: Option<(&v1::ClusterStatusResponse, Duration)>,
        status: v1::ClusterStatusResponse,
    ) -> Self {
        let mut rates = BTreeMap::new();
        if let Some((before, elapsed)) = before {
            for node in &status.nodes {
                let earlier = before.nodes.iter().find(|earlier| earlier.id == node.id);
                let earlier = earlier.and_then(|earlier| earlier.load.as_ref());
                if let (Some(earlier), Some(now)) = (earlier, &node.load)
                    // One that was started again in between begins to count anew.
                    && now.uptime_ms > earlier.uptime_ms
                {
                    rates.insert(node.id, Rates::between(earlier, now, elapsed));
                }
            }
        }
        Self { status, rates }
    }

    /// The answer it was made of.
    pub(super) const fn status(&self) -> &v1::ClusterStatusResponse {
        &self.status
    }

    /// The lines for people, at most so many.
    pub(super) fn lines(&self, height: usize) -> Vec<String> {
        let mut lines = vec![self.headline()];
        lines.extend(self.trouble());
        lines.push(String::new());
        lines.extend(self.nodes());
        let hot = self.hot();
        let hot_height = if hot.is_empty() { 0 } else { hot.len() + 1 };
        let shards = self.shards();
        let room = height.saturating_sub(lines.len() + hot_height + 1).max(2);
        lines.push(String::new());
        lines.extend(shards.into_iter().take(room));
        if !hot.is_empty() {
            lines.push(String::new());
            lines.extend(hot);
        }
        lines.truncate(height);
        lines
    }

    fn headline(&self) -> String {
        let loads = || self.status.nodes.iter().filter_map(|node| node.load.as_ref());
        let sum = |rate: fn(&Rates) -> f64| self.rates.values().map(rate).sum::<f64>();
        let twins: u64 = self.status.shards.iter().map(|shard| shard.twins).sum();
        let devices: u64 = loads().map(|load| load.devices).sum();
        let nodes = self.status.nodes.iter().filter(|node| node.state != "removed").count();
        let rest = match self.status.settled {
            true => "at rest".to_owned(),
            false => format!("not at rest: {}", self.status.unsettled),
        };
        match self.rates.is_empty() {
            true => format!("{nodes} nodes, {twins} twins, {devices} devices; {rest}"),
            false => format!(
                "{nodes} nodes, {twins} twins, {devices} devices; {:.0} acked/s, {:.0} calls/s; {rest}",
                sum(|rates| rates.acks),
                sum(|rates| rates.calls),
            ),
        }
    }

    fn trouble(&self) -> impl Iterator<Item = String> {
        self.status.notes.iter().map(|note| format!("note: {note}"))
    }

    fn nodes(&self) -> Vec<String> {
        let mut lines = vec![
            "node  state     owns  devices   acked/s   ack p50   ack p99   calls/s  commits/s  watches  cpu %    memory"
                .to_owned(),
        ];
        let there = self.status.nodes.iter().filter(|node| node.state != "removed");
        lines.extend(there.map(|node| {
            let state = if node.answers { &node.state } else { "silent" };
            let Some(load) = &node.load else {
                return format!("{:<4}  {state:<8}  {:>4}", node.id, node.owned);
            };
            let rates = self.rates.get(&node.id);
            let rate = |of: fn(&Rates) -> f64| rates.map_or_else(|| NONE.into(), |r| format!("{:.0}", of(r)));
            let time = |of: fn(&Rates) -> Option<u64>| rates.and_then(of).map_or_else(|| NONE.into(), ms);
            format!(
                "{:<4}  {state:<8}  {:>4}  {:>7}  {:>8}  {:>8}  {:>8}  {:>8}  {:>9}  {:>7}  {:>5}  {:>8}",
                node.id,
                node.owned,
                load.devices,
                rate(|rates| rates.acks),
                time(|rates| rates.ack_p50_us),
                time(|rates| rates.ack_p99_us),
                rate(|rates| rates.calls),
                rate(|rates| rates.batches),
                load.watches,
                rate(|rates| rates.cpu_percent),
                mib(load.resident_bytes),
            )
        }));
        let refused: f64 = self.rates.values().map(|rates| rates.overloads).sum();
        if refused > 0.0 {
            lines.push(format!("{refused:.0} requests/s are refused for want of room"));
        }
        lines
    }

    /// The busiest shards first; of those that do the same, the lower number.
    fn shards(&self) -> Vec<String> {
        let mut shards: Vec<_> = self.status.shards.iter().collect();
        shards.sort_by_key(|shard| (std::cmp::Reverse(shard.messages_per_s), shard.shard));
        let mut lines =
            vec!["shard  owner  open  changes/s     twins    memory      lag".to_owned()];
        lines.extend(shards.into_iter().map(|shard| {
            let owner = if shard.owner == 0 { NONE.into() } else { shard.owner.to_string() };
            let open = if shard.open { "yes" } else { "no" };
            format!(
                "{:<5}  {owner:<5}  {open:<4}  {:>9}  {:>8}  {:>8}  {:>7}",
                shard.shard,
                shard.messages_per_s,
                shard.twins,
                mib(shard.bytes),
                shard.lag,
            )
        }));
        lines
    }

    fn hot(&self) -> Vec<String> {
        let loads = self.status.nodes.iter().filter_map(|node| node.load.as_ref());
        let mut hot: Vec<_> = loads.flat_map(|load| &load.hot).collect();
        hot.sort_by(|a, b| (b.messages_per_s, &a.twin).cmp(&(a.messages_per_s, &b.twin)));
        let rows = hot.into_iter().take(5);
        let rows = rows.map(|hot| format!("{:<40}  {:>10}", hot.twin, hot.messages_per_s));
        let mut lines: Vec<_> = rows.collect();
        if !lines.is_empty() {
            lines.insert(0, format!("{:<40}  {:>10}", "busiest twins", "messages/s"));
        }
        lines
    }

    /// The same for scripts.
    pub(super) fn document(&self) -> Value {
        let nodes = self.status.nodes.iter().map(|node| {
            let load = node.load.clone().unwrap_or_default();
            let rates = self.rates.get(&node.id);
            let rate = |of: fn(&Rates) -> f64| rates.map(of);
            json!({
                "id": node.id, "state": node.state, "answers": node.answers, "owned": node.owned,
                "uptime_ms": load.uptime_ms, "devices": load.devices, "watches": load.watches,
                "resident_bytes": load.resident_bytes,
                "acked_per_s": rate(|r| r.acks), "calls_per_s": rate(|r| r.calls),
                "commits_per_s": rate(|r| r.batches), "refused_per_s": rate(|r| r.overloads),
                "cpu_percent": rate(|r| r.cpu_percent),
                "ack_p50_us": rates.and_then(|r| r.ack_p50_us),
                "ack_p99_us": rates.and_then(|r| r.ack_p99_us),
                "hot": load.hot.iter().map(|hot| json!({
                    "twin": hot.twin, "messages_per_s": hot.messages_per_s,
                })).collect::<Vec<_>>(),
            })
        });
        let shards = self.status.shards.iter().map(|shard| {
            json!({
                "shard": shard.shard, "owner": shard.owner, "open": shard.open,
                "changes_per_s": shard.messages_per_s, "twins": shard.twins, "bytes": shard.bytes,
                "lag": shard.lag,
            })
        });
        json!({
            "settled": self.status.settled, "unsettled": self.status.unsettled,
            "notes": self.status.notes,
            "nodes": nodes.collect::<Vec<_>>(), "shards": shards.collect::<Vec<_>>(),
        })
    }
}

impl Rates {
    fn between(before: &v1::NodeLoad, now: &v1::NodeLoad, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = |count: fn(&v1::NodeLoad) -> u64| {
            count(now).saturating_sub(count(before)) as f64 / seconds
        };
        let within = now.acks_within.iter().enumerate().map(|(place, now)| {
            let before = before.acks_within.get(place).map_or(0, |before| before.count);
            (now.us, now.count.saturating_sub(before))
        });
        let within: Vec<_> = within.collect();
        Self {
            acks: rate(|load| load.acks),
            ack_p50_us: quantile(&within, 50),
            ack_p99_us: quantile(&within, 99),
            calls: rate(|load| load.calls),
            batches: rate(|load| load.batches),
            overloads: rate(|load| load.overloads),
            cpu_percent: rate(|load| load.cpu_ms) / 10.0,
        }
    }
}

/// The upper bound of the bucket that a quantile is in; where there is none above, the last one's lower.
fn quantile(within: &[(u64, u64)], percent: u64) -> Option<u64> {
    let all: u64 = within.iter().map(|(_, count)| count).sum();
    let rank = (all * percent).div_ceil(100);
    let mut below = 0;
    let at = within.iter().position(|(_, count)| {
        below += count;
        *count > 0 && below >= rank
    })?;
    let last_known = within.iter().rev().nth(1).map(|(us, _)| *us);
    if at + 1 == within.len() { last_known } else { Some(within[at].0) }
}

fn ms(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{} ms", us / 1000),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uptime_ms: u64, acks: u64) -> v1::ClusterStatusResponse {
        let within = [(500, acks - acks / 50), (1_000, acks / 50), (u64::MAX, 0)];
        let acks_within = within.map(|(us, count)| v1::CountWithin { us, count });
        let hot = vec![v1::HotTwin { twin: "default/pump-7".into(), messages_per_s: 12 }];
        let load = v1::NodeLoad {
            uptime_ms,
            acks,
            cpu_ms: uptime_ms / 4,
            acks_within: acks_within.into(),
            hot,
            ..Default::default()
        };
        let node = v1::ClusterNode {
            id: 1,
            state: "active".into(),
            answers: true,
            load: Some(load),
            ..Default::default()
        };
        let shard = |shard, messages_per_s| v1::ClusterShard {
            shard,
            messages_per_s,
            owner: 1,
            open: true,
            ..Default::default()
        };
        v1::ClusterStatusResponse {
            nodes: vec![node],
            shards: vec![shard(0, 3), shard(1, 40), shard(2, 0)],
            settled: true,
            ..Default::default()
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_answers() {
        let (before, now) = (status(10_000, 100), status(12_000, 300));
        let picture = Picture::new(Some((&before, Duration::from_secs(2))), now);
        let rates = picture.rates[&1];
        assert!((rates.acks - 100.0).abs() < 1e-6 && (rates.cpu_percent - 25.0).abs() < 1e-6);
        assert_eq!((rates.ack_p50_us, rates.ack_p99_us), (Some(500), Some(1_000)));
        let lines = picture.lines(40);
        assert!(lines[0].contains("100 acked/s"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("default/pump-7")), "{lines:?}");
        let first = lines.iter().position(|line| line.starts_with("shard")).unwrap() + 1;
        assert!(lines[first].starts_with("1 "), "the busiest first: {lines:?}");
        assert_eq!(picture.document()["nodes"][0]["acked_per_s"], 100.0);
    }

    #[test]
    fn a_node_that_was_started_again_has_no_rates_yet() {
        let (before, now) = (status(10_000, 100), status(900, 7));
        let picture = Picture::new(Some((&before, Duration::from_secs(2))), now);
        assert!(picture.rates.is_empty());
        assert_eq!(picture.document()["nodes"][0]["acked_per_s"], Value::Null);
    }

    #[test]
    fn it_fits_and_says_what_is_wrong_first() {
        let mut now = status(10, 100);
        now.settled = false;
        now.unsettled = "shard 2 is yet to be opened".into();
        now.notes = vec!["two shards have no owner that answers".into()];
        let lines = Picture::new(None, now).lines(8);
        assert_eq!(lines.len(), 8);
        assert!(lines[0].ends_with("not at rest: shard 2 is yet to be opened"), "{lines:?}");
        assert!(lines[1].starts_with("note: two shards"), "{lines:?}");
    }

    #[test]
    fn quantiles_beyond_the_last_bound_are_its_lower_one() {
        assert_eq!(quantile(&[(10, 0), (20, 0), (u64::MAX, 4)], 50), Some(20));
        assert_eq!(quantile(&[(10, 0), (20, 0), (u64::MAX, 0)], 50), None);
    }
}
