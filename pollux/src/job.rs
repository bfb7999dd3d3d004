//! `pollux job …`: calls of the Jobs service.

use std::time::Duration;

use pollux_proto::convert;
use pollux_proto::v1;
use pollux_proto::v1::job_spec::{Action, Whose};
use pollux_twin::JsonLimits;
use pollux_twin::limits::DEPTH_CEILING;
use serde_json::{Value, json};

use crate::args::{
    AwaitName, CreateJobArgs, JobCommand, JobDevicesArgs, NamedFlags, Output, TenantFlags,
};
use crate::client::{self, Client};
use crate::exit::{Exit, Failure};
use crate::limits::JOB_BAR_WIDTH;
use crate::start::Signals;
use crate::{print, render};

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Create(args) => create(output, *args).await,
        JobCommand::List { of: TenantFlags { tenant, client }, limit, cursor } => {
            let client = Client::connect(&client).await?;
            let (page_size, page_token) = (limit.unwrap_or_default(), cursor);
            let request = client.request(v1::ListJobsRequest { tenant, page_size, page_token });
            let answer = client.jobs().list(request).await?.into_inner();
            let mut lines: Vec<_> = answer.jobs.iter().map(text).collect();
            if lines.is_empty() {
                lines.push("no jobs".to_owned());
            }
            let all: Vec<_> = answer.jobs.iter().map(shown).collect();
            let mut json = json!({ "jobs": all });
            if !answer.next_page_token.is_empty() {
                let cursor = answer.next_page_token;
                lines.push(format!("there are more; go on with --cursor {cursor}"));
                json["next_cursor"] = json!(cursor);
            }
            print::result(output, &lines.join("\n"), &json)
        }
        JobCommand::Get { named, wait: true } => {
            let client = Client::connect(&named.client).await?;
            wait(output, &client, asked(&named)).await
        }
        JobCommand::Get { named, wait: false } => {
            let client = Client::connect(&named.client).await?;
            let job = client.jobs().get(client.request(asked(&named))).await?.into_inner();
            show(output, &job)
        }
        JobCommand::Devices(args) => devices(output, args).await,
        JobCommand::Pause(named) => {
            let client = Client::connect(&named.client).await?;
            let job = client.jobs().pause(client.request(asked(&named))).await?.into_inner();
            show(output, &job)
        }
        JobCommand::Resume(named) => {
            let client = Client::connect(&named.client).await?;
            let job = client.jobs().resume(client.request(asked(&named))).await?.into_inner();
            show(output, &job)
        }
        JobCommand::Cancel(named) => {
            let client = Client::connect(&named.client).await?;
            let job = client.jobs().cancel(client.request(asked(&named))).await?.into_inner();
            show(output, &job)
        }
        JobCommand::Delete(named) => {
            let client = Client::connect(&named.client).await?;
            client.jobs().delete(client.request(asked(&named))).await?;
            print::result(output, &format!("job {} is forgotten", named.name), &json!({}))
        }
    }
}

fn asked(named: &NamedFlags) -> v1::GetJobRequest {
    v1::GetJobRequest { tenant: named.tenant.clone(), name: named.name.clone() }
}

async fn create(output: Output, args: CreateJobArgs) -> Result<(), Failure> {
    let named = args.named.clone();
    let stays = args.wait;
    let spec = spec(args)?;
    let client = Client::connect(&named.client).await?;
    let (tenant, name) = (named.tenant.clone(), named.name.clone());
    let request = v1::CreateJobRequest { tenant, name, spec: Some(spec) };
    let job = client.jobs().create(client.request(request)).await?.into_inner();
    match stays {
        true => wait(output, &client, asked(&named)).await,
        false => show(output, &job),
    }
}

fn spec(args: CreateJobArgs) -> Result<v1::JobSpec, Failure> {
    let whose = match (args.devices.is_empty(), args.prefix, args.filter) {
        (false, ..) => Whose::Devices(v1::JobDevices { devices: args.devices }),
        (true, prefix, filter) => Whose::Fleet(v1::JobFleet {
            prefix: prefix.unwrap_or_default(),
            filter: filter.unwrap_or_default(),
        }),
    };
    let action = match (args.tags, args.desired, args.artifact, args.command) {
        (Some(tags), ..) => Action::TagsJson(client::json(&tags)?),
        (_, Some(desired), ..) => Action::DesiredJson(client::json(&desired)?),
        (.., Some(text), _) => Action::Artifact(artifact(&text, args.at)?),
        (.., command) => {
            let payload_json = args.payload.as_deref().map(client::json).transpose()?;
            Action::Command(v1::JobCommand {
                name: command.unwrap_or_default(),
                payload_json: payload_json.unwrap_or_default(),
                connected_only: args.connected_only,
            })
        }
    };
    let awaited = match args.awaits {
        None => v1::JobAwait::Unspecified,
        Some(AwaitName::Applied) => v1::JobAwait::Applied,
        Some(AwaitName::Written) => v1::JobAwait::Written,
    };
    let ms = |time: Option<Duration>| {
        time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    Ok(v1::JobSpec {
        whose: Some(whose),
        action: Some(action),
        r#await: awaited.into(),
        rate_per_s: args.rate.unwrap_or_default(),
        batch: args.batch.unwrap_or_default(),
        canary: args.canary.unwrap_or_default(),
        abort_above_percent: args.abort_above,
        start_at_ms: args.start_at.unwrap_or_default(),
        timeout_ms: ms(args.attempt_timeout),
        retries: args.retries.unwrap_or_default(),
        retry_after_ms: ms(args.retry_after),
        keep_ms: ms(args.keep),
    })
}

/// The artifact that a job names, which is of the job's own tenant.
fn artifact(text: &str, at: Option<String>) -> Result<v1::JobArtifact, Failure> {
    let asked = crate::artifact::named(text)?;
    if !asked.tenant.is_empty() {
        let message = format!("artifact {text:?} names a tenant; it is one of the job's");
        return Err(Failure::new(Exit::Usage, message).next("write it as name@version"));
    }
    let v1::DescribeArtifactRequest { name, version, .. } = asked;
    Ok(v1::JobArtifact { name, version, at: at.unwrap_or_default(), ..Default::default() })
}

/// Stays until a job is over, and shows how far it is.
async fn wait(output: Output, client: &Client, asked: v1::GetJobRequest) -> Result<(), Failure> {
    let name = asked.name.clone();
    let mut jobs = client.jobs().watch(client.lasting_request(asked)).await?.into_inner();
    let mut signals = Signals::listen()?;
    let mut last = v1::Job::default();
    loop {
        let job = tokio::select! {
            job = jobs.message() => job?,
            () = signals.next() => {
                print::status_end();
                print::note(&format!("the job goes on; `pollux job get {name}` shows how far it is"));
                return Ok(());
            }
        };
        let Some(job) = job else { break };
        print::status(&progress(&job));
        last = job;
    }
    print::status_end();
    show(output, &last)?;
    let totals = last.totals.unwrap_or_default();
    let undone = totals.devices - totals.done.min(totals.devices);
    if !convert::job_is_over(last.state()) {
        return Err(Failure::new(Exit::Unavailable, "the node ended the stream")
            .next(format!("pollux job get {name} --wait, at any node")));
    }
    if undone > 0 || last.state() != v1::JobState::Finished {
        let message = format!("{undone} of {} devices are not done", totals.devices);
        let next = format!("pollux job devices {name} --state failed");
        return Err(Failure::new(Exit::Failed, message).next(next));
    }
    Ok(())
}

/// A bar with the counts behind it.
fn progress(job: &v1::Job) -> String {
    let totals = job.totals.unwrap_or_default();
    let over = totals.done + totals.failed + totals.unknown + totals.cancelled;
    let filled = (over * JOB_BAR_WIDTH).checked_div(totals.devices).unwrap_or(0);
    let bar: String = (0..JOB_BAR_WIDTH).map(|n| if n < filled { '#' } else { '.' }).collect();
    format!("[{bar}] {}", counts(job))
}

fn counts(job: &v1::Job) -> String {
    let totals = job.totals.unwrap_or_default();
    let state = convert::job_state_name(job.state());
    if totals.devices == 0 {
        return state.to_owned();
    }
    let others = [
        ("under way", totals.under_way),
        ("failed", totals.failed),
        ("unknown", totals.unknown),
        ("cancelled", totals.cancelled),
    ];
    let others = others.iter().filter(|(_, count)| *count > 0);
    let others: String = others.map(|(name, count)| format!(", {count} {name}")).collect();
    format!("{state}: {} of {} done{others}", totals.done, totals.devices)
}

fn show(output: Output, job: &v1::Job) -> Result<(), Failure> {
    print::result(output, &text(job), &shown(job))
}

fn text(job: &v1::Job) -> String {
    let reason = match job.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    format!("{}/{}  {}{reason}", job.tenant, job.name, counts(job))
}

/// The same document as HTTP answers.
fn shown(job: &v1::Job) -> Value {
    let limits = JsonLimits { bytes_max: usize::MAX, depth_max: DEPTH_CEILING };
    render::parsed(&convert::job_json(job, &limits).to_json())
}

async fn devices(output: Output, args: JobDevicesArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.named.client).await?;
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let left = args.limit.saturating_sub(found.len());
        let request = v1::ListJobDevicesRequest {
            tenant: args.named.tenant.clone(),
            name: args.named.name.clone(),
            state: args.state.unwrap_or_default().into(),
            page_size: u32::try_from(left).unwrap_or(u32::MAX).min(1_000),
            page_token,
        };
        if left == 0 {
            break;
        }
        let page = client.jobs().devices(client.request(request)).await?.into_inner();
        found.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut lines: Vec<_> = found.iter().map(device_text).collect();
    if lines.is_empty() {
        lines.push("no devices".to_owned());
    }
    let all: Vec<_> =
        found.iter().map(|one| render::parsed(&convert::job_device_json(one).to_json())).collect();
    print::result(output, &lines.join("\n"), &json!({ "devices": all }))
}

fn device_text(one: &v1::JobDevice) -> String {
    let state = convert::job_device_state_name(one.state());
    let attempts = match one.attempts {
        0 | 1 => String::new(),
        attempts => format!("  attempt {attempts}"),
    };
    let reason = match one.reason.as_str() {
        "" => String::new(),
        reason => format!("  {reason}"),
    };
    format!("{:<32} {state}{attempts}{reason}", one.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        let totals = v1::JobTotals {
            devices: 10,
            waiting: 4,
            under_way: 1,
            done: 4,
            failed: 1,
            ..Default::default()
        };
        let mut job = v1::Job { totals: Some(totals), ..Default::default() };
        job.set_state(v1::JobState::Running);
        let said = progress(&job);
        assert!(said.contains("#.") && said.contains("4 of 10 done, 1 under way, 1 failed"));
        assert_eq!(said.matches('#').count() as u64, JOB_BAR_WIDTH / 2);
        assert!(progress(&v1::Job::default()).ends_with("unspecified"));
    }
}
