//! One node's gRPC endpoint: the services that the `.proto` files name, for calls that [`crate::Client`] does not
//! have. Nothing is repeated here.

use std::sync::Arc;

use pollux_proto::v1::access_client::AccessClient;
use pollux_proto::v1::artifacts_client::ArtifactsClient;
use pollux_proto::v1::cluster_client::ClusterClient;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::devices_client::DevicesClient;
use pollux_proto::v1::enrolments_client::EnrolmentsClient;
use pollux_proto::v1::groups_client::GroupsClient;
use pollux_proto::v1::jobs_client::JobsClient;
use pollux_proto::v1::subscriptions_client::SubscriptionsClient;
use pollux_proto::v1::tenants_client::TenantsClient;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::types_client::TypesClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::limits::ANSWER_BYTES_MAX;

/// The way to one node.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) address: Arc<str>,
    pub(crate) channel: Channel,
    /// What says who calls, where there is a token.
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
}

impl Node {
    /// Its address, as it was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The Twins service.
    pub fn twins(&self) -> TwinsClient<Channel> {
        TwinsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Commands service.
    pub fn commands(&self) -> CommandsClient<Channel> {
        CommandsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Devices service.
    pub fn devices(&self) -> DevicesClient<Channel> {
        DevicesClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Types service.
    pub fn types(&self) -> TypesClient<Channel> {
        TypesClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Groups service.
    pub fn groups(&self) -> GroupsClient<Channel> {
        GroupsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Tenants service.
    pub fn tenants(&self) -> TenantsClient<Channel> {
        TenantsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Enrolments service.
    pub fn enrolments(&self) -> EnrolmentsClient<Channel> {
        EnrolmentsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Subscriptions service.
    pub fn subscriptions(&self) -> SubscriptionsClient<Channel> {
        SubscriptionsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Jobs service.
    pub fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Artifacts service.
    pub fn artifacts(&self) -> ArtifactsClient<Channel> {
        ArtifactsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Cluster service.
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The Access service.
    pub fn access(&self) -> AccessClient<Channel> {
        AccessClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A request that says who calls. Without a time limit: give it one, unless it is a stream that ends when
    /// somebody leaves.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}
