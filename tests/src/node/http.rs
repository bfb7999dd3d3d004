//! HTTP by hand, so that a test can also send nonsense.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::NodeProcess;

/// Longest wait for bytes of an answer, on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status; 0 if there was no answer.
    pub status: u16,
    /// Whether the node ended the connection, rather than let the other side wait for too long.
    pub closed: bool,
    /// The lines before the body.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Reply {
    fn parse(bytes: &[u8], closed: bool) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (status, head, body) = (status.unwrap_or(0), head.to_owned(), body.to_owned());
        Self { status, closed, head, body }
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// The stable word of a refusal; empty if it is none.
    pub fn reason(&self) -> String {
        let body = self.json().unwrap_or_default();
        body["reason"].as_str().unwrap_or_default().to_owned()
    }
}

impl NodeProcess {
    /// Any request.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send_bytes(&bytes)
    }

    /// A request with a JSON body.
    pub fn send_json(&self, method: &str, path: &str, body: &str) -> Result<Reply> {
        self.send(method, path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Any bytes; what the node answers until it closes. It may close before it has read all.
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<Reply> {
        exchange(&self.http, bytes, ANSWER)
    }
}

/// `GET path` of any node: status 0 if it does not answer in time. An error if it cannot be reached.
pub fn get(address: &str, path: &str, patience: Duration) -> Result<Reply> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    exchange(address, head.as_bytes(), patience)
}

fn exchange(address: &str, bytes: &[u8], patience: Duration) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&address.parse()?, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut sender = stream.try_clone()?;
    // Sent beside the reading: a node that refuses early answers while the rest is on its way.
    let sending = std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            // A node that has refused does not read the rest.
            let _cut_off = sender.write_all(bytes);
        });
        let mut answer = Vec::new();
        let mut chunk = [0; 16 * 1024];
        let closed = loop {
            match stream.read(&mut chunk) {
                Ok(0) => break true,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
                Err(error) => break error.kind() == ErrorKind::ConnectionReset,
            }
        };
        let _closed = stream.shutdown(Shutdown::Both);
        sending.join().map(|()| (answer, closed))
    });
    let (answer, closed) = sending.map_err(|_| anyhow::anyhow!("the sender failed"))?;
    Ok(Reply::parse(&answer, closed))
}
