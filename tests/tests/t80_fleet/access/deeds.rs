//! What callers try, through each door, and what comes of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pollux_proto::v1;
use pollux_proto::v1::access_client::AccessClient;
use pollux_proto::v1::artifacts_client::ArtifactsClient;
use pollux_proto::v1::cluster_client::ClusterClient;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::job_spec::{Action, Whose};
use pollux_proto::v1::jobs_client::JobsClient;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_tests::node::{NodeProcess, Reply};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Longest wait for the head of an answer.
const HEAD: Duration = Duration::from_secs(30);

/// Something to try on twins of tenant `acme`, or on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Read,
    /// Write `desired.a`.
    WriteA,
    /// Write `desired.b`.
    WriteB,
    Delete,
    List,
    Query,
    Watch,
    Command,
    /// Make a job.
    Job,
    /// List artifacts.
    Artifacts,
    /// Take one away that is not there.
    Release,
    Status,
    Pause,
    Policies,
}

/// All of them; the twin is written before it is read, and deleted at last.
pub(crate) const DEEDS: [Deed; 14] = [
    Deed::WriteA,
    Deed::WriteB,
    Deed::Read,
    Deed::List,
    Deed::Query,
    Deed::Watch,
    Deed::Command,
    Deed::Job,
    Deed::Artifacts,
    Deed::Release,
    Deed::Status,
    Deed::Pause,
    Deed::Policies,
    Deed::Delete,
];

impl Deed {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::WriteA => "write-a",
            Self::WriteB => "write-b",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Query => "query",
            Self::Watch => "watch",
            Self::Command => "command",
            Self::Job => "job",
            Self::Artifacts => "artifacts",
            Self::Release => "release",
            Self::Status => "status",
            Self::Pause => "pause",
            Self::Policies => "policies",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was let through; perhaps there was no such twin, or no such device.
    Allowed,
    Forbidden,
    Unauthenticated,
}

/// Somebody with a token, or without.
pub(crate) struct Caller {
    token: String,
}

impl Caller {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }

    pub(crate) fn nobody() -> Self {
        Self::new("")
    }

    /// Tries it through every door.
    pub(crate) fn everywhere(
        &self,
        node: &NodeProcess,
        deed: Deed,
        device: &str,
    ) -> Result<Vec<(&'static str, Outcome)>> {
        let mut outcomes = vec![("gRPC", self.by_grpc(node, deed, device)?)];
        // The cluster is run by gRPC alone.
        if deed != Deed::Pause {
            outcomes.push(("HTTP", self.by_http(node, deed, device)?));
        }
        outcomes.push(("the command line", self.by_cli(node, deed, device)?));
        Ok(outcomes)
    }

    /// Any request over HTTP, with a body of JSON.
    pub(crate) fn http(
        &self,
        node: &NodeProcess,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Reply> {
        self.send(node, method, path, &[("content-type", "application/json")], body)
    }

    pub(crate) fn send(
        &self,
        node: &NodeProcess,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply> {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = headers.to_vec();
        if !self.token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        node.send(method, path, &headers, body.as_bytes())
    }

    pub(crate) fn by_http(&self, node: &NodeProcess, deed: Deed, device: &str) -> Result<Outcome> {
        let twin = format!("/v1/tenants/acme/twins/{device}");
        let (method, path, body) = match deed {
            Deed::Read => ("GET", twin, ""),
            Deed::WriteA => ("PATCH", twin, "{\"desired\":{\"a\":{\"n\":1}}}"),
            Deed::WriteB => ("PATCH", twin, "{\"desired\":{\"b\":1}}"),
            Deed::Delete => ("DELETE", twin, ""),
            Deed::List => ("GET", "/v1/tenants/acme/twins".to_owned(), ""),
            Deed::Query => ("POST", "/v1/tenants/acme/query".to_owned(), "{\"count\":true}"),
            Deed::Watch => return outcome_of(self.watch(node)?.status),
            Deed::Command => ("POST", format!("{twin}/commands"), "{\"name\":\"restart\"}"),
            Deed::Job => {
                let body = "{\"devices\":[\"job-1\"],\"tags\":{\"a\":1}}";
                ("PUT", "/v1/tenants/acme/jobs/mark".to_owned(), body)
            }
            Deed::Artifacts => ("GET", "/v1/tenants/acme/artifacts".to_owned(), ""),
            Deed::Release => ("DELETE", "/v1/tenants/acme/artifacts/none/1".to_owned(), ""),
            Deed::Status => ("GET", "/v1/status".to_owned(), ""),
            Deed::Policies => ("GET", "/v1/access/policies".to_owned(), ""),
            Deed::Pause => bail!("there is no path for that"),
        };
        outcome_of(self.http(node, method, &path, body)?.status)
    }

    /// Opens a watch over HTTP.
    pub(crate) fn watch(&self, node: &NodeProcess) -> Result<Watching> {
        let mut stream = TcpStream::connect(&node.http)?;
        stream.set_read_timeout(Some(HEAD))?;
        let mut head = "GET /v1/tenants/acme/watch HTTP/1.1\r\nhost: node\r\n".to_owned();
        if !self.token.is_empty() {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&chunk[..count]);
        }
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Watching { status: status.context("a status")?, stream })
    }

    fn by_cli(&self, node: &NodeProcess, deed: Deed, device: &str) -> Result<Outcome> {
        let twin = format!("acme/{device}");
        let verb: &[&str] = match deed {
            Deed::Read => &["twin", "get", &twin],
            Deed::WriteA => &["twin", "patch", &twin, "{\"a\":{\"n\":1}}"],
            Deed::WriteB => &["twin", "patch", &twin, "{\"b\":1}"],
            Deed::Delete => &["twin", "delete", &twin],
            Deed::List => &["twin", "list", "--tenant", "acme"],
            Deed::Query => &["twin", "query", "--count", "--tenant", "acme"],
            // Where it is allowed it goes on until it is ended: that it begins is tried by gRPC.
            Deed::Watch => return self.by_grpc(node, deed, device),
            Deed::Command => &["command", "send", &twin, "restart"],
            Deed::Job => {
                let mark = ["job", "create", "mark", "--tenant", "acme", "--device", "job-1"];
                return self.said(node, &[&mark[..], &["--tags", "{\"a\":1}"]].concat());
            }
            Deed::Artifacts => &["artifact", "list", "--tenant", "acme"],
            Deed::Release => &["artifact", "remove", "acme/none@1"],
            Deed::Status => &["cluster", "status"],
            Deed::Pause => &["cluster", "pause"],
            Deed::Policies => &["access", "policy", "list"],
        };
        self.said(node, verb)
    }

    /// What the command line says.
    fn said(&self, node: &NodeProcess, verb: &[&str]) -> Result<Outcome> {
        let said = match node.ask_as(&self.token, verb) {
            Ok(_) => return Ok(Outcome::Allowed),
            Err(error) => error.to_string(),
        };
        for (reason, outcome) in [
            ("\"reason\":\"forbidden\"", Outcome::Forbidden),
            ("\"reason\":\"unauthenticated\"", Outcome::Unauthenticated),
            ("\"reason\":\"device_offline\"", Outcome::Allowed),
            ("\"reason\":\"not_found\"", Outcome::Allowed),
            ("there is no artifact", Outcome::Allowed),
        ] {
            if said.contains(reason) {
                return Ok(outcome);
            }
        }
        bail!("{verb:?}: {said}")
    }

    fn by_grpc(&self, node: &NodeProcess, deed: Deed, device: &str) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let url = format!("http://{}", node.grpc);
            let channel = Channel::from_shared(url)?.connect().await?;
            match self.call(channel, deed, device).await {
                Ok(()) => Ok(Outcome::Allowed),
                Err(status) => match status.code() {
                    Code::PermissionDenied => Ok(Outcome::Forbidden),
                    Code::Unauthenticated => Ok(Outcome::Unauthenticated),
                    Code::NotFound | Code::FailedPrecondition => Ok(Outcome::Allowed),
                    _ => Err(status.into()),
                },
            }
        })
    }

    async fn call(&self, channel: Channel, deed: Deed, device: &str) -> Result<(), Status> {
        let (tenant, device) = ("acme".to_owned(), device.to_owned());
        let mut twins = TwinsClient::new(channel.clone());
        match deed {
            Deed::Read => {
                let get = v1::GetTwinRequest { tenant, device, ..Default::default() };
                twins.get(self.request(get)).await.map(drop)
            }
            Deed::WriteA | Deed::WriteB => {
                let json = if deed == Deed::WriteA { "{\"a\":{\"n\":1}}" } else { "{\"b\":1}" };
                let patch = v1::PatchTwinRequest {
                    tenant,
                    device,
                    section: v1::Section::Desired.into(),
                    change: Some(Change::MergeJson(json.to_owned())),
                    ..Default::default()
                };
                twins.patch(self.request(patch)).await.map(drop)
            }
            Deed::Delete => {
                let delete = v1::DeleteTwinRequest { tenant, device, ..Default::default() };
                twins.delete(self.request(delete)).await.map(drop)
            }
            Deed::List => {
                let list = v1::ListTwinsRequest { tenant, ..Default::default() };
                twins.list(self.request(list)).await.map(drop)
            }
            Deed::Query => {
                let query = v1::QueryRequest { tenant, count: true, ..Default::default() };
                twins.query(self.request(query)).await.map(drop)
            }
            Deed::Watch => {
                let watch = v1::WatchRequest { tenant, ..Default::default() };
                twins.watch(self.request(watch)).await.map(drop)
            }
            Deed::Command => {
                let name = "restart".to_owned();
                let send = v1::SendCommandRequest { tenant, device, name, ..Default::default() };
                CommandsClient::new(channel).send(self.request(send)).await.map(drop)
            }
            Deed::Job => {
                let create = self.request(mark(tenant));
                JobsClient::new(channel).create(create).await.map(drop)
            }
            Deed::Artifacts => {
                let list = v1::ListArtifactsRequest { tenant, ..Default::default() };
                ArtifactsClient::new(channel).list(self.request(list)).await.map(drop)
            }
            Deed::Release => {
                let (name, version) = ("none".to_owned(), "1".to_owned());
                let remove = v1::RemoveArtifactRequest { tenant, name, version };
                ArtifactsClient::new(channel).remove(self.request(remove)).await.map(drop)
            }
            Deed::Status => {
                let status = self.request(v1::ClusterStatusRequest::default());
                ClusterClient::new(channel).status(status).await.map(drop)
            }
            Deed::Pause => {
                let pause = self.request(v1::SetBalancingRequest { paused: true });
                ClusterClient::new(channel).set_balancing(pause).await.map(drop)
            }
            Deed::Policies => {
                let list = self.request(v1::ListPoliciesRequest {});
                AccessClient::new(channel).list_policies(list).await.map(drop)
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(HEAD);
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token).parse().expect("tokens are ASCII");
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }
}

/// The job that is tried.
fn mark(tenant: String) -> v1::CreateJobRequest {
    let devices = vec!["job-1".to_owned()];
    let spec = v1::JobSpec {
        whose: Some(Whose::Devices(v1::JobDevices { devices })),
        action: Some(Action::TagsJson("{\"a\":1}".to_owned())),
        ..Default::default()
    };
    v1::CreateJobRequest { tenant, name: "mark".to_owned(), spec: Some(spec) }
}

fn outcome_of(status: u16) -> Result<Outcome> {
    match status {
        401 => Ok(Outcome::Unauthenticated),
        403 => Ok(Outcome::Forbidden),
        200..=299 | 404 | 409 => Ok(Outcome::Allowed),
        other => bail!("status {other}"),
    }
}

/// An open watch.
pub(crate) struct Watching {
    status: u16,
    stream: TcpStream,
}

impl Watching {
    /// Whether the node ends it in time.
    pub(crate) fn ended_within(mut self, patience: Duration) -> bool {
        let mut chunk = [0; 1024];
        if self.status != 200 || self.stream.set_read_timeout(Some(patience)).is_err() {
            return false;
        }
        let mut tail = Vec::new();
        loop {
            match self.stream.read(&mut chunk) {
                // A stream in chunks ends with an empty one.
                Ok(0) => return true,
                Ok(count) => tail.extend_from_slice(&chunk[..count]),
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
            if tail.ends_with(b"0\r\n\r\n") {
                return true;
            }
        }
    }
}
