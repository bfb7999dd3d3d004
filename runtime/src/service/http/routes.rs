//! The one table of paths and methods. The router is made of it and the OpenAPI document describes
//! it, so neither can forget one.

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use pollux_cluster::access::Action;
use pollux_twin::change::Section;

use super::super::desk::Desk;
use super::incoming::Incoming;
use super::jobs;
use super::problem::Problem;
use super::subscriptions::{self, Call};
use super::{
    access, admin, artifacts, commands, devices, enrolments, fleet, import, method_not_allowed,
    no_such_path, query, tenants, twins, watch,
};
use crate::metrics::{Door, Method};

/// A method of HTTP that a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Put,
    Patch,
    Post,
    Delete,
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Index,
    Alive,
    Ready,
    Metrics,
    OpenApi,
    Status,
    Access(Access),
    ListTwins,
    QueryTwins,
    GetTwin,
    PutTwin,
    PatchTwin,
    DeleteTwin,
    GetSection(Section),
    PutSection(Section),
    PatchSection(Section),
    WatchTwins,
    WatchTwin,
    ListCommands,
    SendCommand,
    GetCommand,
    CancelCommand,
    GetDevice,
    ImportDevices,
    RegisterDevice,
    DisableDevice,
    EnableDevice,
    RestoreDevice,
    ListDeleted,
    GiveCredential,
    RevokeCredential,
    Subscription(Call),
    Fleet(fleet::Call),
    Enrolment(enrolments::Call),
    Tenant(tenants::Call),
    Job(jobs::Call),
    Artifact(artifacts::Call),
}

/// What a request asks about who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    WhoAmI,
    ListPrincipals,
    PutPrincipal,
    RemovePrincipal,
    IssueToken,
    RevokeToken,
    ListPolicies,
    PutPolicy,
    RemovePolicy,
    Check,
    Audit,
}

/// Paths of the node.
const ROOT: &[(Verb, &str, Operation)] = &[
    (Verb::Get, "/", Operation::Index),
    (Verb::Get, "/healthz", Operation::Alive),
    (Verb::Get, "/readyz", Operation::Ready),
    (Verb::Get, "/metrics", Operation::Metrics),
    (Verb::Get, "/openapi.json", Operation::OpenApi),
    (Verb::Get, "/v1/status", Operation::Status),
];

/// Paths of who may do what.
const ACCESS: &[(Verb, &str, Operation)] = &[
    (Verb::Get, "/v1/access/whoami", Operation::Access(Access::WhoAmI)),
    (Verb::Get, "/v1/access/principals", Operation::Access(Access::ListPrincipals)),
    (Verb::Put, "/v1/access/principals/{name}", Operation::Access(Access::PutPrincipal)),
    (Verb::Delete, "/v1/access/principals/{name}", Operation::Access(Access::RemovePrincipal)),
    (Verb::Post, "/v1/access/principals/{name}/tokens", Operation::Access(Access::IssueToken)),
    (Verb::Delete, "/v1/access/tokens/{token}", Operation::Access(Access::RevokeToken)),
    (Verb::Get, "/v1/access/policies", Operation::Access(Access::ListPolicies)),
    (Verb::Put, "/v1/access/policies/{name}", Operation::Access(Access::PutPolicy)),
    (Verb::Delete, "/v1/access/policies/{name}", Operation::Access(Access::RemovePolicy)),
    (Verb::Post, "/v1/access/check", Operation::Access(Access::Check)),
    (Verb::Get, "/v1/access/audit", Operation::Access(Access::Audit)),
    (Verb::Get, "/v1/tenants", Operation::Tenant(tenants::Call::ListTenants)),
];

/// What every path of a tenant's twins begins with: short for the default tenant.
const TENANTS: [&str; 2] = ["/v1", "/v1/tenants/{tenant}"];

/// Paths of a tenant's twins, devices, subscriptions and jobs.
const TWINS: &[(Verb, &str, Operation)] = &[
    (Verb::Get, "/twins", Operation::ListTwins),
    (Verb::Post, "/query", Operation::QueryTwins),
    (Verb::Get, "/watch", Operation::WatchTwins),
    (Verb::Get, "/twins/{device}", Operation::GetTwin),
    (Verb::Put, "/twins/{device}", Operation::PutTwin),
    (Verb::Patch, "/twins/{device}", Operation::PatchTwin),
    (Verb::Delete, "/twins/{device}", Operation::DeleteTwin),
    (Verb::Get, "/twins/{device}/tags", Operation::GetSection(Section::Tags)),
    (Verb::Put, "/twins/{device}/tags", Operation::PutSection(Section::Tags)),
    (Verb::Patch, "/twins/{device}/tags", Operation::PatchSection(Section::Tags)),
    (Verb::Get, "/twins/{device}/desired", Operation::GetSection(Section::Desired)),
    (Verb::Put, "/twins/{device}/desired", Operation::PutSection(Section::Desired)),
    (Verb::Patch, "/twins/{device}/desired", Operation::PatchSection(Section::Desired)),
    (Verb::Get, "/twins/{device}/reported", Operation::GetSection(Section::Reported)),
    (Verb::Get, "/twins/{device}/watch", Operation::WatchTwin),
    (Verb::Get, "/twins/{device}/commands", Operation::ListCommands),
    (Verb::Post, "/twins/{device}/commands", Operation::SendCommand),
    (Verb::Get, "/twins/{device}/commands/{id}", Operation::GetCommand),
    (Verb::Delete, "/twins/{device}/commands/{id}", Operation::CancelCommand),
    (Verb::Post, "/devices", Operation::ImportDevices),
    (Verb::Get, "/devices/{device}", Operation::GetDevice),
    (Verb::Put, "/devices/{device}", Operation::RegisterDevice),
    (Verb::Post, "/devices/{device}/disable", Operation::DisableDevice),
    (Verb::Post, "/devices/{device}/enable", Operation::EnableDevice),
    (Verb::Post, "/devices/{device}/restore", Operation::RestoreDevice),
    (Verb::Get, "/deleted", Operation::ListDeleted),
    (Verb::Put, "/devices/{device}/credentials/{name}", Operation::GiveCredential),
    (Verb::Delete, "/devices/{device}/credentials/{name}", Operation::RevokeCredential),
    (Verb::Get, "/types", Operation::Fleet(fleet::Call::ListTypes)),
    (Verb::Put, "/types/{name}", Operation::Fleet(fleet::Call::PutType)),
    (Verb::Get, "/types/{name}", Operation::Fleet(fleet::Call::GetType)),
    (Verb::Delete, "/types/{name}", Operation::Fleet(fleet::Call::RemoveType)),
    (Verb::Get, "/groups", Operation::Fleet(fleet::Call::ListGroups)),
    (Verb::Put, "/groups/{name}", Operation::Fleet(fleet::Call::PutGroup)),
    (Verb::Get, "/groups/{name}", Operation::Fleet(fleet::Call::GetGroup)),
    (Verb::Delete, "/groups/{name}", Operation::Fleet(fleet::Call::RemoveGroup)),
    (Verb::Get, "/groups/{name}/members", Operation::Fleet(fleet::Call::ListMembers)),
    (Verb::Post, "/groups/{name}/add", Operation::Fleet(fleet::Call::AddMembers)),
    (Verb::Post, "/groups/{name}/take-out", Operation::Fleet(fleet::Call::TakeOutMembers)),
    (Verb::Get, "/limits", Operation::Tenant(tenants::Call::GetLimits)),
    (Verb::Put, "/limits", Operation::Tenant(tenants::Call::PutLimits)),
    (Verb::Get, "/enrolments", Operation::Enrolment(enrolments::Call::ListEnrolments)),
    (Verb::Put, "/enrolments/{name}", Operation::Enrolment(enrolments::Call::PutEnrolment)),
    (Verb::Get, "/enrolments/{name}", Operation::Enrolment(enrolments::Call::GetEnrolment)),
    (Verb::Delete, "/enrolments/{name}", Operation::Enrolment(enrolments::Call::RemoveEnrolment)),
    (Verb::Post, "/enrolments/{name}/provision", Operation::Enrolment(enrolments::Call::Provision)),
    (Verb::Get, "/subscriptions", Operation::Subscription(Call::List)),
    (Verb::Put, "/subscriptions/{name}", Operation::Subscription(Call::Put)),
    (Verb::Get, "/subscriptions/{name}", Operation::Subscription(Call::Get)),
    (Verb::Delete, "/subscriptions/{name}", Operation::Subscription(Call::Delete)),
    (Verb::Get, "/subscriptions/{name}/events", Operation::Subscription(Call::Consume)),
    (Verb::Post, "/subscriptions/{name}/acknowledge", Operation::Subscription(Call::Acknowledge)),
    (Verb::Get, "/artifacts", Operation::Artifact(artifacts::Call::ListArtifacts)),
    (Verb::Put, "/artifacts/{name}/{version}", Operation::Artifact(artifacts::Call::PutArtifact)),
    (Verb::Get, "/artifacts/{name}/{version}", Operation::Artifact(artifacts::Call::GetArtifact)),
    (
        Verb::Get,
        "/artifacts/{name}/{version}/about",
        Operation::Artifact(artifacts::Call::DescribeArtifact),
    ),
    (
        Verb::Delete,
        "/artifacts/{name}/{version}",
        Operation::Artifact(artifacts::Call::RemoveArtifact),
    ),
    (Verb::Get, "/artifact-keys", Operation::Artifact(artifacts::Call::ListArtifactKeys)),
    (Verb::Put, "/artifact-keys/{name}", Operation::Artifact(artifacts::Call::PutArtifactKey)),
    (
        Verb::Delete,
        "/artifact-keys/{name}",
        Operation::Artifact(artifacts::Call::RemoveArtifactKey),
    ),
    (Verb::Get, "/jobs", Operation::Job(jobs::Call::List)),
    (Verb::Put, "/jobs/{name}", Operation::Job(jobs::Call::Put)),
    (Verb::Get, "/jobs/{name}", Operation::Job(jobs::Call::Get)),
    (Verb::Delete, "/jobs/{name}", Operation::Job(jobs::Call::Delete)),
    (Verb::Get, "/jobs/{name}/devices", Operation::Job(jobs::Call::Devices)),
    (Verb::Post, "/jobs/{name}/pause", Operation::Job(jobs::Call::Pause)),
    (Verb::Post, "/jobs/{name}/resume", Operation::Job(jobs::Call::Resume)),
    (Verb::Post, "/jobs/{name}/cancel", Operation::Job(jobs::Call::Cancel)),
];

/// Every method of every path.
pub(super) fn all() -> impl Iterator<Item = (Verb, String, Operation)> {
    let root = ROOT
        .iter()
        .chain(ACCESS)
        .map(|(verb, path, operation)| (*verb, (*path).to_owned(), *operation));
    let twins = TENANTS.iter().flat_map(|tenant| {
        TWINS
            .iter()
            .map(move |(verb, path, operation)| (*verb, format!("{tenant}{path}"), *operation))
    });
    root.chain(twins)
}

/// The router of the HTTP door.
pub(super) fn router(desk: Desk) -> Router {
    let mut router = Router::new();
    for (verb, path, operation) in all() {
        let handler = move |incoming: Incoming, body: Body| answer(operation, incoming, body);
        router = router.route(&path, on(verb.filter(), handler));
    }
    router.fallback(no_such_path).method_not_allowed_fallback(method_not_allowed).with_state(desk)
}

async fn answer(operation: Operation, incoming: Incoming, body: Body) -> Response<Body> {
    let desk = incoming.desk.clone();
    let result = match operation.method() {
        Some(method) => {
            let reason = |problem: &Problem| problem.reason;
            let call = Box::pin(dispatch(operation, incoming, body));
            desk.measured(Door::Http, method, reason, call).await
        }
        None => {
            let result = Box::pin(dispatch(operation, incoming, body)).await;
            if let Err(problem) = &result {
                desk.metrics.rejections_total.of(problem.reason).inc();
            }
            result
        }
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

async fn dispatch(
    operation: Operation,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    if !operation.is_for_anyone() {
        incoming.caller()?;
    }
    match operation {
        Operation::Index => Ok(admin::index()),
        Operation::Alive => Ok(admin::alive()),
        Operation::Ready => Ok(admin::ready(&incoming)),
        Operation::Metrics => {
            incoming.allowed(Action::ClusterRead)?;
            Ok(admin::metrics(&incoming))
        }
        Operation::OpenApi => Ok(admin::openapi()),
        Operation::Status => {
            incoming.allowed(Action::ClusterRead)?;
            Ok(admin::status(&incoming))
        }
        Operation::Access(asked) => asked_of_access(asked, incoming, body).await,
        Operation::ListTwins => twins::list(incoming).await,
        Operation::QueryTwins => query::query(incoming, body).await,
        Operation::GetTwin => twins::get(incoming).await,
        Operation::PutTwin => twins::write_one(incoming, body, twins::How::Replace).await,
        Operation::PatchTwin => twins::write_one(incoming, body, twins::How::Merge).await,
        Operation::DeleteTwin => twins::delete(incoming).await,
        Operation::GetSection(section) => twins::get_section(incoming, section).await,
        Operation::PutSection(section) => {
            twins::write_section(incoming, body, section, twins::How::Replace).await
        }
        Operation::PatchSection(section) => {
            twins::write_section(incoming, body, section, twins::How::Merge).await
        }
        Operation::WatchTwins => watch::fleet(&incoming).await,
        Operation::WatchTwin => watch::one(&incoming).await,
        Operation::ListCommands => commands::list(incoming).await,
        Operation::SendCommand => commands::send(incoming, body).await,
        Operation::GetCommand => commands::get(incoming).await,
        Operation::CancelCommand => commands::cancel(incoming).await,
        Operation::Subscription(call) => subscriptions::call(call, incoming, body).await,
        Operation::Fleet(call) => fleet::call(call, incoming, body).await,
        Operation::Enrolment(call) => enrolments::call(call, incoming, body).await,
        Operation::Tenant(call) => tenants::call(call, incoming, body).await,
        Operation::ImportDevices => import::import(incoming, body).await,
        Operation::Job(call) => Box::pin(jobs::call(call, incoming, body)).await,
        Operation::Artifact(call) => Box::pin(artifacts::call(call, incoming, body)).await,
        Operation::GetDevice => devices::get(incoming).await,
        Operation::RegisterDevice => devices::register(incoming, body).await,
        Operation::DisableDevice => devices::disable(incoming, body).await,
        Operation::EnableDevice => devices::enable(incoming).await,
        Operation::RestoreDevice => devices::restore(incoming).await,
        Operation::ListDeleted => devices::list_deleted(incoming).await,
        Operation::GiveCredential => devices::give_credential(incoming, body).await,
        Operation::RevokeCredential => devices::revoke_credential(incoming).await,
    }
}

async fn asked_of_access(
    asked: Access,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    match asked {
        Access::WhoAmI => access::who_am_i(&incoming),
        Access::ListPrincipals => access::list_principals(&incoming),
        Access::PutPrincipal => access::put_principal(incoming, body).await,
        Access::RemovePrincipal => access::remove_principal(incoming).await,
        Access::IssueToken => access::issue_token(incoming, body).await,
        Access::RevokeToken => access::revoke_token(incoming).await,
        Access::ListPolicies => access::list_policies(&incoming),
        Access::PutPolicy => access::put_policy(incoming, body).await,
        Access::RemovePolicy => access::remove_policy(incoming).await,
        Access::Check => access::check(incoming, body).await,
        Access::Audit => access::audit(&incoming),
    }
}

impl Verb {
    const fn filter(self) -> MethodFilter {
        match self {
            // axum answers HEAD where it answers GET.
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// Its name in an OpenAPI document.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

impl Operation {
    /// Whether whoever reaches the door may ask it: what shows nothing of twins or of the cluster, and devices that
    /// prove who they are otherwise.
    const fn is_for_anyone(self) -> bool {
        matches!(
            self,
            Self::Index
                | Self::Alive
                | Self::Ready
                | Self::OpenApi
                | Self::Enrolment(enrolments::Call::Provision)
        )
    }

    /// The call that it is counted as, if it is one.
    const fn method(self) -> Option<Method> {
        Some(match self {
            Self::Index
            | Self::Alive
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Status
            | Self::Access(_)
            | Self::Fleet(_)
            | Self::Artifact(_)
            | Self::Enrolment(_)
            | Self::Tenant(_) => return None,
            Self::ListTwins => Method::TwinsList,
            Self::QueryTwins => Method::TwinsQuery,
            Self::GetTwin | Self::GetSection(_) => Method::TwinsGet,
            Self::PutTwin | Self::PatchTwin | Self::PutSection(_) | Self::PatchSection(_) => {
                Method::TwinsPatch
            }
            Self::DeleteTwin => Method::TwinsDelete,
            Self::WatchTwins | Self::WatchTwin => Method::TwinsWatch,
            Self::ListCommands => Method::CommandsList,
            Self::SendCommand => Method::CommandsSend,
            Self::GetCommand => Method::CommandsGet,
            Self::CancelCommand => Method::CommandsCancel,
            Self::Subscription(call) => call.method(),
            Self::Job(call) => call.method(),
            Self::GetDevice => Method::DevicesGet,
            Self::ImportDevices => Method::DevicesImport,
            Self::RegisterDevice => Method::DevicesRegister,
            Self::DisableDevice => Method::DevicesDisable,
            Self::EnableDevice => Method::DevicesEnable,
            Self::RestoreDevice => Method::DevicesRestore,
            Self::ListDeleted => Method::DevicesListDeleted,
            Self::GiveCredential => Method::DevicesGiveCredential,
            Self::RevokeCredential => Method::DevicesRevokeCredential,
        })
    }
}
