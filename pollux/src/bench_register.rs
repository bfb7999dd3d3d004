//! `pollux bench register`: how fast a node registers very many devices over one import, durably.

use std::path::PathBuf;

use futures_util::stream;
use pollux_proto::v1::devices_client::DevicesClient;
use pollux_proto::v1::{ImportDevicesRequest, ImportDevicesResponse, RegisterDeviceRequest};
use pollux_runtime::clock::Clock;
use pollux_simulator::Usage;
use serde_json::json;
use tonic::transport::Endpoint;

use crate::args::{BenchRegisterArgs, Output};
use crate::bench_start::failed;
use crate::exit::Failure;
use crate::node_process::NodeProcess;
use crate::print;

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: &BenchRegisterArgs) -> Result<(), Failure> {
    let dir = PathBuf::from(format!(".pollux-bench-register-{}", std::process::id()));
    let node = NodeProcess::node(dir, args.server_core).await?;
    let registered = register(&node, args.devices).await;
    node.stop().await?;
    let Registered { count, took_s, cpu_s } = registered?;
    let text = format!(
        "{count} devices registered in {took_s:.2} s, {:.0}/s; {cpu_s:.2} CPU s of the node, {:.0} a CPU s",
        f64::from(count) / took_s,
        f64::from(count) / cpu_s
    );
    let json = json!({"devices": count, "took_s": took_s, "server_cpu_s": cpu_s});
    print::result(output, &text, &json)
}

struct Registered {
    count: u32,
    took_s: f64,
    cpu_s: f64,
}

async fn register(node: &NodeProcess, count: u32) -> Result<Registered, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.listening().grpc))
        .map_err(|error| failed("dial the node", &error))?;
    let mut devices = DevicesClient::new(endpoint.connect_lazy());
    let cpu_s = || node.id().and_then(Usage::of).unwrap_or_default().cpu_s;
    let (clock, before) = (Clock::new(), cpu_s());
    let mut answers = devices.import(stream::iter((1..=count).map(device))).await?.into_inner();
    let mut last = ImportDevicesResponse::default();
    while let Some(answer) = answers.message().await? {
        if let Some(refused) = answer.refused.first() {
            return Err(failed("register a device", &refused.message));
        }
        print::status(&format!("{} of {count} devices registered", answer.registered));
        last = answer;
    }
    print::status_end();
    let (took_s, cpu_s) = (clock.elapsed().as_secs_f64(), cpu_s() - before);
    if last.registered != u64::from(count) {
        return Err(failed("register all", &format!("{} are", last.registered)));
    }
    Ok(Registered { count, took_s, cpu_s })
}

fn device(number: u32) -> ImportDevicesRequest {
    let device = RegisterDeviceRequest {
        device: format!("meter-{number:07}"),
        tags_json: r#"{"site":"north","model":"m2"}"#.to_owned(),
        ..Default::default()
    };
    ImportDevicesRequest { line: u64::from(number), device: Some(device) }
}
