//! Devices that have only the device endpoint enrol there, by a protocol of its own: with a key or a certificate of
//! their batch, which are good for nothing else.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use pollux_device::enrol::{DeviceKey, Enrolled, Enrolment};
use pollux_device::{Device, Endpoint, EnrolError, Options, Trust};
use pollux_proto::device::enrolment::{ENROL_ALPN, Enrol, Enrolled as Answer};
use pollux_proto::device::{ALPN, ALPN_FIRST, Decoder};
use pollux_proto::hex::{from_hex, hex};
use pollux_runtime::pki::{Authority, Identity, PKI_DIR, device_authority};
use pollux_tests::node::{Raw, program, raw};
use pollux_twin::TwinKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{House, json_of, now};

impl House {
    /// Says bytes where devices enrol: what is answered, if anything is.
    async fn say(&self, identity: Option<&Identity>, words: &[u8]) -> Result<Option<Answer>> {
        let ca = fs::read(self.node.data().join(PKI_DIR).join("server-ca.pem"))?;
        let way = raw::trusting([CertificateDer::from_pem_slice(&ca)?], identity, ENROL_ALPN)?;
        let heard = raw::say_to(&self.node.devices, "localhost", way, words).await?;
        let mut decoder = Decoder::<Answer>::new();
        decoder.push(&heard);
        Ok(decoder.poll()?)
    }
}

/// What devices use of a node: its device endpoint, and whom they trust.
struct Quic {
    endpoint: Endpoint,
    trust: Trust,
    node: String,
}

impl Quic {
    fn of(house: &House) -> Result<Self> {
        let ca = fs::read(house.node.data().join(PKI_DIR).join("server-ca.pem"))?;
        let (endpoint, trust) = (Endpoint::open()?, Trust::from_pem(&ca)?);
        Ok(Self { endpoint, trust, node: house.node.devices.clone() })
    }

    fn by_key(&self, enrolment: &str, device: &str, key: &DeviceKey) -> Enrolment {
        Enrolment::by_key(&self.node, enrolment, device, key, &self.trust).server_name("localhost")
    }

    fn by_claim(&self, enrolment: &str, device: &str, claim: &Identity) -> Result<Enrolment> {
        let (chain, key) = (claim.chain().to_vec(), claim.key().clone_key());
        let identity = pollux_device::Identity::from_der(chain, key, &self.trust)?;
        let asked = Enrolment::by_claim(&self.node, enrolment, device, identity);
        Ok(asked.server_name("localhost"))
    }

    /// What was given opens a session that reports.
    async fn comes(&self, device: &str, given: &Enrolled) -> Result<()> {
        let identity = given.identity(&self.trust)?;
        let mut options = Options::new(&self.node, device, identity).server_name("localhost");
        if let Some(token) = &given.token {
            options = options.token(token);
        }
        let device = Device::connect(&self.endpoint, options).await?;
        let acked = device.report(pollux_twin::Value::Object([].into())).await;
        device.close();
        acked?;
        Ok(())
    }

    async fn refused(&self, asked: Enrolment, expected: &str) -> Result<()> {
        match asked.enrol(&self.endpoint).await {
            Err(EnrolError::Refused { why: Some(why), message }) => {
                ensure!(why == expected && !message.is_empty(), "{expected}: {why}, {message}");
                Ok(())
            }
            other => bail!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_enrol_at_the_device_endpoint_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let works = Authority::open_or_make(dir.path(), "works-ca", "a works' CA", now(), 99)?;
    let pem = fs::read_to_string(dir.path().join("works-ca.pem"))?;
    let claim = works.issue_claim("default", "batch", now(), 9)?;
    json_of(&house.put("batch", &json!({"prefix": "pump-", "most": 2, "claim_ca": pem}))?)?;
    let shown = json_of(&house.put("spring", &json!({"prefix": "pump-", "most": 2}))?)?;
    let secret = shown["key"].as_str().and_then(from_hex).context("a key")?;
    let own = |device: &str| DeviceKey::derive(&secret, "default", device);
    let quic = Quic::of(&house)?;

    // By a key: a token, and once more a certificate over a key that the SDK makes.
    let by_key = quic.by_key("spring", "pump-1", &own("pump-1"));
    let given = by_key.enrol(&quic.endpoint).await?;
    ensure!(given.token.is_some() && given.server_ca.contains("BEGIN CERTIFICATE"), "{given:?}");
    quic.comes("pump-1", &given).await?;
    let given = by_key.clone().certificate().enrol(&quic.endpoint).await?;
    ensure!(given.token.is_none() && given.expires_at_ms.is_some(), "{given:?}");
    quic.comes("pump-1", &given).await?;

    // By the certificate of its batch, until it has come.
    let by_claim = |device: &str| quic.by_claim("batch", device, &claim);
    by_claim("pump-2")?.enrol(&quic.endpoint).await?;
    let given = by_claim("pump-2")?.certificate().enrol(&quic.endpoint).await?;
    quic.comes("pump-2", &given).await?;
    quic.refused(by_claim("pump-2")?, "taken").await?;

    // What is refused, is so for the same reasons as elsewhere.
    quic.refused(quic.by_key("spring", "pump-3", &own("pump-4")), "wrong_proof").await?;
    quic.refused(quic.by_key("batch", "pump-3", &own("pump-3")), "wrong_proof").await?;
    quic.refused(quic.by_claim("spring", "pump-3", &claim)?, "wrong_proof").await?;
    quic.refused(quic.by_key("spring", "valve-1", &own("valve-1")), "wrong_name").await?;
    quic.by_key("spring", "pump-5", &own("pump-5")).enrol(&quic.endpoint).await?;
    quic.refused(quic.by_key("spring", "pump-6", &own("pump-6")), "exhausted").await?;
    quic.refused(quic.by_key("spring", "pump-2", &own("pump-2")), "taken").await?;
    let bad = by_key.csr("nonsense").enrol(&quic.endpoint).await.unwrap_err();
    ensure!(bad.to_string().contains("PKCS #10"), "{bad}");
    ensure!(house.ask(&["enrolment", "get", "spring"])?["enrolled"] == 2);
    ensure!(house.node.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_over_quic_counts_once_and_claims_open_no_session() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let own_ca = device_authority(&house.node.data().join(PKI_DIR), now())?;
    let built_in = own_ca.issue_claim("default", "batch", now(), 9)?;
    let sha256 = hex(&pollux_runtime::pki::sha256(&built_in.chain()[0]));
    json_of(&house.put("batch", &json!({"claim_sha256": sha256}))?)?;
    let shown = json_of(&house.put("spring", &json!({}))?)?;
    let secret = shown["key"].as_str().and_then(from_hex).context("a key")?;
    let (tenant, enrolment, device) = ("default", "spring", "pump-1");
    let key = DeviceKey::derive(&secret, tenant, device);
    let asked = |at_ms| {
        let hmac = key.claim(tenant, enrolment, device, at_ms, "");
        let hmac_sha256 = from_hex(&hmac);
        let (tenant, enrolment, device) = (tenant.into(), enrolment.into(), device.into());
        Enrol { tenant, enrolment, device, at_ms, csr: None, hmac_sha256 }
    };
    let at = now().ms;
    let answer = house.say(None, &raw::words(&asked(at))?).await?;
    ensure!(matches!(answer, Some(Answer::Given { .. })), "{answer:?}");
    for (at_ms, expected) in [(at, "replayed"), (at - 5, "replayed"), (at - 600_000, "wrong_time")]
    {
        let answer = house.say(None, &raw::words(&asked(at_ms))?).await?;
        let Some(Answer::Refused { why, .. }) = &answer else { bail!("{answer:?}") };
        ensure!(why.as_deref() == Some(expected), "{answer:?}");
    }
    // What is no claim is not answered.
    for words in [&[0xff; 64][..], &[9, 0, 0, 0, 1, 2, 3], &raw::words(&asked(at))?[..20]] {
        let answer = house.say(None, words).await?;
        ensure!(answer.is_none(), "{answer:?}");
    }

    // A device's certificate is no claim, and a claim opens no session, whatever CA made it.
    let pump = own_ca.issue_device(&TwinKey::parse("pump-9")?, now(), 9)?;
    let quic = Quic::of(&house)?;
    quic.refused(quic.by_claim("batch", "pump-9", &pump)?, "wrong_proof").await?;
    quic.by_claim("batch", "pump-9", &built_in)?.enrol(&quic.endpoint).await?;
    for alpn in [ALPN, ALPN_FIRST] {
        let ca = fs::read(house.node.data().join(PKI_DIR).join("server-ca.pem"))?;
        let way = raw::trusting([CertificateDer::from_pem_slice(&ca)?], Some(&built_in), alpn)?;
        let mut raw = Raw::connect(&house.node.devices, way).await?;
        ensure!(raw.hello("pump-9").await.is_err(), "it is no device");
    }
    // Nor is a hello said where devices enrol.
    let hello = raw::bytes_of(&raw::hello("pump-9"));
    ensure!(house.say(Some(&pump), &hello).await?.is_none());
    Ok(())
}

#[test]
fn the_command_line_enrols_over_quic() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::open(dir.path())?;
    let shown = house.ask(&["enrolment", "put", "spring", "--most", "1"])?;
    let (secret, made) = (dir.path().join("spring.key"), dir.path().join("pump-7.tls"));
    fs::write(&secret, shown["key"].as_str().context("a key")?)?;
    let ca = house.node.data().join(PKI_DIR).join("server-ca.pem").display().to_string();
    let enroll = |device: &str, more: &[&str]| {
        let mut command = Command::new(program()?);
        command.args(["device", "enroll", device, "--enrolment", "spring", "--output", "json"]);
        command.arg("--key-file").arg(&secret).args(["--server-ca", &ca]);
        // Nobody listens at the first; the second is asked then.
        command.args(["--device-addr", &format!("127.0.0.1:9,{}", house.node.devices)]);
        anyhow::Ok(command.args(more).output()?)
    };
    let new_key = ["--new-key", &made.display().to_string()];
    let said = enroll("pump-7", &new_key)?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let got: Value = serde_json::from_slice(&said.stdout)?;
    let (certificate, key) = (got["certificate"].as_str().context("one")?, fs::read(&made)?);
    let trust = Trust::from_pem(&fs::read(&ca)?)?;
    pollux_device::Identity::from_pem_trusting(certificate.as_bytes(), &key, &trust)?;
    // A key that is there is not written over, and what is refused says why.
    let said = enroll("pump-7", &new_key)?;
    ensure!(said.status.code() == Some(2), "{said:?}");
    let said = enroll("pump-8", &[])?;
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.status.code() == Some(5) && told.contains("as many devices"), "{told}");
    Ok(())
}
