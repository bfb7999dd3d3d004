//! Telemetry that comes as datagrams, through the real program: told while it comes to who asks for it, at any node, and to
//! nobody else.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pollux_client::{Client, Event, Options, Section, Watch};
use pollux_proto::v1::TelemetryHeard;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{Devices, NodeOptions, program};
use pollux_twin::Value;
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Longest that one event may take on a busy machine.
const STEP: Duration = Duration::from_secs(60);

/// A client of one node first, and of the others when that is lost.
fn client(cluster: &Cluster, n: usize) -> Result<Client> {
    let nodes = cluster.options.iter().cycle().skip(n).take(cluster.options.len());
    Ok(Client::new(&Options::new(nodes.map(|node| format!("http://{}", node.grpc))))?)
}

/// The next that is heard; what else comes is nothing to this test.
async fn heard(
    mut next: impl AsyncFnMut() -> Result<Event, pollux_client::Error>,
) -> Result<TelemetryHeard> {
    let heard = async {
        loop {
            if let Event::Telemetry(heard) = next().await? {
                return Ok(*heard);
            }
        }
    };
    timeout(STEP, heard).await.context("nothing is heard")?
}

fn is_of(heard: &TelemetryHeard, device: &str) -> bool {
    let value = heard.values.first();
    let right = value.is_some_and(|one| one.name == "rssi" && one.json == "-61" && one.volatile);
    right && heard.device == device && heard.tenant == "default"
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_hears_it_wherever_the_owner_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let (lamp, pump) = {
        let at = &cluster.node(0)?.devices;
        (devices.start(at, "lamp")?, devices.start(at, "pump")?)
    };
    for device in [&lamp, &pump] {
        timeout(STEP, device.online()).await??;
    }
    client(&cluster, 0)?.twins().patch("pump", Section::Tags, &json!({ "n": 1 })).await?;
    // Who asks for nothing, who asks for one with a filter, and two who consume, at different nodes.
    let clients = (0..3).map(|n| client(&cluster, n)).collect::<Result<Vec<_>>>()?;
    let mut silent = clients[0].twins().watch(&Watch::all()).await?;
    let mut all = Vec::new();
    for client in &clients {
        all.push(client.twins().watch(&Watch::all().filter("tags.n == 1").telemetry()).await?);
    }
    let asked = Watch::prefix("lamp").telemetry();
    let made = clients[1].subscriptions().create_shared("meters", &asked).await?;
    ensure!(made.telemetry && made.shared, "{made:?}");
    clients[1].subscriptions().create("alone", &asked).await?;
    let mut sharing = clients[1].subscriptions().consume("meters", 1).await?;
    let mut alone = clients[2].subscriptions().consume("alone", 1).await?;
    let sending = tokio::spawn(async move {
        loop {
            for device in [&lamp, &pump] {
                device.telemetry_volatile(vec![("rssi".into(), Value::from(-61_i64))])?;
            }
            sleep(Duration::from_millis(50)).await;
        }
        #[expect(unreachable_code, reason = "it says what may fail")]
        anyhow::Ok(())
    });
    for turn in 0..2 {
        for watching in &mut all {
            let heard = heard(async || watching.next().await).await?;
            ensure!(is_of(&heard, "pump"), "{turn}: {heard:?}");
        }
        // More than may be out of what has to be acknowledged.
        for _ in 0..3 {
            let heard = heard(async || sharing.next().await.map(|one| one.event)).await?;
            ensure!(is_of(&heard, "lamp"), "{turn}: {heard:?}");
            let heard = heard_of(&mut alone).await?;
            ensure!(is_of(&heard, "lamp"), "{turn}: {heard:?}");
        }
        // And again when owners are others, and those who watched there have gone on at other nodes.
        if turn == 0 {
            cluster.kill(2)?;
        }
    }
    sending.abort();
    while let Ok(event) = timeout(Duration::from_millis(100), silent.next()).await {
        ensure!(!matches!(event?, Event::Telemetry(_)), "nobody asked for it");
    }
    Ok(())
}

async fn heard_of(consumer: &mut pollux_client::Consumer) -> Result<TelemetryHeard> {
    heard(async || consumer.next().await.map(|one| one.event)).await
}

/// By hand and over HTTP it is told, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let devices = Devices::of(node.data())?;
    let lamp = devices.start(&node.devices, "lamp")?;
    timeout(STEP, lamp.online()).await??;
    let grpc = format!("http://{}", node.grpc);
    let watching = tokio::task::spawn_blocking(move || -> Result<String> {
        let told = std::process::Command::new(program()?)
            .args(["twin", "watch", "lamp", "--telemetry", "--count", "1", "--output", "json"])
            .env("POLLUX_GRPC", grpc)
            .output()?;
        Ok(String::from_utf8(told.stdout)?)
    });
    while !watching.is_finished() {
        lamp.telemetry_volatile(vec![("rssi".into(), Value::from(-61_i64))])?;
        sleep(Duration::from_millis(50)).await;
    }
    let told: serde_json::Value = serde_json::from_str(&watching.await??)?;
    if told["event"] != "telemetry_heard" || told["values"] != json!({ "rssi": -61 }) {
        bail!("{told}");
    }
    let made = node.send_json("PUT", "/v1/subscriptions/meters", r#"{"telemetry":true}"#)?;
    ensure!(made.json()?["telemetry"] == true, "{made:?}");
    Ok(())
}
