//! Who may do what: principals, their tokens, policies, and the audit.

use pollux_proto::v1;
use tonic::Response;

use crate::client::Client;
use crate::error::Error;
use crate::limits::PAGE;
use crate::node::Node;

/// Calls about who may do what. Who the caller is says [`Client::who_am_i`].
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    client: &'a Client,
}

impl Access<'_> {
    /// Adds a principal, or changes it: its name, note and subjects count. It may do nothing until a policy says so.
    ///
    /// # Errors
    /// When what is asked makes no principal.
    pub async fn put_principal(&self, principal: v1::Principal) -> Result<(), Error> {
        let make = |node: Node, request| async move { node.access().put_principal(request).await };
        let request = v1::PutPrincipalRequest { principal: Some(principal) };
        // A repetition could undo what somebody took away in between.
        self.client.once(request, make).await.map(drop)
    }

    /// Takes a principal away, with its tokens; policies go on naming it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove_principal(&self, name: &str) -> Result<(), Error> {
        let make =
            |node: Node, request| async move { node.access().remove_principal(request).await };
        // One of the same name could be added in between, and a repetition would remove that.
        let request = v1::RemovePrincipalRequest { name: name.to_owned() };
        self.client.once(request, make).await.map(drop)
    }

    /// All principals by name, with what is known of their tokens; never a secret.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list_principals(&self) -> Result<Vec<v1::Principal>, Error> {
        let make = |node: Node, request| async move {
            node.access().list_principals(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListPrincipalsRequest {}, make).await?.principals)
    }

    /// Makes a further token of a principal, of at most eight. The answer has the token, which is never shown again.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound) where there is no such principal.
    pub async fn issue_token(
        &self,
        request: v1::IssueTokenRequest,
    ) -> Result<v1::IssueTokenResponse, Error> {
        let make = |node: Node, request| async move {
            node.access().issue_token(request).await.map(Response::into_inner)
        };
        // A repetition would make another, and nobody would know the first.
        self.client.once(request, make).await
    }

    /// Makes a token worth nothing, by its id.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        let make = |node: Node, request| async move { node.access().revoke_token(request).await };
        self.client.once(v1::RevokeTokenRequest { id: id.to_owned() }, make).await.map(drop)
    }

    /// Adds a policy, or puts it in the place of the one of that name.
    ///
    /// # Errors
    /// When what is asked makes no policy, such as one for a principal that is not there.
    pub async fn put_policy(&self, policy: v1::Policy) -> Result<(), Error> {
        let make = |node: Node, request| async move { node.access().put_policy(request).await };
        let request = v1::PutPolicyRequest { policy: Some(policy) };
        // As for principals.
        self.client.once(request, make).await.map(drop)
    }

    /// Takes a policy away.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove_policy(&self, name: &str) -> Result<(), Error> {
        let make = |node: Node, request| async move { node.access().remove_policy(request).await };
        // As for principals.
        let request = v1::RemovePolicyRequest { name: name.to_owned() };
        self.client.once(request, make).await.map(drop)
    }

    /// All policies, by name.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list_policies(&self) -> Result<Vec<v1::Policy>, Error> {
        let make = |node: Node, request| async move {
            node.access().list_policies(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListPoliciesRequest {}, make).await?.policies)
    }

    /// Whether a principal may do something, and why; nothing is done.
    ///
    /// # Errors
    /// When there is no such action.
    pub async fn check(&self, request: v1::CheckRequest) -> Result<v1::CheckResponse, Error> {
        let make = |node: Node, request| async move {
            node.access().check(request).await.map(Response::into_inner)
        };
        self.client.read(request, make).await
    }

    /// A page of what was changed, by whom, and what came of it; the newest first. The next page is before the number of
    /// its last entry.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn audit_page(
        &self,
        request: v1::AuditRequest,
    ) -> Result<Vec<v1::AuditEntry>, Error> {
        let make = |node: Node, request| async move {
            node.access().audit(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(request, make).await?.entries)
    }

    /// All of it that is kept, the newest first. Asks page after page.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn audit(&self) -> Result<Vec<v1::AuditEntry>, Error> {
        let (mut all, mut before) = (Vec::new(), 0);
        loop {
            let page = self.audit_page(v1::AuditRequest { before, limit: PAGE }).await?;
            let Some(last) = page.last() else { return Ok(all) };
            before = last.number;
            all.extend(page);
        }
    }
}

impl Client {
    /// Who may do what.
    pub const fn access(&self) -> Access<'_> {
        Access { client: self }
    }
}
