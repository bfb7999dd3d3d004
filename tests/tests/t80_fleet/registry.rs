//! The registry through the real program: who may come, by what, who has to go, and that no node forgets it.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use pollux_proto::device::{ALPN, DeviceFrame, NodeFrame, RefusedReason};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::sha256;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, Raw};
use serde_json::{Value, json};

/// What a device got for its hello.
#[derive(Debug, PartialEq)]
enum Came {
    /// A session.
    In,
    /// A refusal.
    Out(RefusedReason, String),
}

async fn greet(raw: &mut Raw, device: &str, token: Option<&str>) -> Result<Came> {
    let hello = DeviceFrame::Hello {
        tenant: String::new(),
        device: device.to_owned(),
        incarnation: 7,
        token: token.map(str::to_owned),
    };
    raw.say(&hello).await?;
    match raw.frame().await? {
        NodeFrame::Welcome { .. } => Ok(Came::In),
        NodeFrame::Refused { reason, message, .. } => Ok(Came::Out(reason, message)),
        other => bail!("{other:?}"),
    }
}

/// A device with a certificate says hello.
async fn comes(devices: &Devices, node: &NodeProcess, device: &str) -> Result<(Raw, Came)> {
    let mut raw = devices.raw(&node.devices, device).await?;
    let came = greet(&mut raw, device, None).await?;
    Ok((raw, came))
}

/// A device without one says hello.
async fn shows(
    devices: &Devices,
    node: &NodeProcess,
    (device, token): (&str, Option<&str>),
) -> Result<(Raw, Came)> {
    let mut raw = Raw::connect(&node.devices, devices.client(None, ALPN)?).await?;
    let came = greet(&mut raw, device, token).await?;
    Ok((raw, came))
}

fn out(came: &Came, reason: RefusedReason, said: &str) -> Result<()> {
    match came {
        Came::Out(why, message) if *why == reason && message.contains(said) => Ok(()),
        other => bail!("{other:?}, not {reason:?} {said:?}"),
    }
}

/// The session ends, and the device is told why.
async fn goes(mut raw: Raw, said: &str) -> Result<()> {
    loop {
        if let NodeFrame::Bye { reason, .. } = raw.frame().await? {
            ensure!(reason.contains(said), "{reason}");
            return Ok(());
        }
    }
}

fn strict(options: NodeOptions) -> NodeOptions {
    options.with("POLLUX_DEVICES__ADMISSION", "registered").with("POLLUX_DEVICES__TOKENS", "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_and_by_what() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = strict(NodeOptions::new(&dir.path().join("node"))).start()?;
    let devices = Devices::of(node.data())?;
    let (_, came) = comes(&devices, &node, "pump").await?;
    out(&came, RefusedReason::NotAllowed, "not registered")?;
    let metrics = node.get("/metrics")?;
    ensure!(metrics.contains("pollux_hellos_total{result=\"not_allowed\"} 1"), "{metrics}");
    let entry = node.ask(&["device", "register", "pump", "--tags", r#"{"site":"Oslo"}"#])?;
    ensure!(entry["standing"] == "enabled" && entry["by"] == "anonymous", "{entry}");
    ensure!(node.twin("pump")?["tags"] == json!({"site": "Oslo"}));
    let (raw, came) = comes(&devices, &node, "pump").await?;
    ensure!(came == Came::In);
    node.ask(&["device", "disable", "pump", "--reason", "stolen"])?;
    goes(raw, "disabled (stolen)").await?;
    let (_, came) = comes(&devices, &node, "pump").await?;
    out(&came, RefusedReason::NotAllowed, "disabled (stolen)")?;

    tokens(&devices, &node).await?;
    pins(&devices, &node, dir.path()).await?;

    // What was decided is there after the worst of ends.
    let again = strict(node.again());
    node.kill()?;
    let node = again.start()?;
    let (_, came) = comes(&devices, &node, "pump").await?;
    out(&came, RefusedReason::NotAllowed, "disabled (stolen)")?;
    ensure!(node.ask(&["device", "get", "pump"])?["reason"] == "stolen");
    node.ask(&["device", "enable", "pump"])?;
    ensure!(comes(&devices, &node, "pump").await?.1 == Came::In);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_comes_back_for_a_while() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let for_a_while = |ms: &str| {
        let options = NodeOptions::new(&dir.path().join("node"));
        options.with("POLLUX_DEVICES__RESTORABLE_MS", ms)
    };
    let node = for_a_while("3600000").start()?;
    let devices = Devices::of(node.data())?;
    let outfit =
        ["--tags", r#"{"site":"Oslo"}"#, "--desired", r#"{"interval_s":30}"#, "--group", "north"];
    node.ask(&["group", "put", "north"])?;
    node.ask(&[&["device", "register", "pump"], &outfit[..]].concat())?;
    ensure!(comes(&devices, &node, "pump").await?.1 == Came::In);
    node.ask(&["twin", "delete", "pump"])?;
    ensure!(node.send("GET", "/v1/twins/pump", &[], b"")?.status == 404);
    // Its checkpoint, or its log, has what was in it.
    let again = node.again();
    node.kill()?;
    let node = again.start()?;
    let gone = &node.ask(&["device", "list", "--deleted"])?["devices"];
    ensure!(gone[0]["device"] == "pump" && gone[0]["is_back"] == false, "{gone}");
    ensure!(gone[0]["deleted_by"].as_str().is_some_and(|by| !by.is_empty()), "{gone}");
    let (at, until) = (&gone[0]["deleted_at_ms"], &gone[0]["restorable_until_ms"]);
    let kept = until.as_u64().context("a time")? - at.as_u64().context("a time")?;
    ensure!(kept == 3_600_000, "{gone}");
    // The device was back before anybody had noticed.
    ensure!(comes(&devices, &node, "pump").await?.1 == Came::In);
    let gone = &node.ask(&["device", "list", "--deleted", "--prefix", "pum"])?["devices"];
    ensure!(gone[0]["is_back"] == true && gone[0].get("deleted_at_ms").is_none(), "{gone}");
    let entry = node.ask(&["device", "restore", "pump"])?;
    ensure!(node.ask(&["device", "list", "--deleted"])?["devices"] == json!([]));
    ensure!(entry["standing"] == "enabled" && entry["groups"] == json!(["north"]), "{entry}");
    let twin = node.twin("pump")?;
    ensure!(twin["tags"] == json!({"site": "Oslo"}), "{twin}");
    ensure!(twin["desired"] == json!({"interval_s": 30}), "{twin}");
    let reply = node.send("POST", "/v1/devices/pump/restore", &[], b"")?;
    ensure!(reply.status == 404, "nothing is left to bring back: {reply:?}");
    // Once it is due, nothing is kept of it.
    node.stop()?;
    let node = for_a_while("1").start()?;
    node.ask(&["twin", "delete", "pump"])?;
    let reply = node.send("POST", "/v1/devices/pump/restore", &[], b"")?;
    ensure!(reply.status == 404, "{reply:?}");
    ensure!(node.ask(&["device", "list", "--deleted"])?["devices"] == json!([]));
    Ok(())
}

/// Names on a page of what was deleted, and where it goes on.
fn gone(node: &NodeProcess, arguments: &str) -> Result<(Vec<String>, Option<String>)> {
    let reply = node.send("GET", &format!("/v1/deleted{arguments}"), &[], b"")?;
    ensure!(reply.status == 200, "{reply:?}");
    let page: Value = serde_json::from_str(&reply.body)?;
    let devices = page["devices"].as_array().context("a list")?.iter();
    let names = devices.map(|one| one["device"].as_str().unwrap_or_default().to_owned());
    Ok((names.collect(), page["next_page_token"].as_str().map(str::to_owned)))
}

#[test]
fn every_node_tells_what_can_be_brought_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let node = cluster.running()?;
    let names: Vec<_> = (10..22).map(|n| format!("pump-{n}")).collect();
    for name in names.iter().map(String::as_str).chain(["other", "stays"]) {
        node.ask(&["device", "register", name])?;
    }
    for name in names.iter().map(String::as_str).chain(["other"]) {
        node.ask(&["twin", "delete", name])?;
    }
    node.ask(&["device", "register", "acme/pump-30"])?;
    node.ask(&["twin", "delete", "acme/pump-30"])?;
    let told = |node: &NodeProcess| {
        let (mut all, mut page) = gone(node, "?prefix=pump-&page_size=5")?;
        while let Some(token) = page {
            let (more, next) =
                gone(node, &format!("?prefix=pump-&page_size=5&page_token={token}"))?;
            ensure!(more.len() <= 5, "{more:?}");
            all.extend(more);
            page = next;
        }
        ensure!(all == names, "{all:?}");
        ensure!(gone(node, "")?.0.len() == names.len() + 1);
        let few = node.ask(&["device", "list", "--deleted", "--limit", "3"])?;
        ensure!(few["devices"].as_array().map(Vec::len) == Some(3), "{few}");
        ensure!(few["next_cursor"] == "pump-11", "{few}");
        let acme = node.ask(&["device", "list", "--deleted", "--tenant", "acme"])?;
        ensure!(acme["devices"][0]["device"] == "pump-30", "{acme}");
        Ok(())
    };
    for at in cluster.there() {
        told(cluster.node(at)?)?;
    }
    let killed = cluster.busiest()?;
    cluster.kill(killed)?;
    for at in cluster.there() {
        told(cluster.node(at)?)?;
    }
    let node = cluster.running()?;
    let reply = node.send("GET", "/v1/deleted?page_token=a%2Fb", &[], b"")?;
    ensure!(reply.status == 400 && reply.body.contains("page_token"), "{reply:?}");
    Ok(())
}

async fn tokens(devices: &Devices, node: &NodeProcess) -> Result<()> {
    node.ask(&["device", "register", "meter"])?;
    let give = |name| -> Result<String> {
        let given = node.ask(&["device", "credential", "token", "meter", name, "--days", "2"])?;
        Ok(given["token"].as_str().context("a token")?.to_owned())
    };
    let (spring, autumn) = (give("spring")?, give("autumn")?);
    let (_, came) = shows(devices, node, ("meter", None)).await?;
    out(&came, RefusedReason::NotYou, "neither a client certificate nor a token")?;
    for (device, token) in [("meter", "guessed"), ("nobody", &spring), ("pump", &spring)] {
        let (_, came) = shows(devices, node, (device, Some(token))).await?;
        ensure!(matches!(came, Came::Out(..)), "{device} came by {token}");
    }
    let (by_spring, came) = shows(devices, node, ("meter", Some(&spring))).await?;
    ensure!(came == Came::In);
    node.ask(&["device", "credential", "revoke", "meter", "spring"])?;
    goes(by_spring, "no credential of its own").await?;
    let (_, came) = shows(devices, node, ("meter", Some(&spring))).await?;
    out(&came, RefusedReason::NotYou, "no credential of its own")?;
    ensure!(shows(devices, node, ("meter", Some(&autumn))).await?.1 == Came::In);
    let entry = node.ask(&["device", "get", "meter"])?;
    ensure!(entry["credentials"][0]["name"] == "autumn", "{entry}");
    ensure!(!entry.to_string().contains(&autumn), "a token is not shown");
    Ok(())
}

async fn pins(devices: &Devices, node: &NodeProcess, dir: &std::path::Path) -> Result<()> {
    let (issued, other) = (devices.issue("valve", 0)?, devices.issue("valve", 0)?);
    let (cert, key) = (dir.join("valve.pem"), dir.join("valve.key"));
    issued.write(&cert, &key)?;
    let pin = format!("field={}", cert.display());
    node.ask(&["device", "register", "valve", "--certificate", &pin])?;
    for (identity, welcome) in [(&other, false), (&issued, true)] {
        let config = devices.client(Some(identity), ALPN)?;
        let mut raw = Raw::connect(&node.devices, config).await?;
        let came = greet(&mut raw, "valve", None).await?;
        ensure!((came == Came::In) == welcome, "{came:?}");
    }
    Ok(())
}

/// Gives a device something to show, for so long.
fn give(node: &NodeProcess, path: &str, proof: (&str, &[u8]), for_ms: u64) -> Result<()> {
    let sha256: String = sha256(proof.1).iter().map(|byte| format!("{byte:02x}")).collect();
    let credential = json!({proof.0: sha256, "expires_at_ms": Clock::new().wall().ms + for_ms});
    let reply = node.send_json("PUT", &format!("/v1/devices/{path}"), &credential.to_string())?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_what_opened_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = strict(NodeOptions::new(&dir.path().join("node"))).start()?;
    let devices = Devices::of(node.data())?;
    let (cert, key) = (dir.path().join("valve.pem"), dir.path().join("valve.key"));
    let issued = devices.issue("valve", 0)?;
    issued.write(&cert, &key)?;
    let pin = format!("field={}", cert.display());
    node.ask(&["device", "register", "valve", "--certificate", &pin])?;
    for device in ["meter", "pump"] {
        node.ask(&["device", "register", device])?;
    }
    let config = devices.client(Some(&issued), ALPN)?;
    let mut valve = Raw::connect(&node.devices, config).await?;
    ensure!(greet(&mut valve, "valve", None).await? == Came::In);
    let (mut pump, came) = comes(&devices, &node, "pump").await?;
    ensure!(came == Came::In);
    // One has an end before the device comes, the other gets one while it is there.
    let spring = ("token_sha256", &b"spring"[..]);
    let mut for_ms = 2_000;
    let meter = loop {
        give(&node, "meter/credentials/spring", spring, for_ms)?;
        let (meter, came) = shows(&devices, &node, ("meter", Some("spring"))).await?;
        if came == Came::In {
            break meter;
        }
        // A busy machine may take longer than that to let it in.
        out(&came, RefusedReason::NotYou, "\"spring\" of the device has expired")?;
        for_ms *= 2;
    };
    give(&node, "pump/credentials/spare", spring, 2_000)?;
    goes(meter, "\"spring\" of the device has expired").await?;
    let (_, came) = shows(&devices, &node, ("meter", Some("spring"))).await?;
    out(&came, RefusedReason::NotYou, "\"spring\" of the device has expired")?;
    ensure!(node.twin("meter")?["presence"]["connected"] == false, "{}", node.twin("meter")?);
    give(&node, "valve/credentials/field", ("certificate_sha256", &issued.chain()[0]), 2_000)?;
    goes(valve, "\"field\" of the device has expired").await?;
    // Who came by what has no end stays, whatever else expires.
    pump.say(&DeviceFrame::Get).await?;
    ensure!(matches!(pump.frame().await?, NodeFrame::Desired { .. }));
    Ok(())
}

#[test]
fn what_is_decided_at_one_node_holds_at_all_and_outlives_the_owner() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let name = |n: usize| format!("pump-{n}");
    for n in 0..12 {
        let node = cluster.node(n % 3)?;
        let path = format!("/v1/devices/{}", name(n));
        let reply = node.send_json("PUT", &path, r#"{"desired":{"on":true}}"#)?;
        ensure!(reply.status == 200 && reply.json()?["standing"] == "enabled", "{reply:?}");
        if n % 2 == 0 {
            let node = cluster.node((n + 1) % 3)?;
            let reply =
                node.send_json("POST", &format!("{path}/disable"), r#"{"reason":"audit"}"#)?;
            ensure!(reply.status == 200, "{reply:?}");
        }
    }
    let killed = cluster.busiest()?;
    cluster.kill(killed)?;
    for at in cluster.there() {
        for n in 0..12 {
            let entry = cluster.node(at)?.ask(&["device", "get", &name(n)])?;
            let standing = if n % 2 == 0 { "disabled" } else { "enabled" };
            ensure!(entry["standing"] == standing, "{entry}");
        }
    }
    bad_input(cluster.running()?)
}

fn bad_input(node: &NodeProcess) -> Result<()> {
    let digest = "ab".repeat(32);
    for (verb, path, body, status, said) in [
        ("GET", "/v1/devices/nobody", "", 404, "no such twin"),
        ("POST", "/v1/devices/nobody/enable", "", 404, "no such twin"),
        ("PUT", "/v1/devices/a%2Fb", "{}", 400, "device"),
        ("PUT", "/v1/devices/p", "[]", 400, "must be a JSON object"),
        ("PUT", "/v1/devices/p", r#"{"tag":{}}"#, 400, "no member \\\"tag\\\""),
        ("PUT", "/v1/devices/p", r#"{"tags":[]}"#, 400, "must be a JSON object"),
        ("PUT", "/v1/devices/p", r#"{"credentials":[{"name":"t"}]}"#, 400, "takes either"),
        ("PUT", "/v1/devices/pump-1/credentials/t", r#"{"token_sha256":"zz"}"#, 400, "64 hexa"),
        ("DELETE", "/v1/devices/pump-1/credentials/t", "", 404, "no credential"),
    ] {
        let reply = if body.is_empty() {
            node.send(verb, path, &[], b"")?
        } else {
            node.send_json(verb, path, body)?
        };
        ensure!(reply.status == status && reply.body.contains(said), "{verb} {path}: {reply:?}");
    }
    let past = format!(r#"{{"token_sha256":"{digest}","expires_at_ms":1}}"#);
    let reply = node.send_json("PUT", "/v1/devices/pump-1/credentials/t", &past)?;
    ensure!(reply.status == 400 && reply.body.contains("still to come"), "{reply:?}");
    Ok(())
}

#[test]
fn a_fleet_is_imported_and_bad_lines_are_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let file = dir.path().join("fleet.jsonl");
    let path = file.to_str().context("a path of characters")?;
    let mut lines = String::new();
    for n in 0..500 {
        writeln!(lines, r#"{{"device":"meter-{n}","tags":{{"n":{n}}}}}"#)?;
    }
    std::fs::write(&file, lines.clone() + "nonsense\n\n{\"device\":\"a/b\"}\n")?;
    let all = node.ask(&["device", "import", path, "--all-or-nothing"]);
    let said = format!("{:#}", all.err().context("it was taken")?);
    ensure!(said.contains("line 501: ") && said.contains("line 503: device"), "{said}");
    ensure!(said.contains("2 lines are bad; nothing was registered"), "{said}");
    ensure!(count(&node, "true")? == 0);
    let most = node.ask(&["device", "import", path]);
    let said = format!("{:#}", most.err().context("bad lines are a failure")?);
    ensure!(said.contains("2 lines were refused; the others are done"), "{said}");
    ensure!(count(&node, "tags.n >= 0")? == 500);
    std::fs::write(&file, lines)?;
    let sum = node.ask(&["device", "import", path, "--all-or-nothing"])?;
    ensure!(sum["registered"] == 500 && sum["refused"] == 0, "{sum}");
    ensure!(node.ask(&["device", "get", "meter-7"])?["standing"] == "enabled");
    Ok(())
}

fn count(node: &NodeProcess, filter: &str) -> Result<u64> {
    let found: Value = node.ask(&["twin", "query", filter, "--count"])?;
    found["matched"].as_u64().context("a count")
}
