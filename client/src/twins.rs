//! Reading, writing, listing and finding twins.

use std::time::Duration;

use pollux_proto::v1;
use pollux_twin::change::Section;
use serde_json::Value;
use tonic::{Response, Status};

use crate::client::{Client, key, named};
use crate::error::Error;
use crate::node::Node;
use crate::watching::{Watch, Watching};

/// Calls about twins. Devices are named `device`, or `tenant/device`.
#[derive(Clone, Copy, Debug)]
pub struct Twins<'a> {
    client: &'a Client,
}

/// A write to a section.
#[derive(Clone, Debug)]
pub struct Write {
    device: String,
    section: Section,
    change: v1::patch_twin_request::Change,
    expected: Option<u64>,
    key: Option<String>,
}

/// A section after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which.
    pub section: Section,
    /// Its version: as before if the write changed nothing.
    pub version: u64,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The twins of this page.
    pub rows: Vec<v1::QueryRow>,
    /// Those counted apart, the largest group first.
    pub groups: Vec<v1::QueryGroup>,
    /// How many there are in all, where to go on, and what the answer stands for.
    pub end: v1::QueryEnd,
}

impl Write {
    /// Merges into a section (RFC 7396: objects merge, null removes, all else replaces).
    pub fn merge(device: impl Into<String>, section: Section, patch: &Value) -> Self {
        Self::merge_json(device, section, patch.to_string())
    }

    /// The same with a patch that is JSON already.
    pub fn merge_json(device: impl Into<String>, section: Section, patch: String) -> Self {
        let change = v1::patch_twin_request::Change::MergeJson(patch);
        Self { device: device.into(), section, change, expected: None, key: None }
    }

    /// Replaces a section as a whole.
    pub fn whole(device: impl Into<String>, section: Section, content: &Value) -> Self {
        Self::whole_json(device, section, content.to_string())
    }

    /// The same with content that is JSON already.
    pub fn whole_json(device: impl Into<String>, section: Section, content: String) -> Self {
        let change = v1::patch_twin_request::Change::WholeJson(content);
        Self { device: device.into(), section, change, expected: None, key: None }
    }

    /// Only if the section has this version; 0: if it was never written.
    #[must_use]
    pub const fn expected_version(mut self, version: u64) -> Self {
        self.expected = Some(version);
        self
    }

    /// Under an idempotency key of the caller's own. Otherwise the client makes one for each call.
    ///
    /// An empty one is none: then a call that is not answered is not repeated. A twin remembers 512 keys for five
    /// minutes, so that one which is written more often has to do without.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl<'a> Twins<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Reads a twin: all is in it that was acknowledged before the call.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound) if there is none.
    pub async fn get(&self, device: &str) -> Result<v1::Twin, Error> {
        let (tenant, device) = named(device)?;
        let request = v1::GetTwinRequest { tenant, device, ..Default::default() };
        Ok(self.get_with(request).await?.twin.unwrap_or_default())
    }

    /// Reads a twin as the request says: from any replica, whose answer may be old, as far as that is allowed.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_with(
        &self,
        request: v1::GetTwinRequest,
    ) -> Result<v1::GetTwinResponse, Error> {
        let make = |node: Node, request| async move {
            node.twins().get(request).await.map(Response::into_inner)
        };
        self.client.read(request, make).await
    }

    /// Merges into `tags` or `desired`; see [`Write::merge`].
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn patch(
        &self,
        device: &str,
        section: Section,
        patch: &Value,
    ) -> Result<Written, Error> {
        self.write(Write::merge(device, section, patch)).await
    }

    /// Writes `tags` or `desired`, and makes the twin if there is none.
    ///
    /// # Errors
    /// [`Rejection::VersionMismatch`](pollux_twin::Rejection::VersionMismatch) if the section has another version
    /// than was expected.
    pub async fn write(&self, write: Write) -> Result<Written, Error> {
        let (tenant, device) = named(&write.device)?;
        let (idempotency_key, work) = key(write.key);
        let request = v1::PatchTwinRequest {
            tenant,
            device,
            section: v1::Section::from(write.section).into(),
            change: Some(write.change),
            expected_version: write.expected,
            idempotency_key,
        };
        let make = |node: Node, request| async move {
            node.twins().patch(request).await.map(Response::into_inner)
        };
        let answer = self.client.call(work, Duration::ZERO, request, make).await?;
        Ok(Written { section: write.section, version: answer.version })
    }

    /// Deletes a twin, if it has the version that is expected of the whole; the version of what is left.
    ///
    /// # Errors
    /// As [`Self::write`], and [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn delete(
        &self,
        device: &str,
        expected_version: Option<u64>,
        idempotency_key: Option<String>,
    ) -> Result<u64, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(idempotency_key);
        let request = v1::DeleteTwinRequest { tenant, device, expected_version, idempotency_key };
        let make = |node: Node, request| async move {
            node.twins().delete(request).await.map(Response::into_inner)
        };
        Ok(self.client.call(work, Duration::ZERO, request, make).await?.version)
    }

    /// A page of twins in order of their names; go on with its `next_page_token`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(
        &self,
        request: v1::ListTwinsRequest,
    ) -> Result<v1::ListTwinsResponse, Error> {
        let make = |node: Node, request| async move {
            node.twins().list(request).await.map(Response::into_inner)
        };
        self.client.read(request, make).await
    }

    /// Finds twins by what is in them, or counts them; go on with its `next_cursor`.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid), with line and column, for an expression that is none.
    pub async fn query(&self, request: v1::QueryRequest) -> Result<Answer, Error> {
        let make = |node: Node, request| async move {
            let mut parts = node.twins().query(request).await?.into_inner();
            let (mut answer, mut whole) = (Answer::default(), false);
            while let Some(part) = parts.message().await? {
                answer.rows.extend(part.rows);
                answer.groups.extend(part.groups);
                if let Some(end) = part.end {
                    (answer.end, whole) = (end, true);
                }
            }
            // What ends without it was cut off: no answer is better than half of one.
            match whole {
                true => Ok(answer),
                false => Err(Status::unavailable("the answer has no end")),
            }
        };
        self.client.read(request, make).await
    }

    /// For how many twins of a tenant a filter holds; an empty tenant is the default one.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn count(&self, tenant: &str, filter: &str) -> Result<u64, Error> {
        let request = v1::QueryRequest {
            tenant: tenant.to_owned(),
            filter: filter.to_owned(),
            count: true,
            ..Default::default()
        };
        Ok(self.query(request).await?.end.matched)
    }

    /// Follows changes; what is written from then on is told.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for a filter or a position that is none.
    pub async fn watch(&self, watch: &Watch) -> Result<Watching, Error> {
        Watching::open(self.client.clone(), watch).await
    }
}

impl Client {
    /// Reading, writing, listing, finding and watching twins.
    pub const fn twins(&self) -> Twins<'_> {
        Twins::new(self)
    }
}
