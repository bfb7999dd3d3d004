//! `pollux.v1.Jobs`.

use std::pin::Pin;

use futures_util::{Stream, stream};
use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::jobs_server::Jobs;
use tonic::{Request, Response, Status};

use super::super::desk::Desk;
use super::super::limits::JOB_LOOK;
use super::Grpc;
use crate::access::Caller;
use crate::jobs::{Kept, Wish};
use crate::metrics::Method;

impl Grpc {
    async fn wish(
        &self,
        method: Method,
        request: Request<v1::GetJobRequest>,
        wish: Wish,
    ) -> Result<Response<v1::Job>, Status> {
        let origin = self.origin(&request);
        self.respond(method, async {
            let caller = origin.caller?;
            Ok(Box::pin(self.desk.wish_of_job(&caller, request.get_ref(), wish)).await?.to_v1())
        })
        .await
    }
}

#[tonic::async_trait]
impl Jobs for Grpc {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::Job, Status>> + Send>>;

    async fn create(
        &self,
        request: Request<v1::CreateJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsCreate, async {
            let caller = origin.caller?;
            Ok(Box::pin(self.desk.create_job(&caller, request.into_inner())).await?.to_v1())
        })
        .await
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsGet, async {
            let caller = origin.caller?;
            let v1::GetJobRequest { tenant, name } = request.get_ref();
            Ok(self.desk.job(&caller, tenant, name).await?.to_v1())
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsList, async {
            let caller = origin.caller?;
            let (found, next_page_token) = self.desk.list_jobs(&caller, request.get_ref()).await?;
            let jobs = found.iter().map(Kept::to_v1).collect();
            Ok(v1::ListJobsResponse { jobs, next_page_token })
        })
        .await
    }

    async fn devices(
        &self,
        request: Request<v1::ListJobDevicesRequest>,
    ) -> Result<Response<v1::ListJobDevicesResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsDevices, async {
            let caller = origin.caller?;
            self.desk.job_devices(&caller, request.get_ref()).await
        })
        .await
    }

    async fn pause(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        self.wish(Method::JobsPause, request, Wish::Pause).await
    }

    async fn resume(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        self.wish(Method::JobsResume, request, Wish::Run).await
    }

    async fn cancel(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        self.wish(Method::JobsCancel, request, Wish::Cancel).await
    }

    async fn delete(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::DeleteJobResponse>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsDelete, async {
            let caller = origin.caller?;
            Box::pin(self.desk.delete_job(&caller, request.get_ref())).await?;
            Ok(v1::DeleteJobResponse {})
        })
        .await
    }

    async fn watch(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::JobsWatch, async {
            let caller = origin.caller?;
            let asked = request.into_inner();
            self.desk.job(&caller, &asked.tenant, &asked.name).await?;
            let following = Following { desk: self.desk.clone(), caller, asked, shown: None };
            Ok(Box::pin(stream::unfold(Some(following), Following::next)) as Self::WatchStream)
        })
        .await
    }
}

/// Whoever follows a job.
struct Following {
    desk: Desk,
    caller: Caller,
    asked: v1::GetJobRequest,
    shown: Option<v1::Job>,
}

impl Following {
    /// The job once it is another than was shown; nothing after it was over, or could not be read.
    async fn next(following: Option<Self>) -> Option<(Result<v1::Job, Status>, Option<Self>)> {
        let mut this = following?;
        loop {
            let read = match this.desk.still(&this.caller) {
                Ok(()) => this.desk.job(&this.caller, &this.asked.tenant, &this.asked.name).await,
                Err(rejection) => Err(rejection),
            };
            let kept = match read {
                Ok(kept) => kept,
                Err(rejection) => return Some((Err(to_status(&rejection)), None)),
            };
            let job = kept.to_v1();
            if this.shown.as_ref() != Some(&job) {
                this.shown = Some(job.clone());
                return Some((Ok(job), (!kept.is_over()).then_some(this)));
            }
            tokio::time::sleep(JOB_LOOK).await;
        }
    }
}
