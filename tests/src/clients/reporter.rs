//! A device that counts up in its reports, one after the other, and writes down what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use pollux_device::session::Backoff;
use pollux_device::{Device, Options};
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::limits::LAST;
use super::{Common, rest};
use crate::history::{Answer, Event, Recorder, Section, What};
use crate::node::Devices;

/// See the module.
pub(super) struct Reporter {
    twin: String,
    device: Device,
    acked: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
    sessions: JoinHandle<()>,
}

impl Reporter {
    pub(super) fn start(
        common: &Arc<Common>,
        devices: &Devices,
        addresses: &[&str],
        twin: &str,
    ) -> Result<Self> {
        let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
        let options = Options::new(addresses, twin, devices.identity(twin)?)
            .server_name("localhost")
            .backoff(backoff);
        let device = devices.open(options)?;
        listen(&device, &common.recorder, twin);
        let sessions = tokio::spawn(sessions(device.clone(), common.recorder.clone(), twin.into()));
        let acked = Arc::new(AtomicU64::new(0));
        let report =
            report(Arc::clone(common), device.clone(), twin.to_owned(), Arc::clone(&acked));
        Ok(Self { twin: twin.to_owned(), device, acked, task: tokio::spawn(report), sessions })
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    pub(super) fn how(&self) -> String {
        format!("{}: {} acknowledged, {:?}", self.twin, self.acked(), self.device.counts())
    }

    /// Waits for the last acknowledgement, and closes the device.
    pub(super) async fn finish(self) -> Result<()> {
        let how = self.how();
        let last = timeout(LAST, self.task).await;
        last.with_context(|| format!("a report was never answered: {how}"))???;
        self.sessions.abort();
        self.device.close();
        Ok(())
    }
}

/// Writes down what the device is told is desired, and what it executes.
fn listen(device: &Device, recorder: &Recorder, twin: &str) {
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    };
    let (told, name) = (recorder.clone(), twin.to_owned());
    device.on_desired(move |desired| {
        let value = match &*desired.value {
            Value::Object(object) => object.get("w").map_or(0, number),
            _ => 0,
        };
        told.event(&name, Event::Desired(Section { value, version: desired.version }));
        async { Ok(()) }
    });
    let (told, name) = (recorder.clone(), twin.to_owned());
    device.on_command(move |command| {
        told.event(&name, Event::Executed(number(&command.payload)));
        async { Ok(Value::Null) }
    });
}

async fn sessions(device: Device, recorder: Recorder, twin: String) {
    while let Ok(online) = device.online().await {
        recorder.event(&twin, Event::Session(online.session));
        if device.offline().await.is_err() {
            return;
        }
    }
}

async fn report(
    common: Arc<Common>,
    device: Device,
    twin: String,
    acked: Arc<AtomicU64>,
) -> Result<()> {
    let mut number = 0;
    while common.goes_on() {
        number += 1;
        let patch = Object::from([("n".to_owned(), Value::from(number))]);
        let open = common.recorder.begin(&twin, What::Report(number));
        let answer = device.report(Value::Object(patch)).await?;
        open.end(Answer::Done(answer.version));
        acked.store(number, Ordering::Relaxed);
        sleep(rest()).await;
    }
    Ok(())
}
