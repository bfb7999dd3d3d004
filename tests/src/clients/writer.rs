//! Services that write what is desired: blindly or expecting a version, with a key or without. A write with a
//! key is made again until it is answered, at another node each time; one without is made once.

use std::sync::Arc;

use anyhow::Result;
use pollux_proto::v1;
use pollux_proto::v1::patch_twin_request::Change;
use tokio::time::sleep;

use super::limits::TRIES;
use super::tries::Failed;
use super::way::{Way, request};
use super::{Common, rest};
use crate::history::{Answer, Repeat, What};

/// One in so many answered writes is sent once more.
const REPEATED: u64 = 8;
/// One in so many writes has no key.
const KEYLESS: u64 = 4;

/// A write.
struct Write {
    twin: String,
    value: u64,
    expected: Option<u64>,
    key: String,
}

pub(super) async fn run(common: Arc<Common>, number: u64) -> Result<()> {
    // The version that this writer knows of each twin's section.
    let mut known = vec![0; common.twins.len()];
    let mut round = number * 5;
    while common.goes_on() {
        let value = common.value();
        let at = Common::at(round, known.len());
        let keyless = round % KEYLESS == number % KEYLESS;
        let write = Write {
            twin: common.twins[at].clone(),
            value,
            expected: round.is_multiple_of(3).then_some(known[at]),
            key: if keyless { String::new() } else { format!("write-{value}") },
        };
        let answer = make(&common, &write, round).await;
        if let Some(Answer::Done(version) | Answer::Mismatch(version)) = answer {
            known[at] = version;
        }
        round += 1;
        sleep(rest()).await;
    }
    Ok(())
}

async fn make(common: &Common, write: &Write, round: u64) -> Option<Answer> {
    let what = What::Write { value: write.value, expected: write.expected };
    let open = common.recorder.begin(&write.twin, what);
    let mut clear = true;
    let mut answer = None;
    for attempt in 0..TRIES {
        match once(common, write, common.way(round + attempt)).await {
            Ok(known) => answer = Some(known),
            Err(Failed::NoEffect) if clear && !common.goes_on() => answer = Some(Answer::Refused),
            Err(Failed::NoEffect) => {}
            // Without a key, nobody may try again.
            Err(_) if write.key.is_empty() => break,
            Err(_) => clear = false,
        }
        if answer.is_some() {
            break;
        }
        sleep(rest()).await;
    }
    open.end(answer?);
    if let Some(first) = answer
        && first != Answer::Refused
        && !write.key.is_empty()
        && write.value.is_multiple_of(REPEATED)
        && let Ok(again) = once(common, write, common.way(round + 1)).await
    {
        let Write { twin, value, .. } = write;
        common.recorder.repeat(Repeat { twin: twin.clone(), value: *value, first, again });
    }
    answer
}

async fn once(common: &Common, write: &Write, way: &Way) -> Result<Answer, Failed> {
    let message = v1::PatchTwinRequest {
        device: write.twin.clone(),
        section: v1::Section::Desired.into(),
        change: Some(Change::WholeJson(format!("{{\"w\":{}}}", write.value))),
        expected_version: write.expected,
        idempotency_key: write.key.clone(),
        ..Default::default()
    };
    match way.twins().patch(request(message)).await {
        Ok(answer) => Ok(Answer::Done(answer.into_inner().version)),
        Err(status) => match common.tries.judge(&status) {
            Failed::Mismatch(actual) => Ok(Answer::Mismatch(actual)),
            failed => Err(failed),
        },
    }
}
