//! What is refused, with the words of it: names, digests, sizes, bodies, keys and signatures.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pollux_tests::node::{NodeOptions, NodeProcess};
use rcgen::{KeyPair, PKCS_ED25519};

use super::{content, digest, files, get, listed, ok, put, refuses};

#[test]
fn what_must_not_be_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("node"));
    let node = options.with("POLLUX_ARTIFACTS__SIZE_BYTES_MAX", "100000").start()?;
    names(&node)?;
    bodies(&node)?;
    ensure!(listed(&node)?.is_empty(), "nothing was made");
    signatures(&node, dir.path())?;
    let around: Vec<_> = std::fs::read_dir(dir.path())?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    let own = |name: &String| name.starts_with("node") || name.starts_with("key");
    ensure!(around.iter().all(own), "nothing was written elsewhere: {around:?}");
    no_room(dir.path())
}

fn names(node: &NodeProcess) -> Result<()> {
    for name in [
        "..%2F..%2Fetc%2Fpasswd",
        "%2E%2E",
        "..",
        "a..b",
        ".hidden",
        "a%0Ab",
        "a%00",
        "a b",
        "%C3%A4",
    ] {
        let name = name.replace(' ', "%20");
        refuses(&put(node, &format!("{name}/1"), &[], "x")?, 400, "letters, digits and - . _ +")?;
        refuses(&put(node, &format!("fw/{name}"), &[], "x")?, 400, "letters, digits and - . _ +")?;
        refuses(&get(node, &format!("{name}/1"), &[])?, 404, "there is no artifact")?;
    }
    let reply = put(node, "a/../1", &[], "x")?;
    ensure!(reply.status == 404, "too many parts are no path: {reply:?}");
    let long = "x".repeat(65);
    refuses(&put(node, &format!("{long}/1"), &[], "x")?, 400, "1 to 64")?;
    let path = "/v1/tenants/_pollux/artifacts/fw/1";
    refuses(&node.send("PUT", path, &[], b"x")?, 400, "Pollux's own")?;
    let odd = put(node, "fw/1", &[("content-type", "nonsense")], "x")?;
    refuses(&odd, 400, "media type")?;
    Ok(())
}

fn bodies(node: &NodeProcess) -> Result<()> {
    let other = format!("sha-256=:{}:", STANDARD.encode(digest("y")));
    refuses(&put(node, "fw/1", &[("repr-digest", &other)], "x")?, 400, "was expected")?;
    refuses(&put(node, "fw/1", &[("content-digest", "sha-256=:abc:")], "x")?, 400, "RFC 9530")?;
    let large = content(1, 100_001);
    refuses(&put(node, "fw/1", &[], &large)?, 413, "more than 100000 bytes")?;
    // Without its length said before.
    let mut chunked = String::from(
        "PUT /v1/artifacts/fw/1 HTTP/1.1\r\nhost: node\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    for piece in large.as_bytes().chunks(10_000) {
        chunked.push_str(&format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)));
    }
    chunked.push_str("0\r\n\r\n");
    refuses(&node.send_bytes(chunked.as_bytes())?, 413, "more than 100000 bytes")?;
    let encoded = put(node, "fw/1", &[("content-encoding", "gzip")], "x")?;
    refuses(&encoded, 400, "as it is to be stored")?;
    // One that is cut off leaves nothing.
    let cut =
        "PUT /v1/artifacts/fw/1 HTTP/1.1\r\nhost: node\r\ncontent-length: 50\r\n\r\nhalf of it";
    let mut stream = std::net::TcpStream::connect(&node.http)?;
    std::io::Write::write_all(&mut stream, cut.as_bytes())?;
    drop(stream);
    for _ in 0..200 {
        if files(node.data())?.iter().all(|name| !name.ends_with(".tmp")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let left = files(node.data())?;
    ensure!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
    Ok(())
}

/// A disk that would be fuller than it may be takes none, and says what helps.
fn no_room(dir: &Path) -> Result<()> {
    let options = NodeOptions::new(&dir.join("node-full"));
    let node =
        options.with("POLLUX_ARTIFACTS__FREE_BYTES_KEPT", &(1_u64 << 40).to_string()).start()?;
    refuses(&put(&node, "fw/1", &[], "x")?, 507, "artifacts.free_bytes_kept")
}

fn signatures(node: &NodeProcess, dir: &Path) -> Result<()> {
    let key = |name: &str| -> Result<(String, String)> {
        let made = KeyPair::generate_for(&PKCS_ED25519)?;
        let (secret, public) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.pub")));
        std::fs::write(&secret, made.serialize_pem())?;
        std::fs::write(&public, made.public_key_pem())?;
        Ok((secret.display().to_string(), public.display().to_string()))
    };
    let (release, other) = (key("key-a")?, key("key-b")?);
    let file = dir.join("key-signed.bin").display().to_string();
    std::fs::write(&file, "signed content")?;
    let sign = |key: &str, version: &str| -> Result<String> {
        let args = ["artifact", "sign", &file, "--name", "fw", "--version", version, "--key", key];
        let said = node.ask(&args)?;
        Ok(said["signature"].as_str().context("a signature")?.to_owned())
    };
    let bring = |version: &str, signature: &str| {
        let headers = [("pollux-signature", signature)];
        let headers = if signature.is_empty() { &headers[..0] } else { &headers[..] };
        put(node, &format!("fw/{version}"), headers, "signed content")
    };
    refuses(&bring("1", &sign(&release.0, "1")?)?, 400, "has no key to check it by")?;
    node.ask(&["artifact", "key", "add", "release", &release.1, "--note", "the works"])?;
    refuses(&bring("1", "")?, 400, "sign it")?;
    refuses(&bring("1", &sign(&other.0, "1")?)?, 400, "it is not of this content")?;
    // A good signature of another version is none of this.
    refuses(&bring("1", &sign(&release.0, "2")?)?, 400, "name and version (fw@1")?;
    refuses(&bring("1", "nonsense")?, 400, "Ed25519 signature in base64")?;
    let named = format!("beta:{}", sign(&release.0, "1")?);
    refuses(&bring("1", &named)?, 400, "has no key \\\"beta\\\"")?;
    let brought = ok(&bring("1", &sign(&release.0, "1")?)?)?;
    ensure!(brought["key"] == "release", "{brought}");
    let (secret, signature) = (release.0.as_str(), dir.join("key.sig").display().to_string());
    std::fs::write(&signature, sign(secret, "2")?)?;
    let args =
        ["artifact", "put", &file, "--name", "fw", "--version", "2", "--signature", &signature];
    ensure!(node.ask(&args)?["key"] == "release");
    let to = dir.join("key-got.bin").display().to_string();
    let fetch =
        |verify: &str| node.ask(&["artifact", "get", "fw@2", "--to", &to, "--verify", verify]);
    ensure!(fetch(&release.1).is_ok());
    let said = fetch(&other.1).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("not signed by that key"), "{said}");
    let keys = node.ask(&["artifact", "key", "list"])?;
    ensure!(keys["keys"][0]["note"] == "the works", "{keys}");
    node.ask(&["artifact", "key", "remove", "release"])?;
    ok(&put(node, "fw/3", &[], "plain")?)?;
    Ok(())
}
