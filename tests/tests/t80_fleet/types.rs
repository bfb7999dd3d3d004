//! Device types and groups through the real program: by all doors, with a real device, on several nodes, and after
//! the worst of ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use pollux_device::enrol::DeviceKey;
use pollux_device::{Device, Endpoint, Fault, Identity, Options, Trust};
use pollux_runtime::clock::Clock;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::http::Reply;
use pollux_tests::node::{Devices, NodeOptions, NodeProcess};
use pollux_twin::{JsonLimits, Rejection, Value};
use serde_json::json;

const PUMP: &str = r#"{
    "desired": {"properties": {"interval_s": {"type": "integer", "minimum": 1}}},
    "reported": {"properties": {"level": {"type": "number", "maximum": 100}}},
    "commands": {"restart": {"properties": {"after_s": {"type": "integer"}}}}
}"#;

fn value(text: &str) -> Result<Value> {
    Ok(Value::from_json(text, &JsonLimits::default())?)
}

/// What the device is told about a report.
async fn reported(device: &Device, patch: &str) -> Result<Option<String>> {
    match device.report(value(patch)?).await {
        Ok(_) => Ok(None),
        Err(Fault::Rejected(Rejection::Invalid { reason })) => Ok(Some(reason)),
        Err(other) => Err(other.into()),
    }
}

fn put_type(node: &NodeProcess, dir: &Path, schemas: &str) -> Result<serde_json::Value> {
    let file = dir.join("type.json");
    std::fs::write(&file, schemas)?;
    node.ask(&["type", "put", "pump", file.to_str().context("a path of characters")?])
}

fn failed(node: &NodeProcess, verb: &[&str], said: &str) -> Result<()> {
    let failure = format!("{:#}", node.ask(verb).err().context("it was taken")?);
    let failure = failure.replace("\\\"", "\"");
    ensure!(failure.contains(said), "{verb:?}: {failure}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_is_asked_of_all_that_is_written() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let devices = Devices::of(node.data())?;
    failed(&node, &["device", "register", "p", "--type", "pump"], "no device type \"pump\"")?;
    let put = put_type(&node, dir.path(), PUMP)?;
    ensure!(put["version"] == 1 && put["schemas"]["desired"].is_object(), "{put}");
    ensure!(put_type(&node, dir.path(), PUMP)?["version"] == 1, "nothing changed");
    let entry = node.ask(&["device", "register", "p", "--type", "pump"])?;
    ensure!(entry["type"] == "pump" && entry["type_version"] == 1, "{entry}");

    let device = devices.start(&node.devices, "p")?;
    ensure!(reported(&device, r#"{"level":50}"#).await?.is_none());
    let said = reported(&device, r#"{"level":150}"#).await?.context("it was taken")?;
    ensure!(
        said.contains("reported at /level is not as type \"pump\" (version 1) has it"),
        "{said}"
    );
    ensure!(node.twin("p")?["reported"] == json!({"level": 50}));
    services(&node)?;
    bad_input(&node, dir.path())?;

    // A newer version counts at once; the session goes on.
    let wider = PUMP.replace("100", "200");
    ensure!(put_type(&node, dir.path(), &wider)?["version"] == 2);
    ensure!(reported(&device, r#"{"level":150}"#).await?.is_none());
    let found = node.ask(&["twin", "query", "type == \"pump\" && type_version == 2", "--count"])?;
    ensure!(found["matched"] == 1, "{found}");

    groups(&node)?;
    // What was agreed on is there after the worst of ends.
    let again = node.again();
    node.kill()?;
    let node = again.start()?;
    let device = devices.start(&node.devices, "p")?;
    let said = reported(&device, r#"{"level":250}"#).await?.context("it was taken")?;
    ensure!(said.contains("(version 2)"), "{said}");
    ensure!(node.ask(&["group", "members", "north"])?["devices"] == json!(["p", "q"]));
    node.ask(&["type", "remove", "pump"])?;
    ensure!(reported(&device, r#"{"level":250}"#).await?.is_none(), "it asks nothing any more");
    ensure!(put_type(&node, dir.path(), PUMP)?["version"] == 4, "its name goes on counting");
    let audit = node.ask(&["access", "audit"])?.to_string();
    ensure!(audit.contains("type put") && audit.contains("default/pump"), "{audit}");
    Ok(())
}

/// The same by HTTP and gRPC.
fn services(node: &NodeProcess) -> Result<()> {
    for (verb, path, body, status, said) in [
        ("PATCH", "/v1/twins/p/desired", r#"{"interval_s":30}"#, 200, "version"),
        ("PATCH", "/v1/twins/p/desired", r#"{"interval_s":0}"#, 422, "\"path\":\"/interval_s\""),
        (
            "PUT",
            "/v1/twins/p/desired",
            r#"{"interval_s":"x"}"#,
            422,
            "\"reason\":\"schema_violated\"",
        ),
        ("PATCH", "/v1/twins/p/tags", r#"{"interval_s":0}"#, 200, "version"),
        (
            "POST",
            "/v1/twins/p/commands",
            r#"{"name":"restart","payload":{"after_s":"5"}}"#,
            422,
            "/after_s",
        ),
        (
            "POST",
            "/v1/twins/p/commands",
            r#"{"name":"fly","payload":null}"#,
            422,
            "no such command; it has restart",
        ),
        ("PUT", "/v1/devices/p", r#"{"desired":{"interval_s":-1}}"#, 422, "desired at /interval_s"),
        ("GET", "/v1/types/pump", "", 200, "\"version\":1"),
        ("GET", "/v1/types/valve", "", 404, "unknown_type"),
        ("GET", "/v1/types", "", 200, "\"name\":\"pump\""),
        (
            "PUT",
            "/v1/types/valve",
            r#"{"schemas":{"desired":{"$ref":"http://x.example/"}}}"#,
            400,
            "nothing is fetched",
        ),
        ("PUT", "/v1/types/valve", r#"{"schema":{}}"#, 400, "no member"),
        ("PUT", "/v1/types/va%20lve", r#"{"schemas":{}}"#, 409, "letters, digits"),
        ("PUT", "/v1/tenants/acme/types/valve", r#"{"schemas":{},"note":"for acme"}"#, 200, "acme"),
        ("DELETE", "/v1/types/valve", "", 404, "unknown_type"),
    ] {
        let reply = match body {
            "" => node.send(verb, path, &[], b"")?,
            body => node.send_json(verb, path, body)?,
        };
        ensure!(reply.status == status && reply.body.contains(said), "{verb} {path}: {reply:?}");
    }
    let twin = ["twin", "patch", "p", "--section", "desired", r#"{"interval_s":0}"#];
    let refused = node.ask(&twin).err().map(|error| format!("{error:#}"));
    let refused = refused.context("it was taken")?;
    ensure!(refused.contains("schema_violated") || refused.contains("/interval_s"), "{refused}");
    Ok(())
}

fn bad_input(node: &NodeProcess, dir: &Path) -> Result<()> {
    for (schemas, said) in [
        (r##"{"reported":{"$ref":"#"}}"##, "for ever"),
        (r#"{"reported":{"type":"nubmer"}}"#, "/reported/type"),
        ("nonsense", "at byte 0"),
    ] {
        let failure = put_type(node, dir, schemas).err().context("it was taken")?;
        ensure!(format!("{failure:#}").contains(said), "{failure:#}");
    }
    ensure!(node.ask(&["type", "get", "pump"])?["version"] == 1, "nothing of it counts");
    Ok(())
}

fn groups(node: &NodeProcess) -> Result<()> {
    failed(node, &["group", "add", "north", "p"], "no group \"north\"")?;
    node.ask(&["group", "put", "north", "--note", "what stands in the north"])?;
    node.ask(&["group", "put", "high", "--filter", "reported.level > 100"])?;
    node.ask(&["device", "register", "q", "--group", "north"])?;
    node.ask(&["device", "register", "r"])?;
    ensure!(node.ask(&["group", "add", "north", "p", "q"])?["done"] == 2);
    failed(node, &["group", "add", "north", "p", "nobody"], "1 device refused")?;
    failed(node, &["group", "add", "high", "r"], "none is put in")?;
    let nobody = node.send_json("POST", "/v1/groups/south/add", r#"{"devices":[]}"#)?;
    ensure!(nobody.status == 404, "a group that is not there: {nobody:?}");
    failed(
        node,
        &["group", "put", "bad", "--filter", "reported.level >"],
        "filter: line 1, column",
    )?;
    failed(node, &["group", "put", "north", "--filter", "true"], "stays so")?;
    let count = |filter: &str| -> Result<u64> {
        let found = node.ask(&["twin", "query", filter, "--count"])?;
        found["matched"].as_u64().context("a count")
    };
    for (filter, matched) in [
        ("group(\"north\")", 2),
        ("\"north\" in groups", 2),
        ("group(\"high\")", 1),
        ("group(\"north\") && !group(\"high\")", 1),
        ("!group('north')", 1),
        ("size(groups) == 0", 1),
    ] {
        ensure!(count(filter)? == matched, "{filter}");
    }
    failed(node, &["twin", "query", "true && group(\"south\")"], "column 9: there is no group")?;
    let watch = node.send("GET", "/v1/watch?filter=group(%22south%22)", &[], b"")?;
    ensure!(watch.status == 400 && watch.body.contains("no group"), "{watch:?}");
    let members = node.send("GET", "/v1/groups/north/members?limit=1", &[], b"")?.json()?;
    ensure!(members["devices"] == json!(["p"]) && members["next_cursor"].is_string(), "{members}");
    failed(node, &["group", "remove", "north"], "2 devices are in group")?;
    let reply = node.send_json("POST", "/v1/groups/north/take-out", r#"{"devices":["q"]}"#)?;
    ensure!(reply.status == 200 && reply.json()?["done"] == 1, "{reply:?}");
    ensure!(count("group(\"north\")")? == 1);
    let reply = node.send_json("POST", "/v1/groups/north/add", r#"{"devices":["q"]}"#)?;
    ensure!(reply.status == 200, "{reply:?}");
    node.ask(&["group", "remove", "high"])?;
    let listed = node.ask(&["group", "list"])?;
    ensure!(listed["groups"].as_array().is_some_and(|all| all.len() == 1), "{listed}");
    Ok(())
}

/// A works that has the key of an enrolment.
struct Works<'n> {
    node: &'n NodeProcess,
    key: String,
    enrolment: [u8; 32],
    now: u64,
}

impl Works<'_> {
    fn claim(&self, device: &str, at_ms: u64) -> String {
        let own = DeviceKey::derive(&self.enrolment, "default", device);
        let hmac = own.claim("default", "spring", device, at_ms, "");
        json!({"device": device, "at_ms": at_ms, "hmac_sha256": hmac}).to_string()
    }

    fn provision(&self, body: &str) -> Result<Reply> {
        self.node.send_json("POST", "/v1/enrolments/spring/provision", body)
    }

    fn refused(&self, body: &str, why: &str) -> Result<()> {
        let reply = self.provision(body)?;
        let said = format!("\"why\":\"{why}\"");
        ensure!(reply.status == 403 && reply.body.contains(&said), "{why}: {reply:?}");
        ensure!(!reply.body.contains(&self.key[..8]), "{reply:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_nobody_registered_comes_by_an_enrolment() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node"))
        .with("POLLUX_DEVICES__ADMISSION", "registered")
        .with("POLLUX_DEVICES__TOKENS", "true")
        .start()?;
    put_type(&node, dir.path(), PUMP)?;
    node.ask(&["group", "put", "new"])?;
    let put = ["enrolment", "put", "spring", "--prefix", "pump-", "--type", "pump"];
    let more = ["--group", "new", "--most", "2", "--tags", r#"{"batch":7}"#];
    let made = node.ask(&[&put[..], &more[..]].concat())?;
    let key = made["key"].as_str().context("a key")?.to_owned();
    let enrolment = pollux_proto::convert::digest("key", &key).map_err(|_| anyhow!("{key}"))?;
    let works = Works { node: &node, key, enrolment, now: Clock::new().wall().ms };
    let listed = node.ask(&["enrolment", "list"])?.to_string();
    ensure!(listed.contains("spring") && !listed.contains(&works.key), "{listed}");
    ensure!(!node.send("GET", "/v1/enrolments/spring", &[], b"")?.body.contains(&works.key));

    let first = works.claim("pump-1", works.now);
    let got = works.provision(&first)?.json()?;
    let token = got["token"].as_str().context("a token")?.to_owned();
    let entry = node.ask(&["device", "get", "pump-1"])?;
    ensure!(entry["enrolled_by"] == "spring" && entry["type"] == "pump", "{entry}");
    ensure!(entry["groups"] == json!(["new"]) && !entry.to_string().contains(&token), "{entry}");
    ensure!(node.twin("pump-1")?["tags"] == json!({"batch": 7}));

    // With that alone it comes, and is what its enrolment says.
    let ca = got["server_ca"].as_str().context("a CA")?;
    let identity = Identity::anonymous(&Trust::from_pem(ca.as_bytes())?);
    let options = Options::new(node.devices.as_str(), "pump-1", identity).token(&token);
    let device = Device::connect(&Endpoint::open()?, options).await?;
    ensure!(reported(&device, r#"{"level":150}"#).await?.is_some(), "its type is asked");
    works.refused(&first, "replayed")?;
    certificate(&works, dir.path(), ca).await?;
    ends(&works, &first)
}

/// A certificate over the device's own key, by the command line.
async fn certificate(works: &Works<'_>, dir: &Path, ca: &str) -> Result<()> {
    let own = rcgen::KeyPair::generate()?;
    let csr = rcgen::CertificateParams::default().serialize_request(&own)?.pem()?;
    let (csr_file, key_file) = (dir.join("pump.csr"), dir.join("spring.key"));
    std::fs::write(&csr_file, csr)?;
    std::fs::write(&key_file, format!("{}\n", works.key))?;
    let (csr_file, key_file) = (csr_file.display().to_string(), key_file.display().to_string());
    let enroll = ["device", "enroll", "pump-2", "--enrolment", "spring"];
    let by = ["--key-file", key_file.as_str(), "--csr", csr_file.as_str()];
    let got = works.node.ask(&[&enroll[..], &by[..]].concat())?;
    let certificate = got["certificate"].as_str().context("a certificate")?.as_bytes();
    let identity = Identity::from_pem(certificate, own.serialize_pem().as_bytes(), ca.as_bytes())?;
    let options = Options::new(works.node.devices.as_str(), "pump-2", identity);
    Device::connect(&Endpoint::open()?, options).await?;
    Ok(())
}

/// What is refused, and why.
fn ends(works: &Works<'_>, first: &str) -> Result<()> {
    let (node, now) = (works.node, works.now);
    let put = |more: &str| node.ask(&["enrolment", "put", "spring", more]);
    works.refused(&first.replace("pump-1", "pump-2"), "wrong_proof")?;
    works.refused(&works.claim("pump-1", now - 3_600_000), "wrong_time")?;
    works.refused(&works.claim("valve-1", now + 1), "wrong_name")?;
    node.ask(&["device", "register", "pump-9"])?;
    works.refused(&works.claim("pump-9", now + 1), "taken")?;
    let other = node.send_json("POST", "/v1/enrolments/autumn/provision", first)?;
    ensure!(other.body.contains("wrong_proof"), "it is not told that there is none: {other:?}");
    // Both places are taken; who came before may come again.
    works.refused(&works.claim("pump-3", now + 1), "exhausted")?;
    ensure!(works.provision(&works.claim("pump-1", now + 1))?.status == 200);
    ensure!(node.ask(&["enrolment", "get", "spring"])?["enrolled"] == 2);
    put("--disabled")?;
    works.refused(&works.claim("pump-1", now + 2), "disabled")?;
    put("--good-for=1ms")?;
    std::thread::sleep(Duration::from_millis(5));
    works.refused(&works.claim("pump-1", now + 3), "expired")?;
    let rotated = put("--new-key")?;
    ensure!(rotated["key"].is_string() && rotated["key"] != works.key.as_str(), "{rotated}");
    works.refused(&works.claim("pump-1", now + 4), "wrong_proof")?;
    for (body, said) in [
        ("{}", "device: id is empty"),
        (r#"{"device":"a/b"}"#, "device"),
        (r#"{"devise":"a"}"#, "no member"),
    ] {
        let reply = works.provision(body)?;
        ensure!(reply.status == 400 && reply.body.contains(said), "{body}: {reply:?}");
    }
    Ok(())
}

#[test]
fn a_type_put_at_one_node_counts_at_all_and_outlives_the_owner() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    put_type(cluster.node(0)?, dir.path(), PUMP)?;
    let name = |n: usize| format!("pump-{n}");
    for n in 0..9 {
        let node = cluster.node(n % 3)?;
        // The other nodes hear of it within moments.
        let path = format!("/v1/devices/{}", name(n));
        let mut status = 0;
        for _ in 0..100 {
            status = node.send_json("PUT", &path, r#"{"type":"pump"}"#)?.status;
            if status == 200 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        ensure!(status == 200, "the type was not heard of: {status}");
    }
    let wider = PUMP.replace("\"minimum\": 1", "\"minimum\": 0");
    ensure!(put_type(cluster.node(0)?, dir.path(), &wider)?["version"] == 2);
    let killed = cluster.busiest()?;
    cluster.kill(killed)?;
    for n in 0..9 {
        let node = cluster.running()?;
        let path = format!("/v1/twins/{}/desired", name(n));
        let reply = node.send_json("PATCH", &path, r#"{"interval_s":-1}"#)?;
        ensure!(reply.status == 422, "{reply:?}");
        let reply = node.send_json("PATCH", &path, r#"{"interval_s":0}"#)?;
        ensure!(reply.status == 200, "{reply:?}");
        ensure!(node.ask(&["device", "get", &name(n)])?["type_version"] == 2);
    }
    Ok(())
}
