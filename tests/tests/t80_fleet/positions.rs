//! Watches through the real program that begin at a place of which nobody can tell what follows, as it is not kept any more or
//! never was: it is said to be lost, and the whole picture comes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pollux_proto::position::Position;
use pollux_proto::v1;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::watch_response::Event;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{NodeOptions, NodeProcess};
use serde_json::json;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

use super::shared::Events;

/// Longest that one event may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// Twins that are written: all shards have some.
const TWINS: usize = 24;

/// A position that is so many entries further in each of its shards.
pub(super) fn beyond(position: &str, entries: u64) -> Result<String> {
    let mut at: Position = position.parse()?;
    for place in at.shards.values_mut() {
        place.index = place.index.saturating_add(entries);
    }
    Ok(at.to_string())
}

/// Whether a position is before another in each shard.
fn is_before(position: &str, other: &str) -> Result<bool> {
    let (at, other) = (position.parse::<Position>()?, other.parse::<Position>()?);
    let before = |(shard, place)| other.shards.get(shard).is_some_and(|other| place < other);
    Ok(at.shards.len() == other.shards.len() && at.shards.iter().all(before))
}

fn name(twin: usize) -> String {
    format!("pump-{twin}")
}

fn write(node: &NodeProcess, twin: usize, content: &serde_json::Value) -> Result<()> {
    let path = format!("/v1/twins/{}/tags", name(twin));
    let reply = node.send_json("PATCH", &path, &content.to_string())?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

async fn watch(node: &NodeProcess, position: &str) -> Result<Streaming<v1::WatchResponse>> {
    let channel = Channel::from_shared(format!("http://{}", node.grpc))?.connect().await?;
    let asked = v1::WatchRequest {
        position: position.to_owned(),
        tell_start: position.is_empty(),
        ..Default::default()
    };
    Ok(TwinsClient::new(channel).watch(asked).await?.into_inner())
}

/// The next event, and the position after it.
async fn next(events: &mut Streaming<v1::WatchResponse>) -> Result<(Event, String)> {
    let event = timeout(STEP, events.message()).await.context("silence")??;
    let event = event.context("the watch ended")?;
    Ok((event.event.context("an event")?, event.position))
}

/// Takes what is told where a place is lost, and nothing else: that, and all twins; the position after them.
async fn anew(events: &mut Streaming<v1::WatchResponse>) -> Result<String> {
    loop {
        match next(events).await?.0 {
            Event::Progress(_) => {}
            Event::PositionLost(_) => break,
            other => bail!("it is lost: {other:?}"),
        }
    }
    let mut twins = BTreeSet::new();
    loop {
        match next(events).await? {
            (Event::Twin(twin), _) => twins.insert(twin.device),
            (Event::PictureComplete(_), position) => {
                ensure!(twins == (0..TWINS).map(name).collect(), "{twins:?}");
                return Ok(position);
            }
            (other, _) => bail!("not in a picture: {other:?}"),
        };
    }
}

/// The twin of the next change.
async fn changed(events: &mut Streaming<v1::WatchResponse>) -> Result<String> {
    loop {
        match next(events).await?.0 {
            Event::Progress(_) => {}
            Event::Changed(changed) => return Ok(changed.device),
            other => bail!("no change: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_never_was_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    for twin in 0..TWINS {
        write(cluster.node(0)?, twin, &json!({ "n": 1 }))?;
    }
    let (_, stands) = next(&mut watch(cluster.node(0)?, "").await?).await?;
    for ahead in [5, u64::MAX] {
        let forged = beyond(&stands, ahead)?;
        for node in cluster.there() {
            let mut events = watch(cluster.node(node)?, &forged).await?;
            let position = anew(&mut events).await?;
            ensure!(is_before(&position, &forged)?, "{position}: where the shards are");
        }
        let mut events = Events::open(cluster.node(1)?, &format!("/v1/watch?position={forged}"))?;
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "picture_complete") {
            let (kind, body, _) = events.next()?;
            if kind == "position_lost" {
                ensure!(body["detail"].as_str().is_some_and(|why| why.contains("ahead")), "{body}");
            }
            kinds.push(kind);
        }
        kinds.retain(|kind| kind != "progress");
        ensure!(kinds.len() == TWINS + 2 && kinds[0] == "position_lost", "{kinds:?}");
    }
    // One shard's place is enough, and nothing that comes after the picture is missed.
    let mut one: Position = stands.parse()?;
    one.shards.values_mut().next().context("a shard")?.index += 5;
    let mut events = watch(cluster.node(2)?, &one.to_string()).await?;
    anew(&mut events).await?;
    for twin in 0..TWINS {
        write(cluster.node(0)?, twin, &json!({ "n": 2 }))?;
        ensure!(changed(&mut events).await? == name(twin));
    }
    // A place that was is none that is lost, whoever is elected.
    let mut events = watch(cluster.node(0)?, "").await?;
    let (_, stands) = next(&mut events).await?;
    cluster.kill(0)?;
    let mut events = watch(cluster.node(1)?, &stands).await?;
    write(cluster.node(2)?, 0, &json!({ "n": 3 }))?;
    ensure!(changed(&mut events).await? == name(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_kept_any_more_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("node"));
    let options = QUICK.iter().fold(options, |options, (name, value)| options.with(name, value));
    let node = options.with("POLLUX_WATCH__BYTES_PER_SHARD", "65536").start()?;
    let (_, first) = next(&mut watch(&node, "").await?).await?;
    for twin in 0..TWINS {
        write(&node, twin, &json!({ "n": 1 }))?;
    }
    let mut events = watch(&node, &first).await?;
    let told: BTreeSet<_> = [changed(&mut events).await?, changed(&mut events).await?].into();
    ensure!(told.len() == 2, "as long as it is kept it is told: {told:?}");
    drop(events);
    // More than is kept, in every shard.
    for round in 0..4 {
        for twin in 0..TWINS {
            write(&node, twin, &json!({ "text": "x".repeat(20_000 + round) }))?;
        }
    }
    let mut events = watch(&node, &first).await?;
    let position = anew(&mut events).await?;
    write(&node, 7, &json!({ "n": 2 }))?;
    ensure!(changed(&mut events).await? == name(7));
    let mut events = watch(&node, &position).await?;
    ensure!(changed(&mut events).await? == name(7), "and from there on it is kept again");
    Ok(())
}
