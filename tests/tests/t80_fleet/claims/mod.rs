//! Devices of a batch come by a certificate that all of them have, over mutual TLS, through the real binary: each gets
//! credentials of its own once, and the certificate is good for nothing else. `quic` has those who come to the device
//! endpoint, by a key or by a certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pollux_proto::device::ALPN;
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::{Authority, Identity, PKI_DIR, device_authority};
use pollux_tests::node::{NodeOptions, NodeProcess, Raw, Secure, program, raw};
use pollux_twin::{Time, TwinKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

mod quic;

/// A node whose endpoints for services speak TLS.
struct House {
    node: NodeProcess,
    web: Authority,
    dir: PathBuf,
}

impl House {
    fn open(dir: &Path) -> Result<Self> {
        let web = Authority::open_or_make(dir, "web-ca", "a CA of the web", now(), 9)?;
        let (cert, key) = (dir.join("services.pem"), dir.join("services.key"));
        web.issue_server(&[], now(), 9)?.write(&cert, &key)?;
        let node = NodeOptions::new(&dir.join("data"))
            .with("POLLUX_CLUSTER__SHARDS", "2")
            .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
            .with("POLLUX_DEVICES__TOKENS", "true")
            .with("POLLUX_SERVICES__CERT", &cert.display().to_string())
            .with("POLLUX_SERVICES__KEY", &key.display().to_string())
            .start()?;
        Ok(Self { node, web, dir: dir.to_owned() })
    }

    /// Runs a verb of the command line over TLS: the JSON that it prints.
    fn ask(&self, verb: &[&str]) -> Result<Value> {
        let mut command = Command::new(program()?);
        command.args(verb).args(["--output", "json"]);
        if verb[1] != "claim-cert" {
            command
                .args(["--grpc", &self.node.grpc.replace("127.0.0.1", "https://localhost")])
                .arg("--grpc-ca")
                .arg(self.dir.join("web-ca.pem"));
        }
        let said = command.output()?;
        ensure!(said.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&said.stderr));
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    fn http(&self, identity: Option<&Identity>) -> Result<Secure> {
        Secure::connect(&self.node.http, self.web.certificate(), identity)
    }

    fn put(&self, name: &str, enrolment: &Value) -> Result<String> {
        let path = format!("/v1/enrolments/{name}");
        self.http(None)?.send("PUT", &path, &enrolment.to_string())
    }

    /// A device asks for credentials over HTTP.
    fn provision(&self, claim: Option<&Identity>, by: &str, device: &str) -> Result<String> {
        let path = format!("/v1/enrolments/{by}/provision");
        let asked = json!({"device": device, "at_ms": now().ms, "hmac_sha256": ""});
        self.http(claim)?.send("POST", &path, &asked.to_string())
    }

    /// What a device needs to connect, with a certificate or none.
    fn way(&self, identity: Option<&Identity>) -> Result<quinn::ClientConfig> {
        let ca = fs::read(self.node.data().join(PKI_DIR).join("server-ca.pem"))?;
        raw::trusting([CertificateDer::from_pem_slice(&ca)?], identity, ALPN)
    }
}

fn now() -> Time {
    Clock::new().wall()
}

fn json_of(answer: &str) -> Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").context(answer.to_owned())?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(serde_json::from_str(body)?)
}

fn refused(answer: &str, why: &str) -> Result<()> {
    ensure!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    ensure!(answer.contains(&format!("\"why\":\"{why}\"")), "{why}: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_comes_by_one_certificate() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let ca = Authority::open_or_make(dir.path(), "works-ca", "a works' CA", now(), 99)?;
    let claim = ca.issue_claim("default", "spring", now(), 9)?;
    let works = fs::read_to_string(dir.path().join("works-ca.pem"))?;
    let put = json!({"prefix": "pump-", "most": 3, "claim_ca": works, "tags": {"batch": "spring"}});
    let shown = json_of(&house.put("spring", &put)?)?;
    ensure!(shown["claim_ca"].is_string() && shown.get("key").is_none(), "{shown}");

    let got = json_of(&house.provision(Some(&claim), "spring", "pump-1")?)?;
    let token = got["token"].as_str().context(got.to_string())?.to_owned();
    // It is asked for once more, as an answer may be lost; then the device comes, and the place is its own.
    let again = json_of(&house.provision(Some(&claim), "spring", "pump-1")?)?;
    let token_again = again["token"].as_str().context("a token")?.to_owned();
    ensure!(token_again != token);
    let hello = |token: String| pollux_proto::device::DeviceFrame::Hello {
        tenant: String::new(),
        device: "pump-1".to_owned(),
        incarnation: 1,
        token: Some(token),
    };
    let mut raw = Raw::connect(&house.node.devices, house.way(None)?).await?;
    raw.say(&hello(token_again)).await?;
    let welcome = format!("{:?}", raw.frame().await?);
    ensure!(welcome.starts_with("Welcome"), "{welcome}");
    refused(&house.provision(Some(&claim), "spring", "pump-1")?, "taken")?;
    let mut late = Raw::connect(&house.node.devices, house.way(None)?).await?;
    late.say(&hello(token)).await?;
    ensure!(!format!("{:?}", late.frame().await?).starts_with("Welcome"), "it was replaced");
    let twin = house.ask(&["twin", "get", "pump-1"])?;
    ensure!(twin["tags"]["batch"] == "spring", "{twin}");

    // The bounds of an enrolment hold as for those with a key.
    refused(&house.provision(Some(&claim), "spring", "valve-1")?, "wrong_name")?;
    json_of(&house.provision(Some(&claim), "spring", "pump-2")?)?;
    json_of(&house.provision(Some(&claim), "spring", "pump-3")?)?;
    refused(&house.provision(Some(&claim), "spring", "pump-4")?, "exhausted")?;
    house.ask(&["device", "register", "pump-5"])?;
    refused(&house.provision(Some(&claim), "spring", "pump-5")?, "taken")?;
    house.put("spring", &json!({"prefix": "pump-", "claim_ca": works, "disabled": true}))?;
    refused(&house.provision(Some(&claim), "spring", "pump-6")?, "disabled")?;
    ensure!(house.node.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_is_good_for_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let works = Authority::open_or_make(dir.path(), "works-ca", "a works' CA", now(), 99)?;
    let others = Authority::open_or_make(dir.path(), "other-ca", "a works' CA", now(), 99)?;
    let pem = fs::read_to_string(dir.path().join("works-ca.pem"))?;
    json_of(&house.put("spring", &json!({"claim_ca": pem}))?)?;
    let own = device_authority(&house.node.data().join(PKI_DIR), now())?;
    json_of(&house.put("keys", &json!({}))?)?;
    let claim = works.issue_claim("default", "spring", now(), 9)?;
    let day_ago = Time::from_ms(now().ms - 3 * 24 * 3600 * 1000);
    let device = TwinKey::parse("pump-9")?;
    for (what, shown, by) in [
        ("none", None, "spring"),
        ("another CA", Some(others.issue_claim("default", "spring", now(), 9)?), "spring"),
        ("ended", Some(works.issue_claim("default", "spring", day_ago, 1)?), "spring"),
        ("of a device", Some(works.issue_device(&device, now(), 9)?), "spring"),
        ("the cluster's device CA", Some(own.issue_device(&device, now(), 9)?), "spring"),
        ("no such enrolment", Some(works.issue_claim("default", "spring", now(), 9)?), "none"),
        ("one with a key", Some(works.issue_claim("default", "spring", now(), 9)?), "keys"),
    ] {
        let answer = house.provision(shown.as_ref(), by, "pump-1")?;
        refused(&answer, "wrong_proof").with_context(|| what.to_owned())?;
    }
    // Calls of services are made by it as by anybody, and devices do not come by it, even of the devices' own CA.
    let built_in = own.issue_claim("default", "spring", now(), 9)?;
    for (identity, why) in [(&claim, "UnknownIssuer"), (&built_in, "names 0 devices")] {
        let came = async {
            let mut raw = Raw::connect(&house.node.devices, house.way(Some(identity))?).await?;
            raw.hello("pump-1").await
        };
        let error = format!("{:#}", came.await.expect_err("it is no device"));
        // The end of the connection may come before the word that says why.
        ensure!(error.contains(why) || error.contains("connection lost"), "{error}");
    }
    let wrong = house.put("summer", &json!({"claim_ca": "nonsense"}))?;
    ensure!(wrong.contains("a CA's certificate in PEM"), "{wrong}");
    let both = json!({"claim_ca": pem, "claim_sha256": "00".repeat(32)});
    ensure!(house.put("summer", &both)?.contains("one of both"));
    ensure!(house.put("summer", &json!({"claim_sha256": "12"}))?.contains("claim_sha256"));
    Ok(())
}

#[test]
fn the_command_line_makes_and_uses_one() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let (data, out) = (house.node.data().display().to_string(), dir.path().join("certs"));
    let out = out.display().to_string();
    let made =
        house.ask(&["enrolment", "claim-cert", "spring", "--data-dir", &data, "--out", &out])?;
    let file = |name: &str| made[name].as_str().map(str::to_owned).context(made.to_string());
    let (cert, key) = (file("certificate")?, file("key")?);
    let shown = house.ask(&["enrolment", "put", "spring", "--claim-cert", &cert])?;
    ensure!(shown["claim_sha256"] == made["sha256"], "{shown}");
    let enroll = ["device", "enroll", "pump-7", "--enrolment", "spring", "--claim-cert", &cert];
    let got = house.ask(&[&enroll[..], &["--claim-key", &key]].concat())?;
    ensure!(got["token"].is_string(), "{got}");
    ensure!(house.ask(&["enrolment", "get", "spring"])?["enrolled"] == 1);
    // Another one of the same CA is not the one that is pinned.
    let second = dir.path().join("second").display().to_string();
    let other =
        house.ask(&["enrolment", "claim-cert", "spring", "--data-dir", &data, "--out", &second])?;
    let (cert, key) = (other["certificate"].as_str(), other["key"].as_str());
    let (cert, key) = (cert.context("a file")?, key.context("a file")?);
    let enroll = ["device", "enroll", "pump-8", "--enrolment", "spring", "--claim-cert", cert];
    let error = house.ask(&[&enroll[..], &["--claim-key", key]].concat()).unwrap_err();
    ensure!(format!("{error:#}").contains("proof"), "{error:#}");
    Ok(())
}
