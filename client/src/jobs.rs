//! Jobs: one thing done to many devices. What a job says is a [`v1::JobSpec`]; how far one is tells [`Following`].

use pollux_proto::v1;
use tonic::{Response, Status, Streaming};

use crate::client::Client;
use crate::error::Error;
use crate::limits::{JOBS_PAGE, PAGE};
use crate::node::Node;
use crate::search::Search;
use crate::subscriptions::named;

/// Calls about jobs. They are named `name`, or `tenant/name`.
#[derive(Clone, Copy, Debug)]
pub struct Jobs<'a> {
    client: &'a Client,
}

/// A call that names a job and is answered with it.
macro_rules! steer {
    ($(#[$about:meta])* $verb:ident) => {
        $(#[$about])*
        ///
        /// # Errors
        /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound), and
        /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for one that is over.
        pub async fn $verb(&self, name: &str) -> Result<v1::Job, Error> {
            let make = |node: Node, request| async move {
                node.jobs().$verb(request).await.map(Response::into_inner)
            };
            // Done twice it is as done once.
            self.client.repeated(asked(name), make).await
        }
    };
}

impl<'a> Jobs<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Makes a job. Repeating it changes nothing.
    ///
    /// ```no_run
    /// # async fn example(client: pollux_client::Client) -> Result<(), pollux_client::Error> {
    /// use pollux_client::v1;
    /// use pollux_client::v1::job_spec::{Action, Whose};
    ///
    /// let pumps = v1::JobFleet { prefix: "pump-".into(), filter: String::new() };
    /// let spec = v1::JobSpec {
    ///     whose: Some(Whose::Fleet(pumps)),
    ///     action: Some(Action::DesiredJson(r#"{"interval_s":10}"#.into())),
    ///     canary: 10,
    ///     abort_above_percent: Some(5),
    ///     ..Default::default()
    /// };
    /// client.jobs().create("faster", spec).await?;
    /// let mut job = client.jobs().follow("faster");
    /// while let Some(job) = job.next().await? {
    ///     println!("{:?}", job.totals);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Rejection::VersionMismatch`](pollux_twin::Rejection::VersionMismatch) if one of the same name is about
    /// something else, [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for what makes no job.
    pub async fn create(&self, name: &str, spec: v1::JobSpec) -> Result<v1::Job, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.jobs().create(request).await.map(Response::into_inner)
        };
        let request = v1::CreateJobRequest { tenant, name, spec: Some(spec) };
        // One that is there is what was asked for.
        self.client.repeated(request, make).await
    }

    /// Reads a job.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn get(&self, name: &str) -> Result<v1::Job, Error> {
        let make = |node: Node, request| async move {
            node.jobs().get(request).await.map(Response::into_inner)
        };
        self.client.read(asked(name), make).await
    }

    /// The jobs of a tenant that the caller may read; an empty tenant is the default one. Asks page after page.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str) -> Result<Vec<v1::Job>, Error> {
        let tenant = tenant.to_owned();
        let request = v1::ListJobsRequest { tenant, page_size: JOBS_PAGE, ..Default::default() };
        let make = |node: Node, request| async move {
            node.jobs().list(request).await.map(Response::into_inner)
        };
        let cut = |page: v1::ListJobsResponse| (page.jobs, page.next_page_token);
        self.client.pages(request, make, |request| &mut request.page_token, cut).await
    }

    /// Where a job's devices stand, by their names: all of them, or those in one state. Asks page after page.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn devices(
        &self,
        name: &str,
        state: v1::JobDeviceState,
    ) -> Result<Vec<v1::JobDevice>, Error> {
        let (tenant, name) = named(name);
        let mut request =
            v1::ListJobDevicesRequest { tenant, name, page_size: PAGE, ..Default::default() };
        request.set_state(state);
        let make = |node: Node, request| async move {
            node.jobs().devices(request).await.map(Response::into_inner)
        };
        let cut = |page: v1::ListJobDevicesResponse| (page.devices, page.next_page_token);
        self.client.pages(request, make, |request| &mut request.page_token, cut).await
    }

    steer! {
        /// No further device is begun with; those under way go on.
        pause
    }

    steer! {
        /// A paused job goes on.
        resume
    }

    steer! {
        /// No further device is begun with, for good.
        cancel
    }

    /// Forgets a job that is over.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound), and
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for one that is not over.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let make = |node: Node, request| async move { node.jobs().delete(request).await };
        // One of the same name could be made in between, and a repetition would delete that.
        self.client.once(asked(name), make).await.map(drop)
    }

    /// Follows a job until it is over.
    pub fn follow(&self, name: &str) -> Following {
        Following {
            name: name.to_owned(),
            search: Search::new(self.client.clone()),
            stream: None,
            told: None,
        }
    }
}

/// A job whenever it has changed. Where its stream breaks it goes on, at another node if there is one.
#[derive(Debug)]
pub struct Following {
    name: String,
    search: Search,
    stream: Option<Streaming<v1::Job>>,
    /// What was told last: nothing is told twice.
    told: Option<v1::Job>,
}

impl Following {
    /// The job as it is now; `None` once it was told to be over. May be dropped at any time.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound), and when no node was found for as long as the
    /// options say.
    pub async fn next(&mut self) -> Result<Option<v1::Job>, Error> {
        loop {
            if self.told.as_ref().is_some_and(|job| job.ended_at_ms != 0) {
                return Ok(None);
            }
            let told = match &mut self.stream {
                Some(stream) => stream.message().await,
                None => match self.begin().await {
                    Ok(stream) => self.stream.insert(stream).message().await,
                    Err(status) => Err(status),
                },
            };
            match told {
                Ok(Some(job)) => {
                    self.search.found();
                    if self.told.as_ref() != Some(&job) {
                        return Ok(Some(self.told.insert(job).clone()));
                    }
                }
                Ok(None) => self.broke(Status::unavailable("the node ended the stream"))?,
                Err(status) => self.broke(status)?,
            }
        }
    }

    async fn begin(&mut self) -> Result<Streaming<v1::Job>, Status> {
        let node = self.search.node().await;
        let request = node.request(asked(&self.name));
        node.jobs().watch(request).await.map(Response::into_inner)
    }

    fn broke(&mut self, status: Status) -> Result<(), Error> {
        self.stream = None;
        self.search.failed(status)
    }
}

fn asked(name: &str) -> v1::GetJobRequest {
    let (tenant, name) = named(name);
    v1::GetJobRequest { tenant, name }
}

impl Client {
    /// One thing done to many devices.
    pub const fn jobs(&self) -> Jobs<'_> {
        Jobs::new(self)
    }
}
