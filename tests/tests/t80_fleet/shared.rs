//! Subscriptions that several consumers share, through the real program: each shard is with one of them, what one leaves
//! comes to the others, and who has nothing is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pollux_client::{Client, Consumer, Delivery, Event, Options, Section};
use pollux_proto::v1;
use pollux_proto::v1::OpenSubscription;
use pollux_proto::v1::changed::What;
use pollux_proto::v1::consume_request::What as Asked;
use pollux_proto::v1::subscriptions_client::SubscriptionsClient;
use pollux_tests::node::cluster::QUICK;
use pollux_tests::node::{Devices, NodeOptions, NodeProcess};
use pollux_twin::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::positions::beyond;

/// Longest that one event may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// How long a consumer is waited for before it is the next one's turn, and how many turns that takes at most.
const TURN: Duration = Duration::from_millis(20);
const TRIES: u32 = 3_000;
/// Twins that are written: all shards have some.
const TWINS: u64 = 40;
/// Shards of a cluster of tests.
const SHARDS: usize = 4;

fn one(dir: &tempfile::TempDir) -> Result<NodeProcess> {
    let options = NodeOptions::new(&dir.path().join("node"));
    QUICK.iter().fold(options, |options, (name, value)| options.with(name, value)).start()
}

fn client(node: &NodeProcess) -> Result<Client> {
    Ok(Client::new(&Options::new([format!("http://{}", node.grpc)]))?)
}

/// A consumer, and what it saw.
struct One {
    consumer: Consumer,
    shards: Vec<u32>,
    /// Newest number of each twin.
    seen: BTreeMap<String, u64>,
    last: Option<Delivery>,
}

impl One {
    async fn open(client: &Client, name: &str) -> Result<Self> {
        let consumer = client.subscriptions().consume_as("orders", name, 0).await?;
        let mut one = Self { consumer, shards: Vec::new(), seen: BTreeMap::new(), last: None };
        one.step().await?;
        ensure!(one.consumer.name() == name, "{} is not {name}", one.consumer.name());
        Ok(one)
    }

    /// Takes what comes next.
    async fn step(&mut self) -> Result<()> {
        let delivery = timeout(STEP, self.consumer.next()).await.context("nothing comes")??;
        match &delivery.event {
            Event::Sharing(sharing) => {
                ensure!(sharing.of == 4 && sharing.consumers > 0, "{sharing:?}");
                self.shards.clone_from(&sharing.shards);
            }
            Event::Changed(changed) => {
                let shard = delivery.shard.context("a shard")?;
                ensure!(self.shards.contains(&shard), "{shard} is not among {:?}", self.shards);
                if let Some(number) = number(changed)? {
                    self.seen.insert(changed.device.clone(), number);
                }
            }
            other => bail!("nobody asked for it: {other:?}"),
        }
        self.last = Some(delivery);
        Ok(())
    }

    fn acknowledge(&mut self) {
        if let Some(last) = self.last.take() {
            self.consumer.acknowledge(&last);
        }
    }
}

/// The number that was written.
fn number(changed: &v1::Changed) -> Result<Option<u64>> {
    let Some(What::Patched(patched)) = &changed.what else { return Ok(None) };
    let Some(v1::section_patched::Change::MergeJson(json)) = &patched.change else {
        return Ok(None);
    };
    Ok(serde_json::from_str::<serde_json::Value>(json)?["n"].as_u64())
}

async fn write(client: &Client, number: u64) -> Result<()> {
    for twin in 0..TWINS {
        let (name, content) = (format!("pump-{twin}"), json!({ "n": number }));
        client.twins().patch(&name, Section::Tags, &content).await?;
    }
    Ok(())
}

/// All steps until that is so, whoever takes them.
async fn until(ones: &mut [One], is_so: impl Fn(&[One]) -> bool) -> Result<()> {
    for _ in 0..TRIES {
        if is_so(ones) {
            return Ok(());
        }
        for one in ones.iter_mut() {
            // What was not told by then comes with the next step.
            if let Ok(step) = timeout(TURN, one.step()).await {
                step?;
            }
        }
    }
    let shards: Vec<_> = ones.iter().map(|one| &one.shards).collect();
    bail!("it does not come to be: {shards:?}")
}

/// Each shard is with one of them, and they have as many as each other, but for one.
fn is_shared(ones: &[One]) -> bool {
    let counts: Vec<_> = ones.iter().map(|one| one.shards.len()).collect();
    let all: BTreeSet<_> = ones.iter().flat_map(|one| &one.shards).collect();
    all.len() == SHARDS
        && counts.iter().sum::<usize>() == SHARDS
        && counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1
}

fn all_saw(ones: &[One], number: u64) -> bool {
    let newest =
        |twin: u64| ones.iter().filter_map(move |one| one.seen.get(&format!("pump-{twin}")));
    (0..TWINS).all(|twin| newest(twin).any(|seen| *seen == number))
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_come_and_go_and_nothing_is_missed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = one(&dir)?;
    let client = client(&node)?;
    let made = node.ask(&["subscription", "create", "orders", "--prefix", "pump-", "--shared"])?;
    ensure!(made["shared"] == true && made["consumers"] == json!([]), "{made}");
    let mut ones = vec![One::open(&client, "a").await?];
    ensure!(is_shared(&ones), "the first has all");
    write(&client, 1).await?;
    until(&mut ones, |ones| all_saw(ones, 1)).await?;
    ones[0].acknowledge();

    // What is acknowledged is shared at once with whoever comes, and nothing comes twice.
    ones.push(One::open(&client, "b").await?);
    ones.push(One::open(&client, "c").await?);
    until(&mut ones, is_shared).await?;
    ensure!(ones[1].seen.is_empty() && ones[2].seen.is_empty(), "it was acknowledged");
    write(&client, 2).await?;
    until(&mut ones, |ones| all_saw(ones, 2)).await?;
    ensure!(ones.iter().all(|one| one.seen.values().any(|number| *number == 2)));
    ones.iter_mut().for_each(One::acknowledge);
    write(&client, 3).await?;
    until(&mut ones, |ones| all_saw(ones, 3)).await?;
    let shown = node.ask(&["subscription", "get", "orders"])?;
    let names = shown["consumers"].as_array().context("consumers")?;
    ensure!(names.len() == 3 && names[0]["name"] == "a", "{shown}");
    ensure!(shown["behind"].as_u64().is_some_and(|behind| behind > 0), "{shown}");

    // Who breaks down leaves to the others what it had not acknowledged.
    let lost = ones.remove(0);
    let had: Vec<_> = lost.seen.iter().filter(|(_, number)| **number == 3).collect();
    let (twins, had) = (had.iter().map(|(twin, _)| (*twin).clone()).collect::<Vec<_>>(), had.len());
    ensure!(had > 0, "it was to have something");
    drop(lost);
    let again = |ones: &[One]| {
        let seen = |twin: &String| ones.iter().any(|one| one.seen.get(twin) == Some(&3));
        is_shared(ones) && twins.iter().all(seen)
    };
    until(&mut ones, again).await?;
    // More than there are shards: somebody waits, and knows it.
    for name in ["d", "e", "f", "g"] {
        ones.iter_mut().for_each(One::acknowledge);
        ones.push(One::open(&client, name).await?);
    }
    until(&mut ones, is_shared).await?;
    ensure!(ones.iter().filter(|one| one.shards.is_empty()).count() == 2);
    Ok(())
}

/// Presence and what becomes of commands are events as any other.
#[tokio::test(flavor = "multi_thread")]
async fn presence_and_commands_are_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = one(&dir)?;
    let client = client(&node)?;
    node.ask(&["subscription", "create", "orders", "--shared"])?;
    let mut ones = [One::open(&client, "a").await?];
    let devices = Devices::of(node.data())?;
    let device = devices.start(&node.devices, "lamp")?;
    device.on_command(|_| async { Ok(Value::from("done")) });
    timeout(STEP, device.online()).await??;
    node.ask(&["command", "send", "lamp", "blink"])?;
    device.close();
    let (mut told, mut states) = (BTreeSet::new(), Vec::new());
    while !told.contains("disconnected") {
        ones[0].step().await?;
        let Some(Event::Changed(changed)) = ones[0].last.as_ref().map(|last| &last.event) else {
            continue;
        };
        told.insert(match &changed.what {
            Some(What::Connected(_)) => "connected",
            Some(What::Disconnected(_)) => "disconnected",
            Some(What::CommandQueued(_)) => "queued",
            Some(What::CommandMoved(moved)) => {
                states.push(moved.state());
                "moved"
            }
            _ => continue,
        });
    }
    ensure!(told == BTreeSet::from(["connected", "queued", "moved", "disconnected"]), "{told:?}");
    ensure!(states == [v1::CommandState::Delivering, v1::CommandState::Done], "{states:?}");
    Ok(())
}

/// Who reads nothing for a while is there all the same: what it holds stays its own, and what it acknowledges counts.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_is_not_taken_for_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = one(&dir)?;
    let client = client(&node)?;
    node.ask(&["subscription", "create", "orders", "--prefix", "pump-", "--shared"])?;
    let (say, said) = mpsc::channel(4);
    let open =
        OpenSubscription { name: "orders".into(), consumer: "slow".into(), ..Default::default() };
    say.send(v1::ConsumeRequest { what: Some(Asked::Open(open)) }).await?;
    let channel = Channel::from_shared(format!("http://{}", node.grpc))?.connect().await?;
    let asked = SubscriptionsClient::new(channel).consume(ReceiverStream::new(said)).await?;
    let mut slow = asked.into_inner();
    let mut ones = [One::open(&client, "a").await?];
    until(&mut ones, |ones| ones[0].shards.len() == SHARDS / 2).await?;
    // More than is sent ahead to who reads nothing.
    let content = json!({ "text": "x".repeat(20_000) });
    for twin in 0..TWINS {
        client.twins().patch(&format!("pump-{twin}"), Section::Tags, &content).await?;
    }
    let mut read = async || -> Result<v1::WatchResponse> {
        timeout(STEP, slow.message()).await.context("nothing comes")??.context("it ended")
    };
    let first = loop {
        let response = read().await?;
        if matches!(response.event, Some(v1::watch_response::Event::Changed(_))) {
            break response;
        }
    };
    let before = node.ask(&["subscription", "get", "orders"])?;
    say.send(v1::ConsumeRequest { what: Some(Asked::Acknowledge(first.position)) }).await?;
    // The other one looks for as long as it would wait for one that is lost, and longer.
    for _ in 0..40 {
        let shown = node.ask(&["subscription", "get", "orders"])?;
        ensure!(shown["consumers"].as_array().is_some_and(|all| all.len() == 2), "{shown}");
        sleep(Duration::from_millis(400)).await;
    }
    let after = node.ask(&["subscription", "get", "orders"])?;
    ensure!(after["position"] != before["position"], "its word is to count: {after}");
    // And it goes on where it was.
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        if let Some(v1::watch_response::Event::Changed(changed)) = read().await?.event {
            seen.insert(changed.device);
        }
    }
    Ok(())
}

/// Over HTTP a consumer reads events, and acknowledges them by its name.
#[test]
fn http_shares_too() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = one(&dir)?;
    let made = node.send_json("PUT", "/v1/subscriptions/orders", r#"{"shared":true}"#)?;
    ensure!(made.json()?["shared"] == true, "{made:?}");
    let mut events = Events::open(&node, "/v1/subscriptions/orders/events?consumer=w-1")?;
    let (kind, body, _) = events.next()?;
    ensure!(kind == "sharing" && body["consumer"] == "w-1", "{kind} {body}");
    ensure!(body["shards"] == json!([0, 1, 2, 3]) && body["of"] == 4, "{body}");
    let wrote = node.send_json("PATCH", "/v1/twins/pump/tags", r#"{"n":1}"#)?;
    ensure!(wrote.status == 200, "{wrote:?}");
    let (body, position) = loop {
        let (kind, body, position) = events.next()?;
        if kind == "changed" {
            break (body, position);
        }
    };
    ensure!(body["device"] == "pump" && body["shard"].is_u64(), "{body}");
    let path = "/v1/subscriptions/orders/acknowledge";
    let before = node.send("GET", "/v1/subscriptions/orders", &[], b"")?.json()?;
    let given = |consumer: &str| json!({ "position": position, "consumer": consumer }).to_string();
    let other = node.send_json("POST", path, &given("w-2"))?.json()?;
    ensure!(other["position"] == before["position"], "it holds nothing: {other}");
    let done = node.send_json("POST", path, &given("w-1"))?.json()?;
    ensure!(done["position"] != before["position"], "{done}");
    let kept = done["position"].as_str().context("a position")?;
    for ahead in [5, u64::MAX] {
        let body = json!({ "position": beyond(kept, ahead)?, "consumer": "w-1" }).to_string();
        let refused = node.send_json("POST", path, &body)?;
        ensure!(refused.status == 400 && refused.body.contains("ahead of"), "{refused:?}");
    }
    let same = node.send("GET", "/v1/subscriptions/orders", &[], b"")?.json()?;
    ensure!(same["position"] == kept, "{same}");
    node.ask(&["subscription", "create", "alone"])?;
    let unnamed = json!({ "position": position }).to_string();
    for (verb, path, body, said) in [
        ("POST", path, unnamed.as_str(), "which of its consumers"),
        ("POST", "/v1/subscriptions/alone/acknowledge", &given("w-1"), "not shared"),
        ("GET", "/v1/subscriptions/alone/events?consumer=w-1", "", "not shared"),
        ("GET", "/v1/subscriptions/orders/events?consumer=a%20b", "", "letters, digits"),
        ("GET", "/v1/subscriptions/orders/events?consumers=a", "", "consumer"),
        ("PUT", "/v1/subscriptions/x", r#"{"shared":true,"device":"a"}"#, "one device"),
        ("PUT", "/v1/subscriptions/x", r#"{"shared":1}"#, "true or false"),
    ] {
        let reply = match body {
            "" => node.send(verb, path, &[], b"")?,
            body => node.send_json(verb, path, body)?,
        };
        ensure!(reply.status == 400 && reply.body.contains(said), "{verb} {path}: {reply:?}");
    }
    let other = node.send_json("PUT", "/v1/subscriptions/orders", "{}")?;
    ensure!(other.status == 412, "one that is not shared is another: {other:?}");
    // Who hangs up leaves.
    drop(events);
    for _ in 0..600 {
        let shown = node.ask(&["subscription", "get", "orders"])?;
        if shown["consumers"] == json!([]) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("it is still there")
}

/// Server-sent events, read by hand.
pub(super) struct Events(BufReader<TcpStream>);

impl Events {
    pub(super) fn open(node: &NodeProcess, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(&node.http)?;
        stream.set_read_timeout(Some(STEP))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: node\r\n\r\n")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Kind, body and position of the next event.
    pub(super) fn next(&mut self) -> Result<(String, serde_json::Value, String)> {
        let (mut kind, mut position) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line)? > 0, "the stream ended");
            let Some((name, value)) = line.trim_end().split_once(": ") else { continue };
            match name {
                "event" => kind = value.to_owned(),
                "id" => position = value.to_owned(),
                "data" => {
                    let body = serde_json::from_str(value)?;
                    // The id may come after the body, before an empty line.
                    let mut rest = String::new();
                    while self.0.read_line(&mut rest)? > 0 && !rest.trim_end().is_empty() {
                        if let Some(id) = rest.trim_end().strip_prefix("id: ") {
                            position = id.to_owned();
                        }
                        rest.clear();
                    }
                    return Ok((kind, body, position));
                }
                _ => {}
            }
        }
    }
}
