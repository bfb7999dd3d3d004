//! The service client against the real program, over a wire that is cut: nothing is missed and nothing told twice,
//! and what cannot be done twice is repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_client::{
    Client, ErrorKind, Event, NewCommand, NewDevice, Options, Rejection, Section, Watch, Write, v1,
};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::Authority;
use pollux_tests::node::{NodeOptions, NodeProcess, Wire};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Longest that one event may take on a busy machine.
const STEP: Duration = Duration::from_secs(60);
/// Writes that are followed over a wire that is cut.
const WRITES: u64 = 60;
fn client(address: &str) -> Result<Client> {
    Ok(Client::new(&Options::new([address]))?)
}

async fn write(client: &Client, prefix: &str, n: u64) -> Result<()> {
    let device = format!("{prefix}-{}", n % 3);
    client.twins().patch(&device, Section::Tags, &json!({ "n": n })).await?;
    Ok(())
}

/// The device and the number that a change brought.
fn brought(event: &Event) -> Result<(String, u64)> {
    let Event::Changed(changed) = event else { anyhow::bail!("no change: {event:?}") };
    let Some(v1::changed::What::Patched(patched)) = &changed.what else {
        anyhow::bail!("no patch: {changed:?}")
    };
    let Some(v1::section_patched::Change::MergeJson(json)) = &patched.change else {
        anyhow::bail!("no merge: {patched:?}")
    };
    let patch = pollux_client::value(json)?;
    Ok((changed.device.clone(), patch["n"].as_u64().context("a number")?))
}

fn expected(prefix: &str, of: std::ops::Range<u64>) -> BTreeMap<String, Vec<u64>> {
    let mut all = BTreeMap::<String, Vec<u64>>::new();
    for n in of {
        all.entry(format!("{prefix}-{}", n % 3)).or_default().push(n);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_goes_on_without_gap_or_double() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let wire = Wire::to(&node).await?;
    let (direct, cut) = (client(&format!("http://{}", node.grpc))?, client(&wire.address)?);

    // Writes go through the cut wire, too: each is made once, however often it was sent.
    let mut watching = cut.twins().watch(&Watch::prefix("watched-")).await?;
    // It is known from the beginning from where to go on.
    ensure!(!watching.position().is_empty());
    wire.cut();
    write(&direct, "watched", 0).await?;
    ensure!(brought(&timeout(STEP, watching.next()).await??)? == ("watched-0".to_owned(), 0));
    let follow = async {
        let mut seen = BTreeMap::<String, Vec<u64>>::new();
        for _ in 1..WRITES {
            let event = loop {
                match timeout(STEP, watching.next()).await?? {
                    Event::Progress => {}
                    event => break event,
                }
            };
            let (device, n) = brought(&event)?;
            seen.entry(device).or_default().push(n);
        }
        Ok(seen)
    };
    let writes = async {
        for n in 1..WRITES {
            sleep(Duration::from_millis(20)).await;
            write(&cut, "watched", n).await?;
        }
        Ok(())
    };
    let (seen, ()) = wire.cut_during(Box::pin(async { tokio::try_join!(follow, writes) })).await?;
    let taken = wire.taken();
    ensure!(taken > 3, "{taken} connections: too little was cut");
    ensure!(seen == expected("watched", 1..WRITES), "{seen:?}");
    for (device, numbers) in expected("watched", 0..WRITES) {
        let tags = direct.twins().get(&device).await?.tags.unwrap_or_default();
        ensure!(tags.version == numbers.len() as u64, "{device}: version {}", tags.version);
    }

    let subscriptions = direct.subscriptions();
    subscriptions.create("billing", &Watch::prefix("billed-")).await?;
    for n in 0..WRITES {
        write(&direct, "billed", n).await?;
    }
    let mut consumer = cut.subscriptions().consume("billing", 7).await?;
    let consume = async {
        let mut seen = BTreeMap::<String, Vec<u64>>::new();
        while seen.values().map(Vec::len).sum::<usize>() < usize::try_from(WRITES)? {
            let delivery = timeout(STEP, consumer.next()).await??;
            let (device, n) = brought(&delivery.event)?;
            let of = seen.entry(device).or_default();
            // At least once: what comes again was seen before.
            if !of.contains(&n) {
                of.push(n);
            }
            sleep(Duration::from_millis(10)).await;
            consumer.acknowledge(&delivery);
        }
        Ok(seen)
    };
    let seen = wire.cut_during(consume).await?;
    ensure!(seen == expected("billed", 0..WRITES), "{seen:?}");
    consumer.finish().await?;
    // All of it is remembered, and a newer consumer ends this one.
    write(&direct, "billed", WRITES).await?;
    let mut consumer = subscriptions.consume("billing", 0).await?;
    let delivery = timeout(STEP, consumer.next()).await??;
    ensure!(brought(&delivery.event)? == ("billed-0".to_owned(), WRITES), "{delivery:?}");
    let newer = subscriptions.consume("billing", 0).await?;
    let error = timeout(STEP, consumer.next()).await?.expect_err("it was taken over");
    ensure!(*error.kind() == ErrorKind::TakenOver, "{error:?}");
    newer.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_whatever_breaks() -> Result<()> {
    const DEVICES: u64 = 30;
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let wire = Wire::to(&node).await?;
    let (direct, cut) = (client(&format!("http://{}", node.grpc))?, client(&wire.address)?);
    for n in 0..DEVICES {
        direct.devices().register(NewDevice::new(format!("steered-{n}"))).await?;
    }
    let fleet = v1::JobFleet { prefix: "steered-".into(), filter: String::new() };
    let spec = v1::JobSpec {
        whose: Some(v1::job_spec::Whose::Fleet(fleet)),
        action: Some(v1::job_spec::Action::TagsJson(r#"{"lot":7}"#.into())),
        rate_per_s: 10,
        ..Default::default()
    };
    direct.jobs().create("lot", spec.clone()).await?;
    let mut following = cut.jobs().follow("lot");
    let follow = async {
        let mut told = Vec::new();
        while let Some(job) = timeout(STEP, following.next()).await?? {
            told.push(job);
        }
        Ok(told)
    };
    let told = wire.cut_during(follow).await?;
    let done = |job: &v1::Job| job.totals.unwrap_or_default().done;
    ensure!(told.windows(2).all(|two| two[0] != two[1] && done(&two[0]) <= done(&two[1])));
    let last = told.last().context("it was told")?;
    ensure!(last.state() == v1::JobState::Finished && done(last) == DEVICES, "{last:?}");
    ensure!(wire.taken() > 1, "nothing was cut");

    let jobs = direct.jobs();
    let devices = jobs.devices("lot", v1::JobDeviceState::Done).await?;
    ensure!(devices.len() as u64 == DEVICES, "{devices:?}");
    let other = v1::JobSpec { rate_per_s: 9, ..spec };
    let error = jobs.create("lot", other).await.expect_err("another of that name");
    ensure!(error.reason() == Some("version_mismatch"), "{error:?}");
    named_in_pages(&direct, &node).await?;
    jobs.delete("lot").await?;
    ensure!(jobs.list("").await?.is_empty());
    let error = jobs.follow("lot").next().await.expect_err("it is forgotten");
    ensure!(error.reason() == Some("not_found"), "{error:?}");
    Ok(())
}

/// Lists of jobs have pages, at each of the doors.
async fn named_in_pages(pollux: &Client, node: &NodeProcess) -> Result<()> {
    let devices = v1::JobDevices { devices: vec!["steered-0".into()] };
    let spec = v1::JobSpec {
        whose: Some(v1::job_spec::Whose::Devices(devices)),
        action: Some(v1::job_spec::Action::TagsJson(r#"{"lot":8}"#.into())),
        ..Default::default()
    };
    for name in ["a", "m", "z"] {
        pollux.jobs().create(name, spec.clone()).await?;
    }
    let names = |jobs: &[v1::Job]| jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>();
    ensure!(names(&pollux.jobs().list("").await?) == ["a", "lot", "m", "z"]);
    let page = node.ask(&["job", "list", "--limit", "3"])?;
    ensure!(page["jobs"][2]["name"] == "m" && page["next_cursor"] == "m", "{page}");
    let rest = node.ask(&["job", "list", "--limit", "3", "--cursor", "m"])?;
    ensure!(rest["jobs"][0]["name"] == "z" && rest.get("next_cursor").is_none(), "{rest}");
    let reply = node.send("GET", "/v1/jobs?page_size=1&page_token=a", &[], b"")?;
    let page: serde_json::Value = serde_json::from_str(&reply.body)?;
    ensure!(page["jobs"][0]["name"] == "lot" && page["next_page_token"] == "lot", "{page}");
    let reply = node.send("GET", "/v1/jobs?page_token=a%2Fb", &[], b"")?;
    ensure!(reply.status == 400 && reply.body.contains("page_token"), "{reply:?}");
    for name in ["a", "m", "z"] {
        let mut following = pollux.jobs().follow(name);
        while timeout(STEP, following.next()).await??.is_some() {}
        pollux.jobs().delete(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_say_what_became_of_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let address = format!("http://{}", node.grpc);
    // Whichever node is asked first, the other one answers.
    for _ in 0..4 {
        let both = Client::new(&Options::new(["http://127.0.0.1:1", address.as_str()]))?;
        both.twins().patch("pump-1", Section::Tags, &json!({"serial": u64::MAX})).await?;
    }
    let pollux = Client::connect(&Options::new([address])).await?;
    let twins = pollux.twins();
    let tags = twins.get("default/pump-1").await?.tags.unwrap_or_default();
    ensure!(pollux_client::value(&tags.json)? == json!({"serial": u64::MAX}), "{tags:?}");

    let late = Write::whole("pump-1", Section::Tags, &json!({})).expected_version(7);
    let error = twins.write(late).await.expect_err("it has another version");
    let actual =
        Rejection::VersionMismatch { section: Some(Section::Tags), expected: 7, actual: 1 };
    ensure!(error.rejection() == Some(&actual), "{error:?}");
    ensure!(error.reason() == Some("version_mismatch"), "{error:?}");
    let once = || Write::merge("pump-1", Section::Tags, &json!({"a": 1})).key("once");
    ensure!(twins.write(once()).await? == twins.write(once()).await?);
    let error = twins.get("a b").await.expect_err("it is no name");
    ensure!(*error.kind() == ErrorKind::Usage, "{error:?}");

    let restart = NewCommand::new("pump-1", "restart");
    let error = pollux.commands().send(restart.clone()).await.expect_err("no device is there");
    ensure!(error.rejection() == Some(&Rejection::DeviceOffline), "{error:?}");
    let queued = pollux.commands().send(restart.queue()).await?;
    let cancelled = pollux.commands().cancel("pump-1", queued.id).await?;
    ensure!(cancelled.state() == v1::CommandState::Cancelled, "{cancelled:?}");

    let pump = NewDevice::new("pump-2").tags(&json!({"site": "Oslo"}));
    pollux.devices().register(pump).await?;
    ensure!(pollux.devices().disable("pump-2", "stolen").await?.reason == "stolen");
    ensure!(twins.count("", "standing == \"disabled\"").await? == 1);
    ensure!(pollux.cluster_status().await?.nodes.len() == 1);
    ensure!(!pollux.who_am_i().await?.enforced);
    ensure!(twins.delete("pump-2", None, None).await? > 1);
    let gone = pollux.devices().deleted("", "pump").await?;
    ensure!(gone.len() == 1 && gone[0].device == "pump-2" && !gone[0].is_back, "{gone:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fleet_is_made_of_is_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let pollux = client(&format!("http://{}", node.grpc))?;

    let limits = v1::TenantLimits { devices: Some(1), ..Default::default() };
    pollux.tenants().limit("acme", limits, "a trial").await?;
    ensure!(pollux.tenants().get("acme").await?.limits == Some(limits));
    ensure!(pollux.tenants().list().await?.len() == 1);

    let schemas_json = r#"{"desired":{"type":"object"}}"#.to_owned();
    let pump = v1::PutTypeRequest { name: "pump".into(), schemas_json, ..Default::default() };
    ensure!(pollux.types().put(pump).await?.version == 1);
    ensure!(pollux.types().list("").await?.len() == 1);
    pollux.types().remove("pump").await?;
    let error = pollux.types().get("default/pump").await.expect_err("it is gone");
    ensure!(error.reason() == Some("unknown_type"), "{error:?}");

    let north = v1::PutGroupRequest { name: "north".into(), ..Default::default() };
    pollux.groups().put(north).await?;
    pollux.devices().register(NewDevice::new("pump-1")).await?;
    ensure!(pollux.groups().add("north", vec!["pump-1".into()]).await?.done == 1);
    ensure!(pollux.groups().members("north").await? == ["pump-1"]);
    ensure!(pollux.groups().take_out("north", vec!["pump-1".into()]).await?.done == 1);
    ensure!(pollux.groups().get("north").await?.filter.is_empty());
    pollux.groups().remove("north").await?;
    ensure!(pollux.groups().list("").await?.is_empty());

    let spring = v1::Enrolment { name: "spring".into(), most: 1, ..Default::default() };
    let put = v1::PutEnrolmentRequest { enrolment: Some(spring), new_key: false };
    ensure!(!pollux.enrolments().put(put).await?.key.is_empty());
    let asked = v1::ProvisionRequest {
        enrolment: "spring".into(),
        device: "pump-2".into(),
        ..Default::default()
    };
    let error = pollux.enrolments().provision(asked).await.expect_err("nothing is proven");
    ensure!(error.reason() == Some("not_enrolled"), "{error:?}");
    ensure!(pollux.enrolments().get("spring").await?.most == 1);
    pollux.enrolments().remove("spring").await?;
    ensure!(pollux.enrolments().list("").await?.is_empty());
    artifacts(&pollux).await
}

async fn artifacts(pollux: &Client) -> Result<()> {
    use v1::get_artifact_response::Part as Got;
    use v1::put_artifact_request::Part;

    let (name, version) = ("pump-fw".to_owned(), "2.1".to_owned());
    let new = v1::NewArtifact { name, version, ..Default::default() };
    let parts = [Part::Artifact(new), Part::Data(vec![7; 9])];
    let parts = parts.map(|part| v1::PutArtifactRequest { part: Some(part) });
    let put = pollux.artifacts().put(tokio_stream::iter(parts)).await?;
    ensure!(pollux.artifacts().list("", "pump").await? == std::slice::from_ref(&put));
    let (name, version) = (put.name.clone(), put.version.clone());
    let wanted = v1::GetArtifactRequest { name, version, offset: 4, ..Default::default() };
    let mut coming = pollux.artifacts().get(wanted).await?;
    let mut bytes = Vec::new();
    while let Some(message) = coming.message().await? {
        if let Some(Got::Data(data)) = message.part {
            bytes.extend_from_slice(&data);
        }
    }
    ensure!(bytes == [7; 5], "{bytes:?}");
    let (name, public_key) = ("release".to_owned(), vec![7; 32]);
    let key = v1::PutArtifactKeyRequest { name, public_key, ..Default::default() };
    let key = pollux.artifacts().put_key(key).await?;
    ensure!(pollux.artifacts().list_keys("").await? == [key]);
    let name = "release".to_owned();
    let key = v1::RemoveArtifactKeyRequest { name, ..Default::default() };
    pollux.artifacts().remove_key(key).await?;
    let (name, version) = (put.name.clone(), put.version.clone());
    let gone = v1::RemoveArtifactRequest { name, version, ..Default::default() };
    pollux.artifacts().remove(gone).await?;
    let (name, version) = (put.name, put.version);
    let asked = v1::DescribeArtifactRequest { name, version, ..Default::default() };
    ensure!(pollux.artifacts().describe(asked).await.is_err(), "it is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_a_node_is_proven_at_both_ends() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let now = Clock::new().wall();
    let ca = Authority::open_or_make(&path("ca"), "ca", "the services' CA", now, 9)?;
    ca.issue_server(&[], now, 9)?.write(&path("node.pem"), &path("node.key"))?;
    let options = NodeOptions::new(&path("node"))
        .with("POLLUX_ACCESS__MODE", "enforced")
        .with("POLLUX_SERVICES__CERT", &path("node.pem").display().to_string())
        .with("POLLUX_SERVICES__KEY", &path("node.key").display().to_string());
    let node = options.start()?;
    let token = std::fs::read_to_string(node.data().join(pollux_runtime::ROOT_TOKEN_FILE))?;
    let pem = std::fs::read(path("ca").join("ca.pem"))?;
    let way = || Options::new([format!("https://{}", node.grpc)]).timeout(Duration::from_secs(5));

    let pollux = Client::connect(&way().ca(pem.clone()).token(token.trim())).await?;
    ensure!(pollux.who_am_i().await?.enforced);
    pollux.twins().patch("pump-1", Section::Tags, &json!({"a": 1})).await?;
    for stranger in [way().ca(pem.clone()), way().ca(pem).token("wrong")] {
        let pollux = Client::connect(&stranger).await?;
        let error = pollux.twins().get("pump-1").await.expect_err("nobody knows who calls");
        ensure!(error.reason() == Some("unauthenticated"), "{error:?}");
        let error = pollux.twins().watch(&Watch::all()).await.expect_err("nor who watches");
        ensure!(error.reason() == Some("unauthenticated"), "{error:?}");
    }
    let error = Client::connect(&way()).await.expect_err("nobody knows the node");
    ensure!(*error.kind() == ErrorKind::Unreachable, "{error:?}");

    let program = std::process::Command::new(pollux_tests::node::program()?)
        .args(["twin", "get", "pump-1", "--output", "json", "--grpc-ca"])
        .arg(path("ca").join("ca.pem"))
        // The first is not there.
        .env("POLLUX_GRPC", format!("http://127.0.0.1:1, https://{}", node.grpc))
        .env("POLLUX_TOKEN", token.trim())
        .output()?;
    ensure!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
    Ok(())
}
