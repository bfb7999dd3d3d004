//! The way to a node's gRPC endpoint.

use std::time::Duration;

use pollux_client::{ErrorKind, Node, Options};
use pollux_proto::v1::artifacts_client::ArtifactsClient;
use pollux_proto::v1::cluster_client::ClusterClient;
use pollux_proto::v1::devices_client::DevicesClient;
use pollux_proto::v1::enrolments_client::EnrolmentsClient;
use pollux_proto::v1::groups_client::GroupsClient;
use pollux_proto::v1::jobs_client::JobsClient;
use pollux_proto::v1::tenants_client::TenantsClient;
use pollux_proto::v1::types_client::TypesClient;
use pollux_twin::id::TenantId;
use pollux_twin::json::JsonErrorKind;
use pollux_twin::limits::DEPTH_CEILING;
use pollux_twin::{JsonLimits, TwinKey, Value};
use tonic::Request;
use tonic::transport::Channel;

use crate::args::ClientFlags;
use crate::context::{self, Way};
use crate::exit::{Exit, Failure};

/// Patience with a node of this machine.
const LOCAL_MAX: Duration = Duration::from_secs(10);

/// A connected client: `pollux_client` for the calls that it has, and the services of the node for the others.
pub(crate) struct Client {
    calls: pollux_client::Client,
    timeout: Duration,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(flags: &ClientFlags) -> Result<Self, Failure> {
        Self::connect_as(flags, None).await
    }

    /// Connects with a certificate and its key, both in PEM, or without.
    pub(crate) async fn connect_as(
        flags: &ClientFlags,
        identity: Option<(String, String)>,
    ) -> Result<Self, Failure> {
        let way = context::way(flags)?;
        let mut options = options(&way, flags.timeout)?;
        if let Some((certificate, key)) = identity {
            options = options.identity(certificate, key);
        }
        let calls = pollux_client::Client::connect(&options).await;
        let calls = calls.map_err(|error| match error.kind() {
            ErrorKind::Unreachable => {
                let next = match is_io(&error) {
                    false if way.grpc.starts_with("https://") => {
                        "does that port speak TLS? if not, write http://; if it does, name the CA of its \
                         certificate with --grpc-ca"
                    }
                    _ => "start one with `pollux dev`, or name another with --grpc",
                };
                Failure::new(Exit::Unavailable, &error).next(next)
            }
            _ => {
                let next = "write --grpc as http://127.0.0.1:4434 or https://node.example:4434, and the token as \
                            `pollux access principal token` printed it";
                Failure::new(Exit::Usage, &error).next(next)
            }
        })?;
        Ok(Self { calls, timeout: flags.timeout })
    }

    /// Connects to a node of this machine.
    pub(crate) async fn to(url: &str) -> Result<Self, Failure> {
        let flags = ClientFlags {
            context: None,
            grpc: Some(url.to_owned()),
            grpc_ca: None,
            token: None,
            token_file: None,
            timeout: LOCAL_MAX,
        };
        Self::connect(&flags).await
    }

    /// The calls that are repeated where that is safe.
    pub(crate) const fn calls(&self) -> &pollux_client::Client {
        &self.calls
    }

    /// The node, whose services are called once.
    fn node(&self) -> &Node {
        self.calls.node()
    }

    /// The Jobs service.
    pub(crate) fn jobs(&self) -> JobsClient<Channel> {
        self.node().jobs()
    }

    /// The Artifacts service.
    pub(crate) fn artifacts(&self) -> ArtifactsClient<Channel> {
        self.node().artifacts()
    }

    /// The Devices service.
    pub(crate) fn devices(&self) -> DevicesClient<Channel> {
        self.node().devices()
    }

    /// The Cluster service.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        self.node().cluster()
    }

    /// The Types service.
    pub(crate) fn types(&self) -> TypesClient<Channel> {
        self.node().types()
    }

    /// The Groups service.
    pub(crate) fn groups(&self) -> GroupsClient<Channel> {
        self.node().groups()
    }

    /// The Tenants service.
    pub(crate) fn tenants(&self) -> TenantsClient<Channel> {
        self.node().tenants()
    }

    /// The Enrolments service.
    pub(crate) fn enrolments(&self) -> EnrolmentsClient<Channel> {
        self.node().enrolments()
    }

    /// A request that ends in time.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.lasting_request(message);
        request.set_timeout(self.timeout);
        request
    }

    /// A request without a time limit, for streams that end when somebody leaves.
    pub(crate) fn lasting_request<T>(&self, message: T) -> Request<T> {
        self.node().request(message)
    }
}

/// How the flags say that a node is reached. Whether the network is safe enough for a token is for whoever gives it
/// to know.
fn options(way: &Way, timeout: Duration) -> Result<Options, Failure> {
    let nodes = way.grpc.split(',').map(str::trim);
    let mut options = Options::new(nodes).timeout(timeout).resume_for(timeout).plain();
    if let Some(token) = token(way)? {
        options = options.token(token);
    }
    if let Some(path) = &way.grpc_ca {
        let pem = std::fs::read(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("--grpc-ca {}: {error}", path.display()))
        })?;
        options = options.ca(pem);
    }
    Ok(options)
}

/// Whether there was no connection at all.
fn is_io(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        use std::io::ErrorKind::{
            ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut,
        };
        let unreachable = [ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut];
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| unreachable.contains(&io.kind()))
    })
}

/// The token that was given, or that is in the file that was.
fn token(way: &Way) -> Result<Option<String>, Failure> {
    if let Some(token) = &way.token {
        return Ok(Some(token.clone()));
    }
    let Some(path) = &way.token_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("--token-file {}: {error}", path.display()))
    })?;
    match text.trim() {
        "" => {
            Err(Failure::new(Exit::Usage, format!("--token-file {}: it is empty", path.display())))
        }
        token => Ok(Some(token.to_owned())),
    }
}

/// Reads the name of a device, with or without its tenant.
pub(crate) fn key(text: &str) -> Result<TwinKey, Failure> {
    TwinKey::parse(text).map_err(|error| {
        let of = match text.split_once('/') {
            Some((tenant, _)) if TenantId::parse(tenant).is_err() => format!(", tenant {tenant:?}"),
            Some((_, device)) => format!(", the part {device:?}"),
            None => String::new(),
        };
        Failure::new(Exit::Usage, format!("device {text:?}{of}: {error}"))
            .next("write it as device or tenant/device")
    })
}

/// An idempotency key of the command line; an empty one leaves it to the client to make one.
pub(crate) fn own_key(given: String) -> Option<String> {
    (!given.is_empty()).then_some(given)
}

/// JSON of the command line, or of standard input for `-`; refused before it travels.
pub(crate) fn json(text: &str) -> Result<String, Failure> {
    let text = match text {
        "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| Failure::new(Exit::Usage, format!("read standard input: {error}")))?,
        text => text.to_owned(),
    };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        return Err(Failure::new(Exit::Usage, format!("argument is no JSON: {error}"))
            .next("quote it for the shell, as in '{\"interval_s\":30}'"));
    }
    // Size and depth are the node's to judge, which has them configured.
    let limits = JsonLimits { bytes_max: usize::MAX, depth_max: DEPTH_CEILING };
    match Value::from_json(&text, &limits) {
        Err(error) if !matches!(error.kind, JsonErrorKind::TooDeep { .. }) => {
            let next = match error.kind {
                JsonErrorKind::DuplicateKey => "name each key of an object once",
                JsonErrorKind::LoneSurrogate => "write the character itself, or both halves of it",
                JsonErrorKind::NumberRange => "write it as a string, or as a number within 64 bits",
                _ => "write it so that every reader of JSON understands the same",
            };
            Err(Failure::new(Exit::Usage, format!("argument: {error}")).next(next))
        }
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_readers_understand_differently_is_refused_with_what_helps() {
        let check = |text: &str, expected: &str, next: &str| {
            let failure = json(text).expect_err(text);
            assert!(failure.message.contains(expected), "{}", failure.message);
            assert!(failure.next.as_ref().is_some_and(|n| n.contains(next)), "{failure:?}");
        };
        check("{\"a\":1,\"a\":2}", "at byte 7: key occurs twice", "once");
        check("{\"a\":\"\\ud800\"}", "surrogate", "both halves");
        check("{\"a\":1e400}", "", "as a string");
        check("{bad", "no JSON", "quote it");
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(json(&deep).expect("nodes judge depth"), deep);
    }

    #[test]
    fn the_part_of_a_name_that_is_wrong_is_named() {
        let check = |text: &str, expected: &str| {
            let failure = key(text).expect_err(text);
            assert!(failure.message.starts_with(expected), "{}", failure.message);
        };
        check("a/b/c", "device \"a/b/c\", the part \"b/c\": id has a character at byte 1");
        check("a b/c", "device \"a b/c\", tenant \"a b\": id has a character at byte 1");
        check("a b", "device \"a b\": id has a character at byte 1");
    }
}
