//! How the cluster is, and who the caller is to it. What changes a cluster is asked of one [`Node`](crate::Node), and
//! not repeated.

use pollux_proto::v1;
use tonic::Response;

use crate::client::Client;
use crate::error::Error;
use crate::node::Node;

impl Client {
    /// Nodes and shards as the asked node finds them now.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn cluster_status(&self) -> Result<v1::ClusterStatusResponse, Error> {
        let make = |node: Node, request| async move {
            node.cluster().status(request).await.map(Response::into_inner)
        };
        self.read(v1::ClusterStatusRequest::default(), make).await
    }

    /// Who the caller is, as the node sees it.
    ///
    /// # Errors
    /// [`Rejection::Unauthenticated`](pollux_twin::Rejection::Unauthenticated) for a token that is worth nothing.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, Error> {
        let make = |node: Node, request| async move {
            node.access().who_am_i(request).await.map(Response::into_inner)
        };
        self.read(v1::WhoAmIRequest {}, make).await
    }
}
