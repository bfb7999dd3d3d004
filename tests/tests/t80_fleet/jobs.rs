//! Jobs through the real program: every door, steering, failures of every kind, and the loss of the node that carries
//! one out, after which no device was asked twice and the counts add up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::session::Backoff;
use pollux_device::{Device, Options};
use pollux_proto::v1;
use pollux_proto::v1::job_spec::{Action, Whose};
use pollux_proto::v1::jobs_client::JobsClient;
use pollux_runtime::clock::Clock;
use pollux_tests::node::cluster::{Cluster, QUICK};

use pollux_tests::node::{Devices, NodeOptions, NodeProcess, Reply};
use pollux_twin::{TwinKey, Value as Sent};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

/// Longest that a job of a test may take on a busy machine.
const JOB: Duration = Duration::from_secs(180);

/// What each device executed: its name and the command's, and how often.
type Executed = Arc<Mutex<BTreeMap<(String, String), u32>>>;

/// Devices that do what they are told, in ways of their own.
struct Fleet {
    all: Vec<Device>,
    executed: Executed,
}

impl Fleet {
    async fn connect(devices: &Devices, addresses: &[String], names: &[String]) -> Result<Self> {
        let executed = Executed::default();
        let mut all = Vec::new();
        for name in names {
            let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
            let addresses: Arc<[Arc<str>]> =
                addresses.iter().map(|address| Arc::from(address.as_str())).collect();
            let options = Options::new(addresses, name, devices.identity(name)?);
            let device = devices.open(options.backoff(backoff))?;
            obey(&device, name, &executed);
            all.push(device);
        }
        for device in &all {
            timeout(JOB, device.online()).await.context("a device gets no session")??;
        }
        Ok(Self { all, executed })
    }

    fn executed(&self, name: &str, command: &str) -> u32 {
        let executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed.get(&(name.to_owned(), command.to_owned())).copied().unwrap_or(0)
    }

    fn executed_by_all(&self, command: &str) -> Vec<u32> {
        let executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed.iter().filter(|((_, one), _)| one == command).map(|(_, count)| *count).collect()
    }
}

/// A `silent` device never answers, a `shaky` one fails the first time, all fail what is called `break`.
fn obey(device: &Device, name: &str, executed: &Executed) {
    device.on_desired(|_| async { Ok(()) });
    let (name, executed) = (name.to_owned(), Arc::clone(executed));
    device.on_command(move |command| {
        let what = (name.clone(), command.name.to_string());
        let times = {
            let mut executed = executed.lock().unwrap_or_else(PoisonError::into_inner);
            let times = executed.entry(what.clone()).or_default();
            *times += 1;
            *times
        };
        async move {
            if what.0.contains("silent") {
                std::future::pending::<()>().await;
            }
            let fails = what.1 == "break" || (what.0.contains("shaky") && times == 1);
            if fails { Err("it does not work".into()) } else { Ok(Sent::Null) }
        }
    });
}

fn ok(reply: &Reply) -> Result<Value> {
    ensure!(reply.status == 200, "{reply:?}");
    reply.json()
}

fn make(node: &NodeProcess, name: &str, spec: &Value) -> Result<Reply> {
    node.send_json("PUT", &format!("/v1/jobs/{name}"), &spec.to_string())
}

fn job(node: &NodeProcess, name: &str) -> Result<Value> {
    ok(&node.send("GET", &format!("/v1/jobs/{name}"), &[], b"")?)
}

/// Waits until a job is as expected.
async fn until(node: &NodeProcess, name: &str, good: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut seen = Value::Null;
    let waited = timeout(JOB, async {
        loop {
            // While an owner is lost nobody can tell.
            if let Ok(now) = job(node, name) {
                seen = now;
                if good(&seen) {
                    return;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.with_context(|| format!("{name} did not come to it"))?;
    Ok(seen)
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |job| job["state"] == state
}

fn total(job: &Value, name: &str) -> u64 {
    job["totals"][name].as_u64().unwrap_or(u64::MAX)
}

/// The counts add up, and so do the devices one by one.
fn adds_up(node: &NodeProcess, job: &Value) -> Result<BTreeMap<String, Value>> {
    let names = ["waiting", "under_way", "done", "failed", "unknown", "cancelled"];
    let sum: u64 = names.iter().map(|name| total(job, name)).sum();
    ensure!(sum == total(job, "devices"), "{job}");
    let name = job["name"].as_str().context("a name")?;
    let (mut all, mut token) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/v1/jobs/{name}/devices?page_size=7&page_token={token}");
        let page = ok(&node.send("GET", &path, &[], b"")?)?;
        for one in page["devices"].as_array().context("devices")? {
            all.insert(one["device"].as_str().context("a device")?.to_owned(), one.clone());
        }
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    for name in names {
        let count = all.values().filter(|one| one["state"] == name).count() as u64;
        ensure!(count == total(job, name), "{name}: {count} of {job}");
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_does_what_it_says_to_each_device() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let devices = Devices::of(node.data())?;
    let mut names: Vec<String> = (0..16).map(|n| format!("pump-{n:02}")).collect();
    names.extend(["pump-shaky".to_owned(), "pump-silent".to_owned()]);
    let fleet = Fleet::connect(&devices, std::slice::from_ref(&node.devices), &names).await?;
    ok(&node.send_json("PATCH", "/v1/twins/pump-away/tags", r#"{"n":1}"#)?)?;
    what_makes_no_job_is_refused(&node)?;
    desired_and_tags(&node).await?;
    commands(&node, &fleet).await?;
    a_canary_that_fails_stops_it(&node, &fleet).await?;
    steering(&node, &fleet).await?;
    ensure!(fleet.all.len() == names.len());
    Ok(())
}

fn what_makes_no_job_is_refused(node: &NodeProcess) -> Result<()> {
    let tags = json!({"n": 1});
    for (spec, said) in [
        (json!({"prefix": "", "tags": tags, "rate_per_s": 1_000_000}), "rate_per_s: 1000000"),
        (json!({"prefix": "", "tags": tags, "rate_per_s": 0}), "rate_per_s: takes more than 0"),
        (json!({"prefix": "nobody-", "tags": tags}), "selects no device"),
        (json!({"devices": [], "tags": tags}), "none named"),
        (json!({"prefix": "", "tags": tags, "batch": 5, "canary": 6}), "more than a batch"),
        (json!({"prefix": "", "tags": tags, "start_at_ms": 1_000}), "is over"),
        (json!({"prefix": "", "filter": "tags.n >", "tags": tags}), "filter: "),
        (json!({"prefix": "", "tags": tags, "timeout_ms": 999_999_999_999_u64}), "timeout_ms"),
        (json!({"prefix": "", "tags": tags, "speed": 1}), "no member"),
        (json!({"prefix": ""}), "action: none given"),
    ] {
        let reply = make(node, "bad", &spec)?;
        ensure!(reply.status == 400 && reply.body.contains(said), "{spec}: {reply:?}");
    }
    let none = ["job", "create", "bad", "--prefix", "", "--tags", r#"{"n":1}"#, "--rate", "0"];
    let refused = format!("{:#}", node.ask(&none).err().context("a rate of 0 was taken")?);
    ensure!(refused.contains("takes more than 0; leave it out for no limit"), "{refused}");
    let spec = json!({"prefix": "", "tags": tags});
    let reply = make(node, "b%20d", &spec)?;
    ensure!(reply.status == 400 && reply.body.contains("letters, digits"), "{reply:?}");
    let path = "/v1/tenants/_pollux/jobs/x";
    let reply = node.send_json("PUT", path, &spec.to_string())?;
    ensure!(reply.status == 400 && reply.body.contains("Pollux's own"), "{reply:?}");
    let reply = node.send("GET", "/v1/jobs/bad", &[], b"")?;
    ensure!(reply.status == 404, "nothing was made: {reply:?}");
    Ok(())
}

async fn desired_and_tags(node: &NodeProcess) -> Result<()> {
    // Those that are there, until they acknowledged it.
    let filter = "presence.connected";
    let spec =
        ["--prefix", "pump-", "--filter", filter, "--desired", r#"{"interval_s":10}"#, "--wait"];
    let made = node.ask(
        &[&["job", "create", "faster", "--canary", "2", "--batch", "5"], &spec[..]].concat(),
    )?;
    ensure!(made["state"] == "finished" && total(&made, "done") == 18, "{made}");
    for one in adds_up(node, &made)?.values() {
        ensure!(one["number"] == 1 && one["attempts"] == 1, "{one}");
    }
    let twin = node.twin("pump-07")?;
    ensure!(twin["desired_ack"]["version"] == 1, "{twin}");
    let by = twin["meta"]["desired"]["by"].as_str().context("by")?;
    ensure!(by.starts_with("job:faster:"), "{by}");
    // One that is away acknowledges nothing: nobody knows.
    let spec = json!({"devices": ["pump-00", "pump-away", "pump-none"], "desired": {"n": 2}, "timeout_ms": 1_500});
    ok(&make(node, "slow", &spec)?)?;
    let ended = until(node, "slow", is("finished")).await?;
    let all = adds_up(node, &ended)?;
    ensure!(all["pump-00"]["state"] == "done" && all["pump-away"]["state"] == "unknown", "{all:?}");
    ensure!(all["pump-none"]["state"] == "failed", "a job makes no twins: {all:?}");
    let reply = node.send("GET", "/v1/twins/pump-none", &[], b"")?;
    ensure!(reply.status == 404, "{reply:?}");
    // Tags, and the same again, and another of that name.
    let spec = json!({"prefix": "pump-", "tags": {"team": "blue"}});
    let made = ok(&make(node, "blue", &spec)?)?;
    let ended = until(node, "blue", is("finished")).await?;
    ensure!(total(&ended, "done") == 19, "{ended}");
    ensure!(node.twin("pump-away")?["tags"] == json!({"n": 1, "team": "blue"}));
    let again = ok(&make(node, "blue", &spec)?)?;
    ensure!(again["created_at_ms"] == made["created_at_ms"], "{again}");
    let reply = make(node, "blue", &json!({"prefix": "", "tags": {"team": "red"}}))?;
    ensure!(reply.status == 409 || reply.status == 412, "{reply:?}");
    Ok(())
}

async fn commands(node: &NodeProcess, fleet: &Fleet) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{}", node.grpc))?.connect().await?;
    let mut jobs = JobsClient::new(channel);
    let command = v1::JobCommand {
        name: "reboot".to_owned(),
        payload_json: String::new(),
        connected_only: true,
    };
    let spec = v1::JobSpec {
        whose: Some(Whose::Fleet(v1::JobFleet {
            prefix: "pump-".to_owned(),
            ..Default::default()
        })),
        action: Some(Action::Command(command)),
        timeout_ms: 1_500,
        retries: 1,
        retry_after_ms: 100,
        ..Default::default()
    };
    let (tenant, name) = (String::new(), "reboot".to_owned());
    let create = v1::CreateJobRequest { tenant, name: name.clone(), spec: Some(spec) };
    jobs.create(create).await?;
    let asked = v1::GetJobRequest { tenant: String::new(), name };
    let mut watched = jobs.watch(asked).await?.into_inner();
    let mut last = v1::Job::default();
    while let Some(now) = timeout(JOB, watched.message()).await.context("no word")?? {
        last = now;
    }
    ensure!(last.state() == v1::JobState::Finished, "{last:?}");
    let all = adds_up(node, &job(node, "reboot")?)?;
    for n in 0..16 {
        let name = format!("pump-{n:02}");
        ensure!(all[&name]["state"] == "done" && fleet.executed(&name, "reboot") == 1, "{all:?}");
    }
    // It failed, and was tried again.
    let shaky = &all["pump-shaky"];
    ensure!(shaky["state"] == "done" && shaky["attempts"] == 2, "{shaky}");
    ensure!(fleet.executed("pump-shaky", "reboot") == 2);
    // It may have done it, so it is not asked again.
    let silent = &all["pump-silent"];
    ensure!(silent["state"] == "unknown" && silent["attempts"] == 1, "{silent}");
    ensure!(fleet.executed("pump-silent", "reboot") == 1);
    let away = &all["pump-away"];
    ensure!(away["state"] == "failed" && away["attempts"] == 2, "{away}");
    Ok(())
}

async fn a_canary_that_fails_stops_it(node: &NodeProcess, fleet: &Fleet) -> Result<()> {
    let spec = json!({
        "prefix": "pump-0", "command": {"name": "break"}, "canary": 3, "abort_above_percent": 50,
    });
    ok(&make(node, "broken", &spec)?)?;
    let ended = until(node, "broken", is("aborted")).await?;
    ensure!(ended["reason"].as_str().is_some_and(|why| why.contains("3 of 3")), "{ended}");
    ensure!(total(&ended, "failed") == 3 && total(&ended, "waiting") == 7, "{ended}");
    adds_up(node, &ended)?;
    ensure!(fleet.executed_by_all("break") == [1, 1, 1]);
    Ok(())
}

async fn steering(node: &NodeProcess, fleet: &Fleet) -> Result<()> {
    let spec = json!({"prefix": "pump-0", "command": {"name": "turn"}, "rate_per_s": 4});
    ok(&make(node, "turn", &spec)?)?;
    until(node, "turn", |job| total(job, "done") >= 2).await?;
    let refused = node.send("DELETE", "/v1/jobs/turn", &[], b"")?;
    ensure!(refused.status == 400 && refused.body.contains("cancel it first"), "{refused:?}");
    let paused = ok(&node.send_json("POST", "/v1/jobs/turn/pause", "")?)?;
    ensure!(paused["state"] == "paused", "{paused}");
    sleep(Duration::from_millis(600)).await;
    let rested = fleet.executed_by_all("turn").len();
    sleep(Duration::from_millis(1_000)).await;
    ensure!(fleet.executed_by_all("turn").len() == rested, "it goes on while it is paused");
    ensure!(rested < 10, "it was over before it could be paused");
    node.ask(&["job", "resume", "turn"])?;
    until(node, "turn", |job| total(job, "done") > rested as u64).await?;
    node.ask(&["job", "cancel", "turn"])?;
    let ended = until(node, "turn", is("cancelled")).await?;
    adds_up(node, &ended)?;
    ensure!(fleet.executed_by_all("turn").iter().all(|times| *times == 1));
    let resumed = node.ask(&["job", "resume", "turn"]);
    ensure!(resumed.is_err(), "{resumed:?}");
    // A command that waits for its device is withdrawn.
    ok(&make(node, "later", &json!({"devices": ["pump-away"], "command": {"name": "x"}}))?)?;
    until(node, "later", |job| total(job, "under_way") == 1).await?;
    node.ask(&["job", "cancel", "later"])?;
    let ended = until(node, "later", is("cancelled")).await?;
    ensure!(total(&ended, "cancelled") == 1, "{ended}");
    let twin = node.twin("pump-away")?;
    ensure!(twin["commands"][0]["state"] == "cancelled", "{twin}");
    // One that is to come, and is over before.
    let soon =
        json!({"prefix": "pump-", "tags": {"late": true}, "start_at_ms": 4_000_000_000_000_u64});
    let refused = make(node, "soon", &soon)?;
    ensure!(refused.status == 400 && refused.body.contains("a year ahead"), "{refused:?}");
    let at = job(node, "later")?["created_at_ms"].as_u64().context("a time")? + 3_600_000;
    let soon = json!({"prefix": "pump-", "tags": {"late": true}, "start_at_ms": at});
    ensure!(ok(&make(node, "soon", &soon)?)?["state"] == "scheduled");
    node.ask(&["job", "cancel", "soon"])?;
    until(node, "soon", is("cancelled")).await?;
    // Forgotten, with all of their parts.
    let listed = node.ask(&["job", "list"])?;
    for one in listed["jobs"].as_array().context("jobs")? {
        node.ask(&["job", "delete", one["name"].as_str().context("a name")?])?;
    }
    ensure!(node.ask(&["job", "list"])?["jobs"] == json!([]));
    let left = ok(&node.send("GET", "/v1/tenants/_pollux/twins", &[], b"")?)?;
    ensure!(left["twins"] == json!([]), "{left}");
    Ok(())
}

/// A job that is to come does nothing before its time, and begins by itself then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_job_starts_at_its_time() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let devices = ["pump-0", "pump-1"];
    for device in devices {
        ok(&node.send_json("PATCH", &format!("/v1/twins/{device}/tags"), r#"{"n":1}"#)?)?;
    }
    let start = Clock::new().wall().ms + 2_000;
    let spec = json!({"prefix": "pump-", "tags": {"night": true}, "start_at_ms": start});
    ensure!(ok(&make(&node, "night", &spec)?)?["state"] == "scheduled");
    let ended = timeout(JOB, async {
        loop {
            let twins = devices.iter().map(|device| node.twin(device));
            let twins: Vec<Value> = twins.collect::<Result<_>>()?;
            let seen = job(&node, "night")?;
            let early = twins.iter().any(|twin| twin["tags"] != json!({"n": 1}));
            ensure!(seen["state"] != "scheduled" || !early, "before its time: {twins:?}");
            if seen["state"] == "finished" {
                return anyhow::Ok(seen);
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let ended = ended.await.context("it never began")??;
    let at = |of: &Value, name: &str| of[name].as_u64().context("a time");
    ensure!(at(&ended, "started_at_ms")? >= start, "{start}: {ended}");
    ensure!(total(&ended, "done") == 2, "{ended}");
    for one in adds_up(&node, &ended)?.values() {
        ensure!(at(one, "at_ms")? >= start, "{start}: {one}");
    }
    for device in devices {
        let twin = node.twin(device)?;
        ensure!(twin["tags"] == json!({"n": 1, "night": true}), "{twin}");
    }
    Ok(())
}

/// The node that carries a job out is killed in the middle, and the next one stands still for a while: others go on,
/// and no device is asked twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_owner_costs_no_device_its_one_execution() -> Result<()> {
    const DEVICES: usize = 80;
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let names: Vec<String> = (0..DEVICES).map(|n| format!("valve-{n:02}")).collect();
    let fleet = Fleet::connect(&devices, &cluster.device_addresses(), &names).await?;
    let spec = json!({
        "prefix": "valve-", "command": {"name": "turn"}, "rate_per_s": 20, "timeout_ms": 20_000,
        "retries": 2, "retry_after_ms": 500,
    });
    ok(&make(cluster.node(0)?, "turn", &spec)?)?;
    let shard = TwinKey::parse("_pollux/job:default:turn")?.shard(4);
    let owner = |cluster: &Cluster| cluster.owner(usize::from(shard.0));

    until(cluster.node(0)?, "turn", |job| total(job, "done") >= 10).await?;
    let victim = owner(&cluster)?;
    cluster.kill(victim)?;
    let survivor = *cluster.there().first().context("a survivor")?;
    until(cluster.node(survivor)?, "turn", |job| total(job, "done") >= 25).await?;
    cluster.start(victim)?;
    cluster.settled()?;

    let victim = owner(&cluster)?;
    cluster.node(victim)?.freeze()?;
    let others = cluster.there().into_iter().filter(|node| *node != victim);
    let survivor = others.min().context("a survivor")?;
    let seen = until(cluster.node(survivor)?, "turn", |job| total(job, "done") >= 25).await;
    let beyond = seen.map(|job| total(&job, "done") + 10)?;
    until(cluster.node(survivor)?, "turn", |job| {
        total(job, "done") >= beyond || job["state"] == "finished"
    })
    .await?;
    cluster.node(victim)?.go_on()?;
    cluster.settled()?;

    let ended = until(cluster.node(survivor)?, "turn", is("finished")).await?;
    let all = adds_up(cluster.node(survivor)?, &ended)?;
    ensure!(all.len() == DEVICES, "{ended}");
    for (name, one) in &all {
        let times = fleet.executed(name, "turn");
        // An attempt that expired was never delivered; one that was is the last.
        ensure!(times <= 1, "{name} executed it {times} times: {one}");
        ensure!(one["state"] != "done" || times == 1, "{name} did not do it: {one}");
    }
    ensure!(total(&ended, "done") > DEVICES as u64 / 2, "{ended}");
    Ok(())
}

/// A job acts by the rights of whoever made it, at each device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_may_what_its_maker_may() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("node"));
    let node = options.with("POLLUX_ACCESS__MODE", "enforced").start()?;
    for device in ["pump-1", "pump-2", "valve-1"] {
        node.ask(&["twin", "patch", device, r#"{"n":1}"#, "--section", "tags"])?;
    }
    let token = |name: &str| -> Result<String> {
        node.ask(&["access", "principal", "add", name])?;
        let made = node.ask(&["access", "principal", "token", name])?;
        Ok(made["token"].as_str().context("a token")?.to_owned())
    };
    let (ops, other) = (token("ops")?, token("other")?);
    let policy = |name: &str, actions: &str, on: &str| {
        let verb =
            ["access", "policy", "put", name, "--to", "ops", "--action", actions, "--on", on];
        node.ask(&verb)
    };
    policy("jobs", "job:read,job:manage", "default/*")?;
    policy("pumps", "twin:write", "default/pump-1")?;
    let create = ["job", "create", "mark", "--prefix", "", "--tags", r#"{"m":1}"#];
    let refused = node.ask_as(&other, &create).err().context("it was made")?.to_string();
    ensure!(refused.contains("job:manage"), "{refused}");
    let filtered = ["job", "create", "f", "--filter", "tags.n == 1", "--tags", r#"{"m":1}"#];
    let refused = node.ask_as(&ops, &filtered).err().context("it was made")?.to_string();
    ensure!(refused.contains("twin:query"), "{refused}");
    node.ask_as(&ops, &create)?;
    let ended = timeout(JOB, async {
        loop {
            let seen = node.ask_as(&ops, &["job", "get", "mark"])?;
            if seen["state"] == "finished" {
                return Ok::<_, anyhow::Error>(seen);
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    let ended = ended.await??;
    ensure!(total(&ended, "done") == 1 && total(&ended, "failed") == 2, "{ended}");
    ensure!(ended["created_by"] == "ops", "{ended}");
    let failed = node.ask_as(&ops, &["job", "devices", "mark", "--state", "failed"])?;
    let why = failed["devices"][0]["reason"].as_str().context("a reason")?;
    ensure!(why.contains("twin:write") && why.contains("pump-2"), "{failed}");
    let hidden = node.ask_as(&other, &["job", "get", "mark"]).err().context("it was shown")?;
    ensure!(hidden.to_string().contains("job:read"), "{hidden}");
    ensure!(node.ask_as(&other, &["job", "list"])?["jobs"] == json!([]));
    node.ask_as(&ops, &["job", "delete", "mark"])?;
    let audit = node.ask(&["access", "audit"])?.to_string();
    for what in ["job create", "job delete"] {
        ensure!(audit.contains(what), "{what}: {audit}");
    }
    Ok(())
}
