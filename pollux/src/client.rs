//! The way to a node's gRPC endpoint.

use std::time::Duration;

use pollux_proto::v1::cluster_client::ClusterClient;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_twin::TwinKey;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::args::ClientFlags;
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
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(flags: &ClientFlags) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("--grpc {}: {error}", flags.grpc))
                .next("write it as http://127.0.0.1:4434 or https://node.example:4434")
        };
        let url = match flags.grpc.contains("://") {
            true => flags.grpc.clone(),
            false => format!("http://{}", flags.grpc),
        };
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| usage(&error))?
            .connect_timeout(CONNECT_MAX.min(flags.timeout));
        if url.starts_with("https://") {
            endpoint = endpoint.tls_config(tls(flags)?).map_err(|error| usage(&error))?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let text = cause.unwrap_or_else(|| error.to_string());
            Failure::new(Exit::Unavailable, format!("no node answers at {}: {text}", flags.grpc))
                .next("start one with `pollux dev`, or name another with --grpc")
        })?;
        Ok(Self { channel, timeout: flags.timeout })
    }

    /// Connects to a node of this machine.
    pub(crate) async fn to(url: &str) -> Result<Self, Failure> {
        let flags = ClientFlags { grpc: url.to_owned(), grpc_ca: None, timeout: LOCAL_MAX };
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

    /// The Cluster service.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
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
        let mut request = Request::new(message);
        request.set_timeout(within);
        request
    }
}

fn tls(flags: &ClientFlags) -> Result<ClientTlsConfig, Failure> {
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = &flags.grpc_ca {
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
        Failure::new(Exit::Usage, format!("device {text:?}: {error}"))
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
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(Exit::Usage, format!("argument is no JSON: {error}"))
            .next("quote it for the shell, as in '{\"interval_s\":30}'")),
    }
}
