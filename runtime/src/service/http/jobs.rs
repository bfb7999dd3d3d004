//! Jobs over HTTP.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, v1};
use pollux_twin::Value;

use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, page};
use crate::jobs::{Kept, Wish};
use crate::metrics::Method;

/// What is asked of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    List,
    Put,
    Get,
    Delete,
    Devices,
    Pause,
    Resume,
    Cancel,
}

impl Call {
    /// The call that it is counted as.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::List => Method::JobsList,
            Self::Put => Method::JobsCreate,
            Self::Get => Method::JobsGet,
            Self::Delete => Method::JobsDelete,
            Self::Devices => Method::JobsDevices,
            Self::Pause => Method::JobsPause,
            Self::Resume => Method::JobsResume,
            Self::Cancel => Method::JobsCancel,
        }
    }
}

/// Carries out a call.
pub(super) async fn call(
    call: Call,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    match call {
        Call::List => return list(&incoming).await,
        Call::Devices => return devices(&incoming).await,
        _ => {}
    }
    incoming.arguments(&[])?;
    let caller = incoming.caller()?.clone();
    let (tenant, name) = (incoming.tenant().to_owned(), incoming.name().to_owned());
    let desk = incoming.desk.clone();
    let named = v1::GetJobRequest { tenant: tenant.clone(), name: name.clone() };
    let kept = match call {
        Call::Put => {
            let spec = convert::job_spec_from_json(incoming.json(body, Form::Json).await?)?;
            let asked = v1::CreateJobRequest { tenant, name, spec: Some(spec) };
            Box::pin(desk.create_job(&caller, asked)).await?
        }
        Call::Delete => {
            Box::pin(desk.delete_job(&caller, &named)).await?;
            return Ok(json(StatusCode::OK, &Value::object()));
        }
        Call::Get | Call::List | Call::Devices => desk.job(&caller, &tenant, &name).await?,
        Call::Pause => desk.wish_of_job(&caller, &named, Wish::Pause).await?,
        Call::Resume => desk.wish_of_job(&caller, &named, Wish::Run).await?,
        Call::Cancel => desk.wish_of_job(&caller, &named, Wish::Cancel).await?,
    };
    Ok(json(StatusCode::OK, &shown(&incoming, &kept)))
}

fn shown(incoming: &Incoming, kept: &Kept) -> Value {
    convert::job_json(&kept.to_v1(), &incoming.desk.json)
}

async fn list(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(&["page_size", "page_token"])?;
    let asked = v1::ListJobsRequest {
        tenant: incoming.tenant().to_owned(),
        page_size: arguments.page_size()?,
        page_token: arguments.text("page_token").unwrap_or_default().to_owned(),
    };
    let (found, next) = incoming.desk.list_jobs(incoming.caller()?, &asked).await?;
    let all: Vec<_> = found.iter().map(|kept| shown(incoming, kept)).collect();
    Ok(json(StatusCode::OK, &page("jobs", all, next)))
}

async fn devices(incoming: &Incoming) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(&["state", "page_size", "page_token"])?;
    let state = match arguments.text("state") {
        None => v1::JobDeviceState::Unspecified,
        Some(name) => convert::job_device_state_named(name).ok_or_else(|| {
            let right = convert::JOB_DEVICE_STATES.map(|(name, _)| name).join(", ");
            Problem::invalid(format!("query: state takes one of {right}"))
        })?,
    };
    let asked = v1::ListJobDevicesRequest {
        tenant: incoming.tenant().to_owned(),
        name: incoming.name().to_owned(),
        state: state.into(),
        page_size: arguments.page_size()?,
        page_token: arguments.text("page_token").unwrap_or_default().to_owned(),
    };
    let found = incoming.desk.job_devices(incoming.caller()?, &asked).await?;
    let devices: Vec<_> = found.devices.iter().map(convert::job_device_json).collect();
    Ok(json(StatusCode::OK, &page("devices", devices, found.next_page_token)))
}
