//! The way to one node for services.

use anyhow::Result;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::twins_client::TwinsClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::limits::{ANSWER, CONNECT};
use crate::node::NodeOptions;

/// Connects when it is used, and again when it broke.
#[derive(Clone, Debug)]
pub struct Way {
    channel: Channel,
    /// Where HTTP listens.
    pub(super) http: String,
}

impl Way {
    /// The way to a node, which is gone when it is asked first.
    pub fn to(node: &NodeOptions) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{}", node.grpc))?;
        let channel = endpoint.connect_timeout(CONNECT).timeout(ANSWER).connect_lazy();
        Ok(Self { channel, http: node.http.clone() })
    }

    /// For calls to twins.
    pub fn twins(&self) -> TwinsClient<Channel> {
        TwinsClient::new(self.channel.clone())
    }

    pub(super) fn commands(&self) -> CommandsClient<Channel> {
        CommandsClient::new(self.channel.clone())
    }
}

/// A request whose caller waits for [`ANSWER`].
pub(super) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER);
    request
}
