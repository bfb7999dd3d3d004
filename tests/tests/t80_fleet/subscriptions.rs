//! Subscriptions through the real program: what is not acknowledged comes again, at any node, after any loss.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pollux_proto::position::Position;
use pollux_proto::v1;
use pollux_proto::v1::consume_request::What;
use pollux_proto::v1::subscriptions_client::SubscriptionsClient;
use pollux_proto::v1::watch_response::Event;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{NodeOptions, NodeProcess};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::positions::beyond;

/// Longest that one event may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// Twins that are written.
const TWINS: u64 = 5;

/// A place without an event is nothing that has to be acknowledged, and a late word does not undo a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn quiet_stalls_nobody_and_nothing_goes_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    node.ask(&["subscription", "create", "billing"])?;
    let mut consumer = Consumer::open(&node, 1).await?;
    let (change, quiet) = consumer.next().await?;
    ensure!(change.is_none() && !quiet.is_empty(), "{change:?}: nothing was written");
    write(&node, 1)?;
    let (change, first) = consumer.next().await?;
    ensure!(change == Some(("pump-1".to_owned(), 1)), "{change:?}");
    // The one event that may be out is: the next comes when that is acknowledged.
    write(&node, 2)?;
    consumer.acknowledge(first.clone()).await?;
    let (change, second) = consumer.next().await?;
    ensure!(change == Some(("pump-2".to_owned(), 2)), "{change:?}");
    let body = json!({ "position": second }).to_string();
    let reply = node.send_json("POST", "/v1/subscriptions/billing/acknowledge", &body)?;
    ensure!(reply.status == 200, "{reply:?}");
    consumer.acknowledge(second.clone()).await?;
    drop(consumer.say);
    while timeout(STEP, consumer.events.message()).await??.is_some() {}
    for late in [&quiet, &first] {
        let body = json!({ "position": late }).to_string();
        node.send_json("POST", "/v1/subscriptions/billing/acknowledge", &body)?;
    }
    let kept = node.ask(&["subscription", "get", "billing"])?;
    ensure!(kept["position"] == second, "{kept}");
    Ok(())
}

/// What has not happened cannot be acknowledged: what comes until then would never be told.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_ahead() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let made = cluster.node(0)?.ask(&["subscription", "create", "billing", "--prefix", "pump-"])?;
    let stands = made["position"].as_str().context("a position")?;
    let mut next_life: Position = stands.parse()?;
    next_life.lineage += 1;
    let forged = [beyond(stands, 5)?, beyond(stands, u64::MAX)?, next_life.to_string()];
    for (n, position) in forged.iter().enumerate() {
        // Whoever owns the shards.
        let node = cluster.node(n)?;
        let body = json!({ "position": position }).to_string();
        let reply = node.send_json("POST", "/v1/subscriptions/billing/acknowledge", &body)?;
        ensure!(reply.status == 400 && reply.body.contains("ahead of what"), "{reply:?}");
        let channel = Channel::from_shared(format!("http://{}", node.grpc))?.connect().await?;
        let asked = v1::AcknowledgeRequest {
            name: "billing".to_owned(),
            position: position.clone(),
            ..Default::default()
        };
        let refused = SubscriptionsClient::new(channel).acknowledge(asked).await;
        let refused = refused.err().context("it is to be refused")?;
        ensure!(refused.code() == Code::InvalidArgument, "{refused:?}");
    }
    let kept = cluster.node(1)?.ask(&["subscription", "get", "billing"])?;
    ensure!(kept["position"] == stands, "{kept}");
    // In a stream only what came is taken.
    let first = Consumer::open(cluster.node(2)?, 0).await?;
    first.acknowledge(forged[0].clone()).await?;
    let status = first.end().await?;
    ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    // All that comes is told, and can be acknowledged at once at any node.
    let last = 4 * TWINS - 1;
    for n in TWINS..=last {
        write(cluster.node(0)?, n)?;
    }
    let mut seen = (0..TWINS).map(|n| (format!("pump-{n}"), n)).collect::<BTreeMap<_, _>>();
    let mut second = Consumer::open(cluster.node(1)?, 0).await?;
    let position = take(&mut second, &mut seen, last).await?;
    // Places of shards that there are not are none of its own.
    let body = json!({ "position": format!("{position}.fff-1-0") }).to_string();
    let reply =
        cluster.node(2)?.send_json("POST", "/v1/subscriptions/billing/acknowledge", &body)?;
    ensure!(reply.status == 200 && reply.json()?["position"] == position, "{reply:?}");
    Ok(())
}

/// What a filter holds for is told as it happened, though nobody watched then.
#[test]
fn a_filter_misses_nothing_while_nobody_consumes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    node.ask(&["subscription", "create", "alarms", "--filter", "tags.n > 2"])?;
    for n in 0..=TWINS {
        write(&node, n)?;
    }
    let events = Command::new(pollux_tests::node::program()?)
        .args(["subscription", "consume", "alarms", "--count", "3", "--output", "json"])
        .env("POLLUX_GRPC", format!("http://{}", node.grpc))
        .output()?;
    let events = String::from_utf8(events.stdout)?;
    let mut told = events.lines().map(|line| -> Result<_> {
        let event: serde_json::Value = serde_json::from_str(line)?;
        Ok((event["match"].clone(), event["merge"]["n"].clone()))
    });
    // Twin 0 enters with 5; twins 3 and 4 with their first numbers.
    let expected = BTreeSet::from([3, 4, 5]);
    let found: BTreeSet<u64> = told.try_fold(BTreeSet::new(), |mut all, event| {
        let (fit, n) = event?;
        ensure!(fit == "entered", "{events}");
        all.insert(n.as_u64().context("a number")?);
        Ok(all)
    })?;
    ensure!(found == expected, "{events}");
    Ok(())
}

/// A consumer's two ways.
struct Consumer {
    say: mpsc::Sender<v1::ConsumeRequest>,
    events: Streaming<v1::WatchResponse>,
}

impl Consumer {
    async fn open(node: &NodeProcess, most: u32) -> Result<Self> {
        let channel = Channel::from_shared(format!("http://{}", node.grpc))?.connect().await?;
        let (say, said) = mpsc::channel(64);
        let open = v1::OpenSubscription {
            tenant: String::new(),
            name: "billing".to_owned(),
            unacknowledged_max: most,
            consumer: String::new(),
        };
        say.send(v1::ConsumeRequest { what: Some(What::Open(open)) }).await?;
        let mut subscriptions = SubscriptionsClient::new(channel);
        let events = subscriptions.consume(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { say, events })
    }

    /// What comes next: a change of `tags.n` of a twin, or nothing but the position after it.
    async fn next(&mut self) -> Result<(Option<(String, u64)>, String)> {
        let event = timeout(STEP, self.events.message()).await.context("no event")??;
        let event = event.context("the stream ended")?;
        let Some(Event::Changed(changed)) = event.event else { return Ok((None, event.position)) };
        let Some(v1::changed::What::Patched(patched)) = changed.what else {
            return Ok((None, event.position));
        };
        let Some(v1::section_patched::Change::MergeJson(json)) = patched.change else {
            return Ok((None, event.position));
        };
        let patch: serde_json::Value = serde_json::from_str(&json)?;
        let n = patch["n"].as_u64().context("a number")?;
        Ok((Some((changed.device, n)), event.position))
    }

    async fn acknowledge(&self, position: String) -> Result<()> {
        Ok(self.say.send(v1::ConsumeRequest { what: Some(What::Acknowledge(position)) }).await?)
    }

    /// Why the stream ends.
    async fn end(mut self) -> Result<Status> {
        let ended = async {
            loop {
                match self.events.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok(""),
                    Err(status) => return status,
                }
            }
        };
        Ok(timeout(STEP, ended).await?)
    }
}

fn write(node: &NodeProcess, n: u64) -> Result<()> {
    let path = format!("/v1/twins/pump-{}/tags", n % TWINS);
    let reply = node.send_json("PATCH", &path, &json!({ "n": n }).to_string())?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

/// Takes changes until all up to `last` came; each twin's in order, none missing after the first.
async fn take(
    consumer: &mut Consumer,
    seen: &mut BTreeMap<String, u64>,
    last: u64,
) -> Result<String> {
    loop {
        let (change, position) = consumer.next().await?;
        if let Some((device, n)) = change {
            let before = seen.get(&device).copied().context("a twin of the test")?;
            ensure!(n <= before + TWINS, "{device}: {n} after {before}, a gap");
            seen.insert(device, before.max(n));
        }
        let whole = (last + 1 - TWINS..=last)
            .all(|n| seen.get(&format!("pump-{}", n % TWINS)).is_some_and(|at| *at >= n));
        if whole && !position.is_empty() {
            return Ok(position);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    for n in 0..TWINS {
        write(cluster.node(0)?, n)?;
    }
    let made = cluster.node(0)?.ask(&["subscription", "create", "billing", "--prefix", "pump-"])?;
    let again =
        cluster.node(1)?.ask(&["subscription", "create", "billing", "--prefix", "pump-"])?;
    ensure!(made["position"] == again["position"], "{made} {again}");
    let other = cluster.node(1)?.ask(&["subscription", "create", "billing"]);
    ensure!(other.is_err(), "another of that name");
    // Nobody consumes, and what happens is not missed.
    let mut next = TWINS;
    let mut more = |cluster: &Cluster, count: u64| -> Result<u64> {
        let there = cluster.there();
        for _ in 0..count {
            write(cluster.node(there[usize::try_from(next)? % there.len()])?, next)?;
            next += 1;
        }
        Ok(next - 1)
    };
    let last = more(&cluster, 20)?;
    let mut seen = (0..TWINS).map(|n| (format!("pump-{n}"), n)).collect::<BTreeMap<_, _>>();
    let mut first = Consumer::open(cluster.node(0)?, 0).await?;
    let position = take(&mut first, &mut seen, last).await?;
    first.acknowledge(position).await?;
    let unacknowledged_from = seen.clone();
    let last = more(&cluster, 20)?;
    take(&mut first, &mut seen, last).await?;
    // A newer consumer takes it over, and gets again what was not acknowledged.
    let mut seen = unacknowledged_from;
    let mut second = Consumer::open(cluster.node(1)?, 0).await?;
    let position = take(&mut second, &mut seen, last).await?;
    let status = first.end().await?;
    ensure!(status.code() == Code::Aborted, "{status:?}");
    second.acknowledge(position).await?;
    drop(second.say);
    while timeout(STEP, second.events.message()).await??.is_some() {}

    // The owner of most shards dies; a third goes on at another node.
    let killed = cluster.busiest()?;
    cluster.kill(killed)?;
    let last = more(&cluster, 20)?;
    let mut third = Consumer::open(cluster.running()?, 0).await?;
    let position = take(&mut third, &mut seen, last).await?;
    third.acknowledge("p1.0.0-0-0".to_owned()).await?;
    let status = third.end().await?;
    ensure!(status.code() == Code::InvalidArgument, "not one of its events: {status:?}");
    by_http_and_by_hand(cluster.running()?, &position)?;
    Ok(())
}

fn by_http_and_by_hand(node: &NodeProcess, position: &str) -> Result<()> {
    let body = json!({ "position": position }).to_string();
    let reply = node.send_json("POST", "/v1/subscriptions/billing/acknowledge", &body)?;
    ensure!(reply.json()?["position"] == position, "{reply:?}");
    let behind = json!({"position": "p1.0.0-0-0"}).to_string();
    let reply = node.send_json("POST", "/v1/subscriptions/billing/acknowledge", &behind)?;
    ensure!(!reply.body.contains("p1.0.0-0-0\""), "it does not go back: {reply:?}");
    let all = node.ask(&["subscription", "list"])?;
    ensure!(all["subscriptions"].as_array().is_some_and(|all| all.len() == 1), "{all}");
    for (verb, path, body, status, said) in [
        ("GET", "/v1/subscriptions/none", "", 404, "not_found"),
        ("PUT", "/v1/subscriptions/a%20b", "{}", 400, "letters, digits"),
        ("PUT", "/v1/subscriptions/x", r#"{"filter":"tags.n =="}"#, 400, "filter"),
        ("PUT", "/v1/subscriptions/x", r#"{"fliter":"true"}"#, 400, "no member"),
        ("PUT", "/v1/subscriptions/billing", "{}", 412, "version_mismatch"),
        ("PATCH", "/v1/tenants/_pollux/twins/x/tags", "{}", 400, "Pollux's own"),
    ] {
        let reply = if body.is_empty() {
            node.send(verb, path, &[], b"")?
        } else {
            node.send_json(verb, path, body)?
        };
        ensure!(reply.status == status && reply.body.contains(said), "{verb} {path}: {reply:?}");
    }
    node.ask(&["subscription", "delete", "billing"])?;
    ensure!(node.ask(&["subscription", "get", "billing"]).is_err());
    Ok(())
}
