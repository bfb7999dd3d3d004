//! A node of its own for each test, and a plain HTTP client that can also send nonsense.

use std::net::SocketAddr;
use std::time::Duration;

use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_runtime::Node;
use pollux_runtime::config::Layers;
use pollux_twin::{JsonLimits, Value};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;

/// A running node and its folder.
pub(crate) struct House {
    pub(crate) node: Node,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    _dir: TempDir,
}

impl House {
    /// A node that is ready.
    pub(crate) async fn open() -> Self {
        Self::open_with("").await
    }

    /// A node with some more of a configuration, which begins with whole tables.
    pub(crate) async fn open_with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "data_dir = {:?}\n\
             [listen]\ndevices = \"127.0.0.1:0\"\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
             peers = \"127.0.0.1:0\"\n\
             [cluster]\nshards = 2\n\
             [log]\nsegment_bytes = 4194304\nspare_segments = 2\n\
             {more}",
            dir.path().to_str().unwrap()
        );
        let config = Layers::new().text(&text, "test").check().unwrap();
        let node = Node::start(config).await.unwrap();
        for _ in 0..1000 {
            if node.router().readiness().ready {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(node.router().readiness().ready, "{:?}", node.router().readiness());
        let addresses = node.addresses();
        Self { node, http: addresses.http, grpc: addresses.grpc, _dir: dir }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.grpc);
        Channel::from_shared(address).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn twins(&self) -> TwinsClient<Channel> {
        TwinsClient::new(self.channel().await)
    }

    pub(crate) async fn commands(&self) -> CommandsClient<Channel> {
        CommandsClient::new(self.channel().await)
    }

    /// A request without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(method, path, &[], b"").await
    }

    /// A request with a JSON body.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, &[("content-type", "application/json")], body.as_bytes()).await
    }

    /// Any request.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = head(method, path, headers);
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes).await
    }

    /// Any bytes; the reply is what comes until the node closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        // A node that refuses early may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
        Reply::parse(&answer)
    }
}

/// The first lines of a request, up to where the body's headers go.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("0");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status: status.parse().unwrap(), headers, body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        let limits = JsonLimits { bytes_max: 1 << 24, depth_max: 64 };
        Value::from_json(&self.body, &limits).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A member of the body, as JSON text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.json().get(name).map(Value::to_json).unwrap_or_default()
    }

    /// Checks that this is a problem of that status and reason, told in both forms.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.at("reason"), format!("{reason:?}"), "{self:?}");
        assert_eq!(self.at("status"), status.to_string(), "{self:?}");
        assert!(!self.at("detail").is_empty(), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }
}
