//! A node or a cluster with an operator, somebody with a token, and what a watch tells.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::{NodeProcess, Reply};
use serde_json::{Value, json};

pub(crate) const ENFORCED: (&str, &str) = ("POLLUX_ACCESS__MODE", "enforced");

/// How long something may take to be so, and how often it is looked at.
const SOON: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u128 = SOON.as_millis() / LOOK.as_millis();

pub(crate) fn soon(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..LOOKS {
        if so()? {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    anyhow::bail!("not so: {what}")
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) String);

impl Caller {
    pub(crate) fn http(
        &self,
        node: &NodeProcess,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Reply> {
        self.keyed(node, "", method, path, body)
    }

    /// The same with an idempotency key; one that is empty is none.
    pub(crate) fn keyed(
        &self,
        node: &NodeProcess,
        key: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Reply> {
        let bearer = format!("Bearer {}", self.0);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        node.send(method, &format!("/v1{path}"), &headers, body.as_bytes())
    }

    /// The status of a call to a twin of `acme`.
    pub(crate) fn twin(
        &self,
        node: &NodeProcess,
        method: &str,
        device: &str,
        body: &Value,
    ) -> Result<u16> {
        let path = format!("/tenants/acme/twins/{device}");
        Ok(self.http(node, method, &path, body)?.status)
    }

    /// The devices that a query finds, or the status of its refusal.
    pub(crate) fn query(
        &self,
        node: &NodeProcess,
        filter: &str,
    ) -> Result<Result<Vec<String>, u16>> {
        let asked = json!({"filter": filter, "select": ["id"]});
        let reply = self.http(node, "POST", "/tenants/acme/query", &asked)?;
        if reply.status != 200 {
            ensure!(reply.reason() == "forbidden", "{reply:?}");
            return Ok(Err(reply.status));
        }
        let rows = reply.json()?["rows"].as_array().context("rows")?.clone();
        let mut found: Vec<_> =
            rows.iter().filter_map(|row| Some(row["device"].as_str()?.to_owned())).collect();
        found.sort_unstable();
        Ok(Ok(found))
    }

    /// Opens a watch, whose events come as they are told; the last thing that comes is that it ended.
    pub(crate) fn watch(&self, node: &NodeProcess, path: &str) -> Result<Watching> {
        let mut stream = TcpStream::connect(&node.http)?;
        stream.set_read_timeout(Some(SOON))?;
        let head = format!("GET /v1/tenants/acme{path} HTTP/1.1\r\nhost: node\r\n");
        stream.write_all(format!("{head}authorization: Bearer {}\r\n\r\n", self.0).as_bytes())?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().context("a status")??;
        let status = status.split(' ').nth(1).and_then(|n| n.parse().ok()).context("a status")?;
        let (told, events) = mpsc::channel();
        thread::spawn(move || {
            let mut name = String::new();
            // A stream in chunks ends with an empty one.
            for line in lines.map_while(Result::ok).take_while(|line| line != "0") {
                if let Some(event) = line.strip_prefix("event:") {
                    event.trim().clone_into(&mut name);
                }
                let data =
                    line.strip_prefix("data:").and_then(|data| serde_json::from_str(data).ok());
                if let Some(data) = data
                    && told.send((name.clone(), data)).is_err()
                {
                    return;
                }
            }
        });
        Ok(Watching { status, events })
    }
}

pub(crate) struct Watching {
    pub(crate) status: u16,
    events: mpsc::Receiver<(String, Value)>,
}

impl Watching {
    /// The next event, which must have this name.
    pub(crate) fn next(&self, wanted: &str) -> Result<Value> {
        loop {
            let (name, data) = self.events.recv_timeout(SOON).context("an event")?;
            if name == wanted {
                return Ok(data);
            }
            ensure!(name == "progress", "{name} {data}");
        }
    }

    /// It ends, and shows nothing more before.
    pub(crate) fn ends(&self) -> Result<()> {
        loop {
            match self.events.recv_timeout(SOON) {
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => anyhow::bail!("it goes on"),
                Ok((name, data)) => ensure!(name == "progress", "{name} {data}"),
            }
        }
    }
}

/// A node or a cluster with an operator.
pub(crate) struct World<'n> {
    pub(crate) nodes: Vec<&'n NodeProcess>,
    pub(crate) admin: Caller,
}

impl<'n> World<'n> {
    pub(crate) fn of(nodes: Vec<&'n NodeProcess>) -> Result<Self> {
        let data = nodes[0].data().display().to_string();
        let made = nodes[0].ask_as("", &["access", "bootstrap", "--data-dir", &data])?;
        let admin = Caller(made["token"].as_str().context("a token")?.to_owned());
        let world = Self { nodes, admin };
        world.everywhere("the operator", |node| {
            Ok(world.admin.http(node, "GET", "/access/whoami", &Value::Null)?.status == 200)
        })?;
        Ok(world)
    }

    pub(crate) fn everywhere(
        &self,
        what: &str,
        so: impl Fn(&NodeProcess) -> Result<bool>,
    ) -> Result<()> {
        self.nodes.iter().try_for_each(|node| soon(what, || so(node)))
    }

    /// Something of the operator at a node that must be done.
    pub(crate) fn must(&self, at: usize, method: &str, path: &str, body: &Value) -> Result<()> {
        let reply = self.admin.http(self.nodes[at % self.nodes.len()], method, path, body)?;
        ensure!(reply.status < 300, "{method} {path} {body}: {reply:?}");
        Ok(())
    }

    pub(crate) fn tags(&self, device: &str, tags: &Value) -> Result<()> {
        let path = format!("/tenants/acme/twins/{device}");
        self.must(1, "PATCH", &path, &json!({ "tags": tags }))
    }

    /// A principal, in force at all nodes.
    pub(crate) fn principal(&self, name: &str) -> Result<Caller> {
        self.must(0, "PUT", &format!("/access/principals/{name}"), &json!({}))?;
        let path = format!("/access/principals/{name}/tokens");
        let made = self.admin.http(self.nodes[0], "POST", &path, &json!({}))?.json()?;
        let caller = Caller(made["token"].as_str().context("a token")?.to_owned());
        self.everywhere("a principal", |node| {
            Ok(caller.http(node, "GET", "/access/whoami", &Value::Null)?.status == 200)
        })?;
        Ok(caller)
    }

    /// A policy, in force at all nodes.
    pub(crate) fn policy(&self, name: &str, policy: &Value) -> Result<()> {
        self.must(0, "PUT", &format!("/access/policies/{name}"), policy)?;
        self.everywhere("a policy", |node| {
            let listed = self.admin.http(node, "GET", "/access/policies", &Value::Null)?.json()?;
            let policies = listed["policies"].as_array().context("policies")?;
            let filter = policy["filter"].as_str().unwrap_or_default();
            Ok(policies.iter().any(|one| one["name"] == name && one["filter"] == filter))
        })
    }
}
