//! Keys of an issuer of tokens at a URL: a real node fetches them over TLS, follows their rotation, is not driven by
//! tokens with invented keys, and goes on with what it has when the issuer is gone.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use pollux_tests::node::keys::{self, Keys};
use pollux_tests::node::{NodeOptions, NodeProcess, Reply, Site};
use serde_json::{Value, json};

/// How often a node is asked again.
const LOOK: Duration = Duration::from_millis(50);
/// How often at most.
const LOOKS: usize = 1200;

fn options(dir: &Path, keys: &str, issuer: &str) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "2")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_ACCESS__MODE", "enforced")
        .with("POLLUX_ACCESS__JWT_ISSUER", issuer)
        .with("POLLUX_ACCESS__JWT_AUDIENCE", "pollux")
        .with("POLLUX_ACCESS__JWT_KEYS", keys)
        .with("POLLUX_ACCESS__JWT_CA", &dir.join("ca.pem").display().to_string())
}

/// Starts a node that knows the subject 248 of an issuer.
fn start(options: &NodeOptions, issuer: &str) -> Result<NodeProcess> {
    let node = options.start()?;
    let subject = format!("{issuer}=248");
    node.ask(&["access", "principal", "add", "ops", "--subject", &subject])?;
    Ok(node)
}

/// What a node says to who shows a token.
fn said(node: &NodeProcess, token: &str) -> Result<Reply> {
    node.send("GET", "/v1/access/whoami", &[("authorization", &format!("Bearer {token}"))], b"")
}

/// Asks again for as long as the node wants time.
fn settled(node: &NodeProcess, token: &str) -> Result<Reply> {
    for _ in 0..LOOKS {
        let reply = said(node, token)?;
        if !matches!(reply.status, 429 | 503) {
            return Ok(reply);
        }
        thread::sleep(LOOK);
    }
    anyhow::bail!("no word on the token: {}", node.again().said())
}

fn is_known(node: &NodeProcess, token: &str) -> Result<()> {
    let reply = settled(node, token)?;
    ensure!(reply.status == 200 && reply.body.contains("\"ops\""), "{reply:?}");
    Ok(())
}

fn set(keys: &[&Keys]) -> String {
    json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string()
}

fn with(issuer: &str, name: &str, value: Value) -> Value {
    let mut claims = keys::claims("248");
    claims["iss"] = json!(issuer);
    claims[name] = value;
    claims
}

#[test]
fn keys_at_a_url_are_followed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let site = Site::open(dir.path())?;
    let (one, two, three) = (Keys::new("one")?, Keys::new("two")?, Keys::new("three")?);
    site.put("/keys", &set(&[&one]));
    let issuer = "https://id.example";
    let node = start(&options(dir.path(), &site.url("/keys"), issuer), issuer)?;
    let good = keys::claims("248");
    is_known(&node, &one.signed(&good)?)?;
    for (token, why) in [
        (keys::unsigned(&good), "not signed by a key"),
        (one.shared_secret(&good)?, "not signed by a key"),
        (one.signed(&with(issuer, "aud", json!("other")))?, "another audience"),
        (one.signed(&with("https://evil.example", "aud", json!("pollux")))?, "another issuer"),
    ] {
        let reply = settled(&node, &token)?;
        ensure!(reply.status == 401 && reply.body.contains(why), "{why}: {reply:?}");
    }

    // A key that comes is taken when a token names it; the one before, which stays in the set, goes on.
    site.put("/keys", &set(&[&one, &two]));
    for _ in 0..LOOKS {
        if settled(&node, &two.signed(&good)?)?.status == 200 {
            break;
        }
        thread::sleep(LOOK);
    }
    is_known(&node, &two.signed(&good)?)?;
    is_known(&node, &one.signed(&good)?)?;

    // Invented keys do not make the node ask for each.
    let before = site.asked("/keys");
    for n in 0..200 {
        let invented = Keys::new(["a", "b", "c", "d"][n % 4])?;
        let reply = said(&node, &invented.signed(&good)?)?;
        ensure!(matches!(reply.status, 401 | 429 | 503), "{reply:?}");
    }
    let asked = site.asked("/keys") - before;
    ensure!(asked <= 20, "{asked} times for 200 tokens");

    // What cannot be used, or is elsewhere, or gone, leaves the keys as they are.
    site.put_as("/keys", "302 Found\r\nlocation: https://localhost:1/keys", "");
    for _ in 0..LOOKS {
        let reply = said(&node, &three.signed(&good)?)?;
        ensure!(reply.status != 200, "{reply:?}");
        if node.again().said().contains("redirects are not followed") {
            break;
        }
        thread::sleep(LOOK);
    }
    is_known(&node, &two.signed(&good)?)?;
    drop(site);
    node.says("connect")?;
    is_known(&node, &one.signed(&good)?)?;
    let status = node.ask(&["cluster", "status"])?.to_string();
    ensure!(status.contains("keys of https://id.example could not be fetched"), "{status}");
    let root = std::fs::read_to_string(node.data().join(pollux_runtime::ROOT_TOKEN_FILE))?;
    let root = format!("Bearer {}", root.trim());
    let metrics = node.send("GET", "/metrics", &[("authorization", &root)], b"")?.body;
    ensure!(metrics.contains("pollux_issuer_fetches_total{result=\"ok\"}"), "{metrics}");
    ensure!(!metrics.contains("pollux_issuer_keys_timestamp_seconds 0\n"), "{metrics}");
    ensure!(node.stop()?.success());
    Ok(())
}

#[test]
fn an_issuer_says_where_its_keys_are() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let site = Site::open(dir.path())?;
    let one = Keys::new("one")?;
    let issuer = site.url("/realms/a");
    let node = start(&options(dir.path(), "", &issuer), &issuer)?;
    let token = one.signed(&with(&issuer, "aud", json!("pollux")))?;
    // Nothing is there yet: nobody is let in, nor turned away for good.
    ensure!(matches!(said(&node, &token)?.status, 429 | 503), "{:?}", said(&node, &token)?);
    site.put("/certs", &set(&[&one]));
    let document =
        |issuer: &str| json!({"issuer": issuer, "jwks_uri": site.url("/certs")}).to_string();
    site.put("/realms/a/.well-known/openid-configuration", &document("https://evil.example"));
    node.says("it is of another issuer")?;
    site.put("/realms/a/.well-known/openid-configuration", &document(&issuer));
    is_known(&node, &token)?;
    ensure!(node.stop()?.success());
    Ok(())
}

#[test]
fn a_server_that_no_known_ca_vouches_for_is_not_believed() -> Result<()> {
    let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (site, _other) = (Site::open(dir.path())?, Site::open(elsewhere.path())?);
    let one = Keys::new("one")?;
    site.put("/keys", &set(&[&one]));
    let issuer = "https://id.example";
    let ca = elsewhere.path().join("ca.pem").display().to_string();
    let options =
        options(dir.path(), &site.url("/keys"), issuer).with("POLLUX_ACCESS__JWT_CA", &ca);
    let node = start(&options, issuer)?;
    node.says("connect by TLS")?;
    let reply = said(&node, &one.signed(&keys::claims("248"))?)?;
    ensure!(matches!(reply.status, 429 | 503), "{reply:?}");
    let plain = options.with("POLLUX_ACCESS__JWT_KEYS", "http://id.example/keys");
    drop(node);
    let refused = plain.refused()?;
    ensure!(refused.contains("it takes https"), "{refused}");
    Ok(())
}
