//! A watch that goes on by itself. Where it goes on, and what is no news, decides `resume`.

use std::collections::VecDeque;

use pollux_proto::v1;
use pollux_proto::v1::watch_request::Whose;
use pollux_proto::v1::watch_response::Event as What;
use prost::Message;
use tonic::{Response, Status, Streaming};

use crate::client::{Client, named};
use crate::error::Error;
use crate::resume::{Opened, Opening, Resume};
use crate::search::Search;

/// What to follow.
///
/// ```
/// use pollux_client::Watch;
///
/// let hot = Watch::prefix("pump-").of_tenant("acme").filter("reported.temperature > 90.0").picture();
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    pub(crate) device: Option<String>,
    pub(crate) tenant: String,
    pub(crate) prefix: String,
    pub(crate) filter: String,
    pub(crate) picture: bool,
    pub(crate) telemetry: bool,
    position: String,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A part of the picture: a twin as it is.
    Twin(Box<v1::Twin>),
    /// A twin changed.
    Changed(Box<v1::Changed>),
    /// The picture is complete; only changes follow. Some of the first may be in it already.
    PictureComplete,
    /// What followed is no longer kept: forget what you know. The whole picture follows.
    PositionLost,
    /// Nothing happened, but the position went on.
    Progress,
    /// Telemetry came as a datagram: told at most once, and left out where whoever watches is slow. Of a subscription
    /// nothing that has to be acknowledged.
    Telemetry(Box<v1::TelemetryHeard>),
    /// What a consumer of a shared subscription holds from now on.
    Sharing(v1::Sharing),
}

impl Watch {
    /// All twins of the default tenant.
    pub const fn all() -> Self {
        Self {
            device: None,
            tenant: String::new(),
            prefix: String::new(),
            filter: String::new(),
            picture: false,
            telemetry: false,
            position: String::new(),
        }
    }

    /// One twin, by `device` or `tenant/device`.
    pub fn device(device: impl Into<String>) -> Self {
        Self { device: Some(device.into()), ..Self::all() }
    }

    /// Those whose name begins so.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::all() }
    }

    /// Of another tenant than the default one.
    #[must_use]
    pub fn of_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Only changes of twins for which it holds after the change, or held before.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Begin with the twins as they are.
    #[must_use]
    pub const fn picture(mut self) -> Self {
        self.picture = true;
        self
    }

    /// Also tell telemetry that comes as datagrams, while it comes, as [`Event::Telemetry`].
    #[must_use]
    pub const fn telemetry(mut self) -> Self {
        self.telemetry = true;
        self
    }

    /// Go on after a position that an earlier watch of the same gave.
    #[must_use]
    pub fn after(mut self, position: impl Into<String>) -> Self {
        self.position = position.into();
        self
    }

    /// The request, but for where it begins.
    fn request(&self) -> Result<v1::WatchRequest, Error> {
        let (tenant, whose) = self.whose()?;
        let whose = Some(match whose {
            Some(device) => Whose::Device(device),
            None => Whose::Prefix(self.prefix.clone()),
        });
        Ok(v1::WatchRequest {
            tenant,
            whose,
            filter: self.filter.clone(),
            telemetry: self.telemetry,
            tell_start: true,
            batch: true,
            ..Default::default()
        })
    }

    /// The tenant, and the device if it is about one.
    pub(crate) fn whose(&self) -> Result<(String, Option<String>), Error> {
        let Some(device) = &self.device else { return Ok((self.tenant.clone(), None)) };
        let (tenant, device) = match device.contains('/') || self.tenant.is_empty() {
            true => named(device)?,
            false => named(&format!("{}/{device}", self.tenant))?,
        };
        Ok((tenant, Some(device)))
    }
}

/// The events of a watch.
///
/// Where its stream breaks it goes on, at another node if there is one, without a gap. Where that cannot be, since what
/// followed is no longer kept, or a picture was not yet complete, [`Event::PositionLost`] comes first and then the whole
/// picture.
#[derive(Debug)]
pub struct Watching {
    request: v1::WatchRequest,
    resume: Resume,
    stream: Option<Streaming<v1::WatchResponse>>,
    search: Search,
    /// What came and was not told yet.
    came: VecDeque<v1::WatchResponse>,
    /// Position of the last event itself.
    told: String,
}

impl Watching {
    pub(crate) async fn open(client: Client, watch: &Watch) -> Result<Self, Error> {
        let mut watching = Self {
            request: watch.request()?,
            resume: Resume::new(watch.position.clone(), watch.picture),
            stream: None,
            search: Search::new(client),
            came: VecDeque::new(),
            told: String::new(),
        };
        // The first time there is nothing to be told before.
        let _goes = watching.begin().await?;
        Ok(watching)
    }

    /// Where to go on after the events that came so far; empty while a picture is not complete.
    pub fn position(&self) -> &str {
        self.resume.position()
    }

    /// The last event's own position; empty where it has none.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// What comes next, without an end. May be dropped at any time: what was not told comes with the next call.
    ///
    /// # Errors
    /// When the caller may no longer watch, or no node was found for as long as the options say.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            while let Some(response) = self.came.pop_front() {
                if let Some(event) = self.take(response) {
                    return Ok(event);
                }
            }
            let Some(stream) = &mut self.stream else {
                match self.begin().await? {
                    Opened::Goes => continue,
                    Opened::Anew => {
                        self.told.clear();
                        return Ok(Event::PositionLost);
                    }
                }
            };
            let status = match stream.message().await {
                Ok(Some(response)) => match each(response) {
                    Ok(came) => {
                        self.search.found();
                        self.came = came;
                        continue;
                    }
                    Err(status) => status,
                },
                Ok(None) => Status::unavailable("the node ended the watch"),
                Err(status) => status,
            };
            self.stream = None;
            self.search.failed(status)?;
        }
    }

    /// The event that came, if it is news.
    fn take(&mut self, response: v1::WatchResponse) -> Option<Event> {
        if !self.resume.take(&response) {
            return None;
        }
        self.told.clone_from(&response.position);
        event(response)
    }

    /// Opens a stream where the watch goes on.
    async fn begin(&mut self) -> Result<Opened, Error> {
        loop {
            let node = self.search.node().await;
            let Opening { position, picture } = self.resume.opening();
            let request = v1::WatchRequest { position, picture, ..self.request.clone() };
            match first(node.twins().watch(node.request(request)).await).await {
                Ok((mut came, stream)) => {
                    self.stream = Some(stream);
                    let opened = self.resume.opened();
                    let start =
                        |first: &&v1::WatchResponse| matches!(first.event, Some(What::Progress(_)));
                    // Only tells where the stream begins.
                    if let Some(start) = came.front().filter(start) {
                        self.resume.take(start);
                        came.pop_front();
                    }
                    self.came = came;
                    return Ok(opened);
                }
                Err(status) => self.search.failed(status)?,
            }
        }
    }
}

/// What a stream begins with, and the stream: a node tells at once where it begins, or the first of a picture.
async fn first(
    opened: Result<Response<Streaming<v1::WatchResponse>>, Status>,
) -> Result<(VecDeque<v1::WatchResponse>, Streaming<v1::WatchResponse>), Status> {
    let mut stream = opened?.into_inner();
    let first = stream.message().await?;
    let first = first.ok_or_else(|| Status::unavailable("the node ended the watch"))?;
    Ok((each(first)?, stream))
}

/// The changes of a batch one by one, the last of them with its position; all else as it came.
fn each(response: v1::WatchResponse) -> Result<VecDeque<v1::WatchResponse>, Status> {
    let Some(What::Changes(v1::Changes { changes })) = response.event else {
        return Ok([response].into());
    };
    let read = |bytes| {
        let changed = v1::Changed::decode(bytes)
            .map_err(|error| Status::internal(format!("a change cannot be read: {error}")))?;
        let event = Some(What::Changed(changed));
        Ok(v1::WatchResponse { event, ..Default::default() })
    };
    let mut came = changes.into_iter().map(read).collect::<Result<VecDeque<_>, Status>>()?;
    if let Some(last) = came.back_mut() {
        last.position = response.position;
    }
    Ok(came)
}

/// An event; `None`: of a kind that this release does not know.
pub(crate) fn event(response: v1::WatchResponse) -> Option<Event> {
    Some(match response.event? {
        What::Twin(twin) => Event::Twin(Box::new(twin)),
        What::Changed(changed) => Event::Changed(Box::new(changed)),
        What::PictureComplete(_) => Event::PictureComplete,
        What::PositionLost(_) => Event::PositionLost,
        What::Progress(_) => Event::Progress,
        What::Telemetry(heard) => Event::Telemetry(Box::new(heard)),
        What::Sharing(sharing) => Event::Sharing(sharing),
        // Taken apart before.
        What::Changes(_) => return None,
    })
}
