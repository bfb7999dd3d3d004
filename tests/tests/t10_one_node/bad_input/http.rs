//! HTTP that makes no sense, or too much of it.

use anyhow::Result;
use pollux_tests::node::Reply;

use super::House;

const TAGS: &str = "/v1/twins/pump/tags";
const DESIRED: &str = "/v1/twins/pump/desired";

#[track_caller]
fn refused(reply: &Reply, status: u16, reason: &str) {
    assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{reply:?}");
    assert!(reply.json().is_ok_and(|body| body["detail"].is_string()), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_patch() -> Result<()> {
    let mut house = House::open().await?;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deeper_than_taken = format!("{{\"a\":{}1{}}}", "[".repeat(20), "]".repeat(20));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let long_key = format!("{{\"{}\":1}}", "k".repeat(300));
    let cases = [
        (r#"{"a":NaN}"#, 400, "invalid"),
        (r#"{"a":-Infinity}"#, 400, "invalid"),
        (r#"{"a":1e999}"#, 400, "invalid"),
        (r#"{"a":1,"a":2}"#, 400, "invalid"),
        (r#"{"a":{"b":1,"c":2,"b":3}}"#, 400, "invalid"),
        (r#"{"a":"\ud800"}"#, 400, "invalid"),
        (r#"{"\udc00":1}"#, 400, "invalid"),
        (r#"{"a":1"#, 400, "invalid"),
        ("", 400, "invalid"),
        (&deep, 400, "too_deep"),
        (&deeper_than_taken, 400, "too_deep"),
        (&large, 413, "too_large"),
        (&long_key, 400, "bad_key"),
        ("[1]", 400, "not_an_object"),
        ("\"text\"", 400, "not_an_object"),
        ("null", 400, "not_an_object"),
        ("true", 400, "not_an_object"),
    ];
    for (body, status, reason) in cases {
        let reply = house.node.send_json("PATCH", TAGS, body)?;
        assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{reply:?}");
        house.witness.is_served().await?;
    }
    let not_text = [("content-type", "application/json")];
    refused(&house.node.send("PATCH", TAGS, &not_text, b"{\"a\":\"\xff\"}")?, 400, "invalid");
    for kind in ["text/plain", "application/json-patch+json", "application/json; charset=latin1"] {
        let reply = house.node.send("PATCH", TAGS, &[("content-type", kind)], b"{}")?;
        refused(&reply, 415, "unsupported_media_type");
        house.witness.is_served().await?;
    }
    refused(&house.node.send("PATCH", TAGS, &[], b"{}")?, 415, "unsupported_media_type");
    house.close(&["witness"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes() -> Result<()> {
    const BYTES: usize = 100_000_000;
    let mut house = House::open().await?;
    let before = resident_bytes(house.node.id())?;
    // Announced: refused before any of it is sent.
    let announced = format!(
        "PATCH {TAGS} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {BYTES}\r\n\r\n"
    );
    refused(&house.node.send_bytes(announced.as_bytes())?, 413, "too_large");
    house.witness.is_served().await?;
    // Sent all the same, at once and in pieces: cut off at the bound. The answer may be lost where
    // the node closes while the sender still sends; what counts is that it was not taken in.
    let whole = [announced.as_bytes(), &vec![b' '; BYTES]].concat();
    let reply = house.node.send_bytes(&whole)?;
    assert!(reply.status == 413 || reply.status == 0, "{reply:?}");
    house.witness.is_served().await?;
    let mut pieces =
        announced.replace(&format!("content-length: {BYTES}"), "transfer-encoding: chunked");
    for _ in 0..BYTES / 0x10_0000 {
        pieces.push_str("100000\r\n");
        pieces.push_str(&" ".repeat(0x10_0000));
        pieces.push_str("\r\n");
    }
    let reply = house.node.send_bytes(pieces.as_bytes())?;
    assert!(reply.status == 413 || reply.status == 0, "{reply:?}");
    house.witness.is_served().await?;
    let grown = resident_bytes(house.node.id())?.saturating_sub(before);
    assert!(grown < BYTES as u64 / 2, "the node kept {grown} bytes");
    refused(&house.node.send("GET", "/v1/twins/pump", &[], b"")?, 404, "not_found");
    house.close(&["witness"]).await
}

/// Memory of a process, as Linux has it.
fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.unwrap_or_default().trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_devices_and_requests_that_are_not_there() -> Result<()> {
    let mut house = House::open().await?;
    let node = &house.node;
    for level in 1..=3 {
        let reply = node.send_json("PATCH", DESIRED, &format!("{{\"level\":{level}}}"))?;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // The past, the future, and what is no version.
    for (tag, status, reason) in [
        ("\"2\"", 412, "version_mismatch"),
        ("\"0\"", 412, "version_mismatch"),
        ("\"4\"", 412, "version_mismatch"),
        ("\"18446744073709551615\"", 412, "version_mismatch"),
        ("\"18446744073709551616\"", 400, "invalid"),
        ("\"-1\"", 400, "invalid"),
        ("3", 400, "invalid"),
    ] {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        refused(&node.send("PATCH", DESIRED, &headers, b"{\"level\":9}")?, status, reason);
        house.witness.is_served().await?;
    }
    let pump = node.twin("pump")?;
    assert_eq!((&pump["desired"]["level"], &pump["versions"]["desired"]), (&3.into(), &3.into()));

    let command = r#"{"name":"open"}"#;
    let commands = "/v1/twins/pump/commands";
    refused(&node.send_json("POST", commands, command)?, 409, "device_offline");
    let unknown = "/v1/twins/nobody";
    refused(&node.send("GET", unknown, &[], b"")?, 404, "not_found");
    refused(&node.send("DELETE", unknown, &[], b"")?, 404, "not_found");
    let reply = node.send_json("POST", &format!("{unknown}/commands"), command)?;
    refused(&reply, 404, "not_found");
    refused(&node.send("GET", &format!("{commands}/99"), &[], b"")?, 404, "unknown_command");
    refused(&node.send("GET", "/v1/twins/a%2Fb", &[], b"")?, 400, "invalid");
    refused(&node.send("GET", "/v2/twins", &[], b"")?, 404, "no_such_path");
    refused(&node.send_json("POST", TAGS, "{}")?, 405, "method_not_allowed");
    house.witness.is_served().await?;
    for nonsense in [&b"GET\r\n\r\n"[..], &[0xff; 4096], &[b'a'; 1_000_000]] {
        let reply = node.send_bytes(nonsense)?;
        assert!([0, 400, 431].contains(&reply.status), "{reply:?}");
        house.witness.is_served().await?;
    }
    house.close(&["pump", "witness"]).await
}
