//! What tenants may have, through the real binary: never a device more, rates that are held without losing what was
//! acknowledged, twins that do not grow, and what is used for all to see.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, Reply};
use serde_json::{Value, json};

/// How often something is looked at again, and how often at most.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 600;

fn options(dir: &std::path::Path) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "4")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
}

fn write(node: &NodeProcess, tenant: &str, device: &str, tags: &Value) -> Result<Reply> {
    let path = format!("/v1/tenants/{tenant}/twins/{device}");
    node.send_json("PATCH", &path, &json!({ "tags": tags }).to_string())
}

fn limit(node: &NodeProcess, tenant: &str, limits: &Value) -> Result<Reply> {
    node.send_json("PUT", &format!("/v1/tenants/{tenant}/limits"), &limits.to_string())
}

fn used(node: &NodeProcess, tenant: &str) -> Result<Value> {
    Ok(node.ask(&["tenant", "show", tenant])?["use"].clone())
}

fn twins(node: &NodeProcess, tenant: &str) -> Result<usize> {
    let listed = node.get(&format!("/v1/tenants/{tenant}/twins?page_size=1000"))?;
    let listed: Value = serde_json::from_str(&listed)?;
    Ok(listed["twins"].as_array().with_context(|| listed.to_string())?.len())
}

/// Waits until something is so.
fn soon(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..LOOKS {
        if so()? {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    anyhow::bail!("not so: {what}")
}

/// Many try to be a device more, at all nodes at once; how many were let in. Each tries until it has an answer for good.
fn crowd(nodes: &[&NodeProcess], tenant: &str, names: &str, count: usize) -> Result<usize> {
    let let_in = AtomicUsize::new(0);
    let (next, let_in_here) = (AtomicUsize::new(0), &let_in);
    thread::scope(|scope| {
        let tries: Vec<_> = (0..6)
            .map(|at| {
                let (next, node) = (&next, nodes[at % nodes.len()]);
                scope.spawn(move || -> Result<()> {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return Ok(());
                        }
                        let name = format!("{names}-{n}");
                        let mut last = None;
                        soon("an answer for good", || {
                            let reply = write(node, tenant, &name, &json!({"n": n}))?;
                            let again = matches!(reply.status, 429 | 503 | 504);
                            last = Some(reply);
                            Ok(!again)
                        })?;
                        let reply = last.context("an answer")?;
                        if reply.status < 300 {
                            let_in_here.fetch_add(1, Ordering::Relaxed);
                        } else {
                            ensure!(reply.reason() == "too_many", "{reply:?}");
                            ensure!(reply.body.contains("devices of tenant"), "{reply:?}");
                        }
                    }
                })
            })
            .collect();
        tries.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("one who tried failed")))
        })
    })?;
    Ok(let_in.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_no_device_more_than_it_may() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).start()?;
    ensure!(write(&node, "acme", "first", &json!({"a": 1}))?.status < 300);
    ensure!(limit(&node, "acme", &json!({"devices": 10, "note": "the small plan"}))?.status == 200);
    let let_in = crowd(&[&node], "acme", "pump", 40)?;
    // What was free in a shard that nobody of them came to may be given back a moment later.
    let more = if let_in < 9 { crowd(&[&node], "acme", "valve", 400)? } else { 0 };
    ensure!((let_in, more) == (9, 0) || let_in + more <= 9, "{let_in} and {more}");
    ensure!(twins(&node, "acme")? == 1 + let_in + more);
    soon("all ten are used", || {
        let _ = crowd(&[&node], "acme", "last", 40)?;
        Ok(twins(&node, "acme")? == 10)
    })?;
    ensure!(crowd(&[&node], "acme", "late", 40)? == 0);
    // Those that are there go on, and so do other tenants.
    ensure!(write(&node, "acme", "first", &json!({"a": 2}))?.status < 300);
    ensure!(crowd(&[&node], "other", "pump", 20)? == 20);
    // A device is no way around it: it is refused before it has a twin.
    let devices = Devices::of(node.data())?;
    let refused =
        devices.raw(&node.devices, "acme/stranger").await?.hello_of("acme", "stranger").await;
    let refused = format!("{:#}", refused.expect_err("there are ten"));
    ensure!(refused.contains("devices of tenant acme"), "{refused}");
    let shown = node.ask(&["tenant", "show", "acme"])?;
    ensure!(shown["use"]["devices"] == 10 && shown["limits"]["devices"] == 10, "{shown}");
    ensure!(node.ask(&["tenant", "list"])?["tenants"][0]["note"] == "the small plan");
    // One that goes makes room for one.
    let gone = node.send("DELETE", "/v1/tenants/acme/twins/first", &[], b"")?;
    ensure!(gone.status < 300, "{gone:?}");
    soon("there is room for one", || Ok(crowd(&[&node], "acme", "heir", 8)? == 1))?;
    ensure!(twins(&node, "acme")? == 10 && crowd(&[&node], "acme", "heir-of-heir", 20)? == 0);
    // After a restart all is as it was; a lower limit takes nothing away.
    let again = node.again();
    ensure!(node.stop()?.success());
    let node = again.start()?;
    ensure!(crowd(&[&node], "acme", "morning", 20)? == 0);
    limit(&node, "acme", &json!({"devices": 3}))?;
    ensure!(twins(&node, "acme")? == 10 && crowd(&[&node], "acme", "noon", 20)? == 0);
    limit(&node, "acme", &json!({}))?;
    soon("it is not limited", || Ok(crowd(&[&node], "acme", "evening", 5)? > 0))?;
    Ok(())
}

#[test]
fn nodes_keep_a_limit_together() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    limit(cluster.running()?, "acme", &json!({"devices": 30}))?;
    let nodes: Vec<_> = cluster.nodes.iter().flatten().collect();
    let let_in = crowd(&nodes, "acme", "pump", 60)?;
    ensure!(let_in <= 30, "{let_in}");
    // An owner is lost, and others take over what it had.
    cluster.kill(1)?;
    let nodes: Vec<_> = cluster.nodes.iter().flatten().collect();
    crowd(&nodes, "acme", "valve", 60)?;
    let there = twins(nodes[0], "acme")?;
    ensure!(there <= 30, "{there} of 30");
    soon("all thirty are used", || {
        crowd(&nodes, "acme", "last", 60)?;
        let there = twins(nodes[0], "acme")?;
        ensure!(there <= 30, "{there} of 30");
        Ok(there == 30)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_held_and_nothing_acknowledged_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).start()?;
    limit(&node, "default", &json!({"messages_per_s": 20, "writes_per_s": 10}))?;
    let devices = Devices::of(node.data())?;
    let device = devices.start(&node.devices, "pump")?;
    for n in 1..=60_i64 {
        let patch = pollux_twin::Value::Object([("n".to_owned(), n.into())].into_iter().collect());
        device.report(patch).await?;
    }
    let twin = node.twin("pump")?;
    ensure!(twin["reported"]["n"] == 60, "{twin}");
    let (mut done, mut refused) = (0, 0);
    for n in 0..60 {
        let reply = write(&node, "default", "pump", &json!({ "n": n }))?;
        match reply.status {
            200..300 => done += 1,
            _ => {
                ensure!(reply.head.to_ascii_lowercase().contains("retry-after"), "{reply:?}");
                refused += 1;
            }
        }
    }
    ensure!(done >= 10 && refused > 0, "{done} done, {refused} refused");
    let metrics = node.get("/metrics")?;
    for what in ["messages", "writes"] {
        let line = format!("pollux_tenant_refusals_total{{limit=\"{what}\"}} ");
        let count = metrics.lines().find_map(|found| found.strip_prefix(&line)).context(line)?;
        ensure!(count.trim().parse::<u64>()? > 0, "{what}: {count}");
    }
    ensure!(metrics.contains("pollux_tenant_devices{tenant=\"default\"} 1"), "{metrics}");
    soon("what is asked for is told", || {
        write(&node, "default", "pump", &json!({"n": 0}))?;
        Ok(used(&node, "default")?["writes_per_s"].as_u64() > Some(0))
    })
}

#[test]
fn twins_of_a_tenant_that_has_all_its_bytes_do_not_grow() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).start()?;
    ensure!(write(&node, "acme", "pump", &json!({"text": "x".repeat(6000)}))?.status < 300);
    limit(&node, "acme", &json!({"bytes": 4096}))?;
    let (mut refused, mut length) = (None, 6000);
    soon("more is refused", || {
        length += 1;
        let reply = write(&node, "acme", "pump", &json!({"text": "x".repeat(length)}))?;
        let is = reply.status >= 400;
        refused = Some(reply);
        Ok(is)
    })?;
    let refused = refused.context("an answer")?;
    ensure!(refused.reason() == "too_many", "{refused:?}");
    ensure!(refused.body.contains("KiB of twins of tenant acme"), "{refused:?}");
    ensure!(write(&node, "acme", "valve", &json!({"text": "new"}))?.status >= 400);
    ensure!(write(&node, "other", "valve", &json!({"text": "new"}))?.status < 300);
    // Less is allowed, and then there is room again.
    ensure!(write(&node, "acme", "pump", &json!({"text": "x"}))?.status < 300);
    soon("there is room", || Ok(write(&node, "acme", "valve", &json!({"a": 1}))?.status < 300))?;
    ensure!(used(&node, "acme")?["bytes"].as_u64().is_some_and(|bytes| bytes < 4096));
    Ok(())
}

#[test]
fn limits_are_for_those_who_run_the_cluster() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).with("POLLUX_ACCESS__MODE", "enforced").start()?;
    node.ask(&["access", "principal", "add", "acme"])?;
    let all = ["--action", "*", "--on", "acme/*"];
    node.ask(&[&["access", "policy", "put", "own", "--to", "acme"], &all[..]].concat())?;
    let token = node.ask(&["access", "principal", "token", "acme"])?;
    let token = token["token"].as_str().context("a token")?.to_owned();
    let said = |verb: &[&str]| format!("{:#}", node.ask_as(&token, verb).expect_err("not allowed"));
    let refused = said(&["tenant", "limit", "acme", "--devices", "1000000"]);
    ensure!(refused.contains("tenant:limit"), "{refused}");
    ensure!(said(&["tenant", "list"]).contains("cluster:read"));
    ensure!(said(&["tenant", "show", "other"]).contains("twin:read"));
    ensure!(node.ask_as(&token, &["tenant", "show", "acme"])?["use"]["devices"] == 0);
    // What an operator does is in the audit; what makes no sense is refused with what would.
    node.ask(&["tenant", "limit", "acme", "--devices", "5"])?;
    let audit = node.ask(&["access", "audit"])?.to_string();
    ensure!(audit.contains("tenant limit") && audit.contains("\"acme\""), "{audit}");
    let refused = |verb: &[&str]| format!("{:#}", node.ask(verb).expect_err("it makes no sense"));
    ensure!(refused(&["tenant", "limit", "a/b", "--devices", "5"]).contains("tenant"));
    let own = refused(&["tenant", "limit", "_pollux", "--devices", "5"]);
    ensure!(own.contains("Pollux's own"), "{own}");
    ensure!(refused(&["tenant", "limit", "acme", "--writes-per-s", "0"]).contains("1.."));
    Ok(())
}
