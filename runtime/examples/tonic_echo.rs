//! The yardstick for reads by gRPC: a bare tonic server that answers `Twins.Get` with a twin made
//! once, and a load that reads from it or from a node, counting by the server's processor time.
//!
//! ```text
//! cargo run --release -p pollux-runtime --example tonic_echo -- serve 127.0.0.1:4500 [LIKE]
//! cargo run --release -p pollux-runtime --example tonic_echo -- load 127.0.0.1:4500 PID SECONDS
//! ```
//!
//! `LIKE` is the address of a node: the twin answered is then its twin `bench-0`, so that both
//! servers send the same bytes. `load` reads `bench-0` to `bench-999`, and makes them where it can.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::Stream;
use pollux_proto::v1;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::twins_server::{Twins, TwinsServer};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// Twins read in turn.
const TWINS: u64 = 1000;
/// Connections of the load, each with a task that keeps several reads under way.
const CONNECTIONS: usize = 4;
/// Reads under way on each connection.
const IN_FLIGHT: usize = 32;
/// Ticks of `/proc/PID/stat` a second, as Linux tells programs.
const USER_HZ: f64 = 100.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address, None).await,
        ["serve", address, like] => serve(address, Some(like)).await,
        ["load", address, pid, seconds] => load(address, pid.parse()?, seconds.parse()?).await,
        _ => Err("takes: serve ADDRESS [LIKE], or load ADDRESS PID SECONDS".into()),
    }
}

async fn serve(address: &str, like: Option<&str>) -> Result<(), Box<dyn Error>> {
    let twin = match like {
        Some(node) => {
            let mut client = client(node).await?;
            make(&mut client).await;
            client.get(get(0)).await?.into_inner().twin.unwrap_or_default()
        }
        None => v1::Twin {
            tenant: "default".into(),
            device: "bench-0".into(),
            version: 1,
            desired: Some(v1::SectionContent {
                json: document(0),
                version: 1,
                changed_by: "anonymous".into(),
                ..Default::default()
            }),
            ..Default::default()
        },
    };
    println!(
        "{{\"serving\":{address:?},\"message_bytes\":{}}}",
        prost::Message::encoded_len(&twin)
    );
    Server::builder().add_service(TwinsServer::new(Echo(twin))).serve(address.parse()?).await?;
    Ok(())
}

async fn load(address: &str, pid: u32, seconds: u64) -> Result<(), Box<dyn Error>> {
    make(&mut client(address).await?).await;
    let reads = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = client(address).await?;
        for lane in 0..IN_FLIGHT {
            let (mut client, reads) = (client.clone(), Arc::clone(&reads));
            let mut n = (connection * IN_FLIGHT + lane) as u64;
            tasks.spawn(async move {
                while client.get(get(n % TWINS)).await.is_ok() {
                    reads.fetch_add(1, Ordering::Relaxed);
                    n += 7;
                }
            });
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (reads_before, cpu_before) = (reads.load(Ordering::Relaxed), cpu_seconds(pid)?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let cpu = cpu_seconds(pid)? - cpu_before;
    let count = u32::try_from(reads.load(Ordering::Relaxed) - reads_before)?;
    tasks.abort_all();
    println!(
        "{{\"reads\":{count},\"server_cpu_s\":{cpu:.2},\"reads_per_cpu_s\":{:.0}}}",
        f64::from(count) / cpu
    );
    Ok(())
}

/// Makes the twins; a server that has no such call has them already.
async fn make(client: &mut TwinsClient<Channel>) {
    for n in 0..TWINS {
        let patch = v1::PatchTwinRequest {
            device: format!("bench-{n}"),
            section: v1::Section::Desired.into(),
            change: Some(Change::WholeJson(document(n))),
            ..Default::default()
        };
        if client.patch(patch).await.is_err() {
            return;
        }
    }
}

/// About 500 bytes of JSON, as a twin of the memory figures has.
fn document(n: u64) -> String {
    let members: Vec<_> =
        (0..16).map(|i| format!("\"setting_{i:02}\":\"value {:08}\"", n * 16 + i)).collect();
    format!("{{{}}}", members.join(","))
}

fn get(n: u64) -> v1::GetTwinRequest {
    v1::GetTwinRequest { device: format!("bench-{n}"), ..Default::default() }
}

async fn client(address: &str) -> Result<TwinsClient<Channel>, Box<dyn Error>> {
    Ok(TwinsClient::new(Channel::from_shared(format!("http://{address}"))?.connect().await?))
}

fn cpu_seconds(pid: u32) -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in the process's status")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).ok_or("no user time")? + ticks(12).ok_or("no system time")?) / USER_HZ)
}

/// A server that does nothing but answer.
struct Echo(v1::Twin);

#[tonic::async_trait]
impl Twins for Echo {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn get(
        &self,
        _: Request<v1::GetTwinRequest>,
    ) -> Result<Response<v1::GetTwinResponse>, Status> {
        Ok(Response::new(v1::GetTwinResponse { twin: Some(self.0.clone()), ..Default::default() }))
    }

    async fn patch(
        &self,
        _: Request<v1::PatchTwinRequest>,
    ) -> Result<Response<v1::PatchTwinResponse>, Status> {
        Err(Status::unimplemented("a yardstick answers get only"))
    }

    async fn delete(
        &self,
        _: Request<v1::DeleteTwinRequest>,
    ) -> Result<Response<v1::DeleteTwinResponse>, Status> {
        Err(Status::unimplemented("a yardstick answers get only"))
    }

    async fn list(
        &self,
        _: Request<v1::ListTwinsRequest>,
    ) -> Result<Response<v1::ListTwinsResponse>, Status> {
        Err(Status::unimplemented("a yardstick answers get only"))
    }

    async fn watch(
        &self,
        _: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("a yardstick answers get only"))
    }
}
