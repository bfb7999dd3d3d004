//! One node: what is brought comes back, whole and in parts, by each door.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pollux_tests::node::{NodeOptions, NodeProcess};

use super::{content, digest, files, get, listed, ok, put, refuses, sha256};

#[test]
fn what_is_brought_comes_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let text = content(1, 300_000);
    let said = format!("sha-256=:{}:", STANDARD.encode(digest(&text)));
    let headers = [("repr-digest", said.as_str()), ("content-type", "application/x-fw")];
    let brought = ok(&put(&node, "fw/1.0.0", &headers, &text)?)?;
    ensure!(brought["sha256"] == sha256(&text) && brought["size"] == 300_000, "{brought}");
    ensure!(files(node.data())? == [sha256(&text)], "by its digest, not by its name");
    let again = ok(&put(&node, "fw/1.0.0", &[], &text)?)?;
    ensure!(again == brought, "a repetition changes nothing: {again}");
    let refused = put(&node, "fw/1.0.0", &[], &content(2, 10))?;
    refuses(&refused, 409, "other content")?;
    ranges(&node, &text)?;
    // The same content under another name is one file.
    ok(&put(&node, "other/1", &[], &text)?)?;
    ensure!(files(node.data())? == [sha256(&text)], "and what was refused left nothing");
    command_line(&node, dir.path(), &text)?;
    let grown = node.again();
    ensure!(node.stop()?.success());
    let node = grown.start()?;
    let reply = get(&node, "fw/1.0.0", &[])?;
    ensure!(reply.status == 200 && reply.body == text, "it outlives the process");
    ok(&node.send("DELETE", "/v1/artifacts/fw/1.0.0", &[], b"")?)?;
    refuses(&get(&node, "fw/1.0.0", &[])?, 404, "there is no artifact fw@1.0.0")?;
    ensure!(listed(&node)? == ["other@1"]);
    Ok(())
}

fn ranges(node: &NodeProcess, text: &str) -> Result<()> {
    let whole = get(node, "fw/1.0.0", &[])?;
    let tag = format!("\"{}\"", sha256(text));
    ensure!(whole.status == 200 && whole.body == text);
    for line in [
        "content-type: application/x-fw",
        "accept-ranges: bytes",
        "content-length: 300000",
        "x-content-type-options: nosniff",
        &format!("etag: {tag}"),
        &format!("repr-digest: sha-256=:{}:", STANDARD.encode(digest(text))),
    ] {
        ensure!(whole.head.contains(line), "{line}: {}", whole.head);
    }
    let head = node.send("HEAD", "/v1/artifacts/fw/1.0.0", &[], b"")?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    ensure!(head.head.contains("content-length: 300000"), "{head:?}");
    for (asked, from, to) in
        [("bytes=0-9", 0, 10), ("bytes=299990-", 299_990, 300_000), ("bytes=-5", 299_995, 300_000)]
    {
        let part = get(node, "fw/1.0.0", &[("range", asked)])?;
        ensure!(part.status == 206 && part.body == text[from..to], "{asked}: {part:?}");
        let line = format!("content-range: bytes {from}-{}/300000", to - 1);
        ensure!(part.head.contains(&line), "{line}: {}", part.head);
    }
    let none = get(node, "fw/1.0.0", &[("range", "bytes=300000-")])?;
    refuses(&none, 416, "has 300000 bytes")?;
    ensure!(none.head.contains("content-range: bytes */300000"), "{}", none.head);
    let of = |tag: &str| get(node, "fw/1.0.0", &[("range", "bytes=0-9"), ("if-range", tag)]);
    ensure!(of(&tag)?.status == 206 && of("\"other\"")?.status == 200);
    ensure!(get(node, "fw/1.0.0", &[("if-none-match", &tag)])?.status == 304);
    Ok(())
}

fn command_line(node: &NodeProcess, dir: &std::path::Path, text: &str) -> Result<()> {
    let (file, to) = (dir.join("tool.bin"), dir.join("got.bin"));
    std::fs::write(&file, text)?;
    let path = |path: &std::path::Path| path.display().to_string();
    let put = node.ask(&["artifact", "put", &path(&file), "--version", "3"])?;
    ensure!(put["name"] == "tool" && put["sha256"] == sha256(text), "{put}");
    // What came in part is gone on with: nothing else would bring these bytes back.
    let part = dir.join(format!("got.bin.{}.part", &sha256(text)[..16]));
    std::fs::write(&part, &text[..100_000])?;
    let got = node.ask(&["artifact", "get", "tool@3", "--to", &path(&to)])?;
    ensure!(got["size"] == 300_000 && std::fs::read_to_string(&to)? == *text && !part.exists());
    // A part that is none is noticed, and nothing gets the name.
    std::fs::remove_file(&to)?;
    std::fs::write(&part, "x".repeat(100_000))?;
    let refused = node.ask(&["artifact", "get", "tool@3", "--to", &path(&to)]);
    let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("was expected") && !to.exists() && !part.exists(), "{said}");
    let shown = node.ask(&["artifact", "show", "tool@3"])?;
    ensure!(shown["media_type"] == "application/octet-stream", "{shown}");
    ensure!(listed(node)? == ["fw@1.0.0", "other@1", "tool@3"]);
    let page = ok(&node.send("GET", "/v1/artifacts?page_size=2", &[], b"")?)?;
    let token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
    let rest = format!("/v1/artifacts?page_size=2&page_token={token}");
    let rest = ok(&node.send("GET", &rest, &[], b"")?)?;
    ensure!(rest["artifacts"][0]["name"] == "tool" && rest["next_page_token"].is_null(), "{rest}");
    node.ask(&["artifact", "remove", "tool@3"])?;
    ensure!(listed(node)? == ["fw@1.0.0", "other@1"]);
    Ok(())
}
