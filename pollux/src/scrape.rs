//! What a node of this machine counts, read over HTTP as a collector of metrics would.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::limits::{SCRAPE_BYTES_MAX, SCRAPE_MAX};

/// The text of a node's metrics.
pub(crate) async fn metrics(at: SocketAddr) -> io::Result<String> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(SCRAPE_MAX, get(at, "/metrics")).await.map_err(late)?
}

/// The body of `GET path`. The answer ends with the connection.
async fn get(at: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(SCRAPE_BYTES_MAX).read_to_string(&mut answer).await?;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no HTTP answer"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(wrong(head)),
    }
}
