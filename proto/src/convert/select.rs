//! Which twins a list or a watch is about.

use pollux_twin::{DeviceId, Rejection, TenantId, TwinKey, id};

use super::{Freshness, freshness, invalid, key};
use crate::limits::{PAGE_SIZE, PAGE_SIZE_MAX};
use crate::position::Position;
use crate::v1;

/// What `Twins.List` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Only devices whose name begins so.
    pub prefix: String,
    /// Only twins after this one.
    pub after: Option<TwinKey>,
    /// At most so many; at least one.
    pub size: usize,
    /// Everything, or only name, version and presence.
    pub view: v1::ListView,
    /// How fresh it must be.
    pub fresh: Freshness,
}

impl Page {
    /// The token with which the next page goes on after `last`.
    pub fn token_after(last: &TwinKey) -> String {
        last.device().to_owned()
    }
}

/// What `Twins.Watch` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which twins.
    pub whose: Whose,
    /// Go on after this; `None`: from now on.
    pub position: Option<Position>,
    /// Begin with the twins as they are.
    pub picture: bool,
    /// Only changes of twins for which it holds or held; empty: all. What it means is query/'s.
    pub filter: String,
    /// Also tell telemetry that comes as datagrams.
    pub telemetry: bool,
}

/// Which twins are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One.
    Device(TwinKey),
    /// All of a tenant whose name begins so.
    Fleet {
        /// The tenant.
        tenant: TenantId,
        /// The beginning of the devices' names; may be empty.
        prefix: String,
    },
}

impl Whose {
    /// Whether this twin is one of them.
    pub fn includes(&self, key: &TwinKey) -> bool {
        match self {
            Self::Device(device) => device == key,
            Self::Fleet { tenant, prefix } => {
                key.tenant() == tenant.as_str() && key.device().starts_with(prefix)
            }
        }
    }
}

/// `Twins.List`.
pub fn list(request: &v1::ListTwinsRequest) -> Result<Page, Rejection> {
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(key(&request.tenant, token).map_err(|_| Rejection::Invalid {
            reason: "page_token: not one that a list gave; leave it empty to begin".to_owned(),
        })?),
    };
    let size = match request.page_size {
        0 => PAGE_SIZE,
        size => size.min(PAGE_SIZE_MAX),
    };
    let view = match request.view() {
        v1::ListView::Full => v1::ListView::Full,
        v1::ListView::Summary | v1::ListView::Unspecified => v1::ListView::Summary,
    };
    Ok(Page {
        tenant: tenant(&request.tenant)?,
        prefix: prefix(&request.prefix)?,
        after,
        size: size as usize,
        view,
        fresh: freshness(&request.min_position, request.max_age_ms)?,
    })
}

/// `Devices.ListDeleted`.
pub fn list_deleted(request: &v1::ListDeletedRequest) -> Result<Page, Rejection> {
    list(&v1::ListTwinsRequest {
        tenant: request.tenant.clone(),
        prefix: request.prefix.clone(),
        page_size: request.page_size,
        page_token: request.page_token.clone(),
        ..Default::default()
    })
}

/// `Twins.Watch`.
pub fn watch(request: &v1::WatchRequest) -> Result<Watch, Rejection> {
    use v1::watch_request::Whose as Asked;
    let whose = match &request.whose {
        Some(Asked::Device(device)) => Whose::Device(key(&request.tenant, device)?),
        Some(Asked::Prefix(text)) => {
            Whose::Fleet { tenant: tenant(&request.tenant)?, prefix: prefix(text)? }
        }
        None => Whose::Fleet { tenant: tenant(&request.tenant)?, prefix: String::new() },
    };
    let position = match request.position.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|error| invalid("position", &error))?),
    };
    let filter = request.filter.trim().to_owned();
    let v1::WatchRequest { picture, telemetry, .. } = *request;
    Ok(Watch { whose, position, picture, filter, telemetry })
}

/// A tenant's name; empty for the default one.
pub(super) fn tenant(text: &str) -> Result<TenantId, Rejection> {
    let text = if text.is_empty() { id::DEFAULT_TENANT } else { text };
    TenantId::parse(text).map_err(|error| invalid("tenant", &error))
}

/// The beginning of a device's name is itself a name, or nothing.
fn prefix(text: &str) -> Result<String, Rejection> {
    if !text.is_empty() {
        DeviceId::parse(text).map_err(|error| invalid("prefix", &error))?;
    }
    Ok(text.to_owned())
}
