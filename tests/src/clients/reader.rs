//! Services that read twins through their owners, by gRPC and by HTTP in turn, at each node in turn.

use std::sync::Arc;

use anyhow::Result;
use pollux_proto::v1;
use serde_json::Value;
use tokio::time::sleep;

use super::limits::ANSWER;
use super::tries::{Failed, Tries};
use super::way::{Way, request};
use super::{Common, rest};
use crate::history::{Answer, Recorder, Section, Shown, What};
use crate::node::http;

pub(super) async fn run(common: Arc<Common>, number: u64) -> Result<()> {
    let mut round = number * 7;
    while common.goes_on() {
        let (twin, way) = (common.twin(round), common.way(round / 3 + number));
        // What is not answered says nothing: the next read is another one.
        match round % 2 {
            0 => drop(read_by_grpc(&common.recorder, twin, way, &common.tries).await),
            _ => drop(read_by_http(&common.recorder, twin, way, &common.tries).await?),
        }
        round += 1;
        sleep(rest()).await;
    }
    Ok(())
}

/// One read; none if it was not answered.
pub(super) async fn read_by_grpc(
    recorder: &Recorder,
    twin: &str,
    way: &Way,
    tries: &Tries,
) -> Option<Shown> {
    let message = v1::GetTwinRequest { device: twin.to_owned(), ..Default::default() };
    let open = recorder.begin(twin, What::Read);
    let shown = match way.twins().get(request(message)).await {
        Ok(answer) => shown_by_grpc(&answer.into_inner().twin?),
        Err(status) if tries.judge(&status) == Failed::NotThere => Shown::default(),
        Err(_) => return None,
    };
    open.end(Answer::Shown(shown));
    Some(shown)
}

fn shown_by_grpc(twin: &v1::Twin) -> Shown {
    let section = |content: Option<&v1::SectionContent>, name: &str| {
        let Some(content) = content else { return Section::default() };
        let json: Value = serde_json::from_str(&content.json).unwrap_or_default();
        Section { value: json[name].as_u64().unwrap_or(0), version: content.version }
    };
    Shown {
        reported: section(twin.reported.as_ref(), "n"),
        desired: section(twin.desired.as_ref(), "w"),
    }
}

/// One read by HTTP, on a thread of its own; none if it was not answered.
pub(super) async fn read_by_http(
    recorder: &Recorder,
    twin: &str,
    way: &Way,
    tries: &Tries,
) -> Result<Option<Shown>> {
    let (path, address) = (format!("/v1/twins/{twin}"), way.http.clone());
    let open = recorder.begin(twin, What::Read);
    let asked = move || http::get(&address, &path, ANSWER);
    let Ok(reply) = tokio::task::spawn_blocking(asked).await? else {
        tries.unreachable();
        return Ok(None);
    };
    let shown = match (reply.status, reply.reason().as_str()) {
        (200, _) => shown_by_http(&reply.json()?),
        (404, "not_found") => Shown::default(),
        // Closed before the first byte of an answer: whoever asks for what changes nothing asks again, as
        // RFC 9110, 9.2.2 has it. A node that stops cannot tell a connection that it has not yet looked at.
        (0, _) if reply.closed => {
            tries.unreachable();
            return Ok(None);
        }
        (0, _) => {
            tries.unclear("HTTP: no answer");
            return Ok(None);
        }
        _ => {
            tries.refused(&reply.body);
            return Ok(None);
        }
    };
    open.end(Answer::Shown(shown));
    Ok(Some(shown))
}

fn shown_by_http(twin: &Value) -> Shown {
    let section = |section: &str, name: &str| Section {
        value: twin[section][name].as_u64().unwrap_or(0),
        version: twin["versions"][section].as_u64().unwrap_or(0),
    };
    Shown { reported: section("reported", "n"), desired: section("desired", "w") }
}
