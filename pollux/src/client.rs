//! The way to a node's gRPC endpoint.

use std::time::Duration;

use pollux_proto::v1::access_client::AccessClient;
use pollux_proto::v1::cluster_client::ClusterClient;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::devices_client::DevicesClient;
use pollux_proto::v1::subscriptions_client::SubscriptionsClient;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_twin::id::TenantId;
use pollux_twin::json::JsonErrorKind;
use pollux_twin::limits::DEPTH_CEILING;
use pollux_twin::{JsonLimits, TwinKey, Value};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::args::ClientFlags;
use crate::context::{self, Way};
use crate::exit::{Exit, Failure};

/// Bytes of one answer: a page of full twins may be large.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Patience for a connection; a node that is there answers at once.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Patience with a node of this machine.
const LOCAL_MAX: Duration = Duration::from_secs(10);

/// A connected client.
pub(crate) struct Client {
    channel: Channel,
    timeout: Duration,
    /// What says who calls, where there is a token.
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(flags: &ClientFlags) -> Result<Self, Failure> {
        let way = context::way(flags)?;
        let authorization = token(&way)?.map(|token| bearer(&token)).transpose()?;
        let usage = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("--grpc {}: {error}", way.grpc))
                .next("write it as http://127.0.0.1:4434 or https://node.example:4434")
        };
        let url = match way.grpc.contains("://") {
            true => way.grpc.clone(),
            false => format!("http://{}", way.grpc),
        };
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| usage(&error))?
            .connect_timeout(CONNECT_MAX.min(flags.timeout));
        if url.starts_with("https://") {
            endpoint = endpoint.tls_config(tls(&way)?).map_err(|error| usage(&error))?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let text = cause.unwrap_or_else(|| error.to_string());
            let failure = format!("no node answers at {}: {text}", way.grpc);
            Failure::new(Exit::Unavailable, failure).next(match is_io(&error) {
                false if url.starts_with("https://") => {
                    "does that port speak TLS? if not, write http://; if it does, name the CA of its \
                     certificate with --grpc-ca"
                }
                _ => "start one with `pollux dev`, or name another with --grpc",
            })
        })?;
        Ok(Self { channel, timeout: flags.timeout, authorization })
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

    /// The Twins service.
    pub(crate) fn twins(&self) -> TwinsClient<Channel> {
        TwinsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Commands service.
    pub(crate) fn commands(&self) -> CommandsClient<Channel> {
        CommandsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Devices service.
    pub(crate) fn devices(&self) -> DevicesClient<Channel> {
        DevicesClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Subscriptions service.
    pub(crate) fn subscriptions(&self) -> SubscriptionsClient<Channel> {
        SubscriptionsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Cluster service.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Access service.
    pub(crate) fn access(&self) -> AccessClient<Channel> {
        AccessClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A request that ends in time.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        self.request_within(message, self.timeout)
    }

    /// A request that may take as long as what it waits for, and then as long as any.
    pub(crate) fn patient_request<T>(&self, message: T, wait: Duration) -> Request<T> {
        self.request_within(message, self.timeout.saturating_add(wait))
    }

    fn request_within<T>(&self, message: T, within: Duration) -> Request<T> {
        let mut request = self.lasting_request(message);
        request.set_timeout(within);
        request
    }

    /// A request without a time limit, for streams that end when somebody leaves.
    pub(crate) fn lasting_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
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

/// The token that was given, or that is in the file that was; a variable that is empty is one that is not set.
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

/// How a token is sent. What is no token is refused before it travels, and not printed.
fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = plain.then(|| MetadataValue::try_from(format!("Bearer {token}")).ok()).flatten();
    let mut value = value.ok_or_else(|| {
        Failure::new(Exit::Usage, "the token has characters that no token has")
            .next("use it as `pollux access principal token` printed it")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn tls(way: &Way) -> Result<ClientTlsConfig, Failure> {
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = &way.grpc_ca {
        let pem = std::fs::read(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("--grpc-ca {}: {error}", path.display()))
        })?;
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    Ok(tls)
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
