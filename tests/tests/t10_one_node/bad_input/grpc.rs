//! gRPC with empty and huge fields, and commands that cannot be.

use anyhow::Result;
use pollux_proto::status::from_status;
use pollux_proto::v1;
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_twin::Rejection;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::House;

const MEBIBYTE: usize = 1 << 20;

fn patch(device: &str, json: &str) -> v1::PatchTwinRequest {
    v1::PatchTwinRequest {
        device: device.into(),
        section: v1::Section::Desired.into(),
        change: Some(Change::MergeJson(json.into())),
        ..Default::default()
    }
}

fn get(device: &str) -> v1::GetTwinRequest {
    v1::GetTwinRequest { device: device.into(), ..Default::default() }
}

fn send(device: &str, name: &str) -> v1::SendCommandRequest {
    v1::SendCommandRequest { device: device.into(), name: name.into(), ..Default::default() }
}

async fn channel(house: &House) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{}", house.node.grpc))?.connect().await?)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code) -> Status {
    let status = answer.expect_err("it must be refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty(), "{status:?}");
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_and_huge_fields() -> Result<()> {
    let mut house = House::open().await?;
    let mut twins = TwinsClient::new(channel(&house).await?);
    let huge = "d".repeat(MEBIBYTE);
    for device in ["", "a/b", "a b", "ä", &"d".repeat(257), &huge] {
        refused(twins.get(get(device)).await, Code::InvalidArgument);
        refused(twins.patch(patch(device, "{}")).await, Code::InvalidArgument);
        house.witness.is_served().await?;
    }
    let tenant = v1::GetTwinRequest { tenant: huge.clone(), ..get("a") };
    refused(twins.get(tenant).await, Code::InvalidArgument);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    for json in [
        "",
        "{",
        "7",
        "[]",
        "null",
        r#"{"a":NaN}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":"\udc00"}"#,
        &deep,
        &large,
    ] {
        let status = refused(twins.patch(patch("a", json)).await, Code::InvalidArgument);
        assert!(from_status(&status).is_some(), "machines can read it: {status:?}");
        house.witness.is_served().await?;
    }
    let whole = " ".repeat(3 * MEBIBYTE);
    refused(twins.patch(patch("a", &whole)).await, Code::OutOfRange);
    house.witness.is_served().await?;
    for request in [
        v1::PatchTwinRequest::default(),
        v1::PatchTwinRequest { section: 3, ..patch("a", "{}") },
        v1::PatchTwinRequest { section: -1, ..patch("a", "{}") },
        v1::PatchTwinRequest { change: None, ..patch("a", "{}") },
        v1::PatchTwinRequest { idempotency_key: huge.clone(), ..patch("a", "{}") },
    ] {
        refused(twins.patch(request).await, Code::InvalidArgument);
    }
    let token = v1::ListTwinsRequest { page_token: huge.clone(), ..Default::default() };
    refused(twins.list(token).await, Code::InvalidArgument);
    let prefix = v1::ListTwinsRequest { prefix: huge.clone(), ..Default::default() };
    refused(twins.list(prefix).await, Code::InvalidArgument);
    let watch = v1::WatchRequest { position: huge, ..Default::default() };
    refused(twins.watch(watch).await, Code::InvalidArgument);
    refused(twins.get(get("a")).await, Code::NotFound);
    house.close(&["witness"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_commands_that_are_not_there() -> Result<()> {
    let mut house = House::open().await?;
    let mut twins = TwinsClient::new(channel(&house).await?);
    let mut commands = CommandsClient::new(channel(&house).await?);
    twins.patch(patch("a", r#"{"n":1}"#)).await?;
    twins.patch(patch("a", r#"{"n":2}"#)).await?;
    for expected in [0, 1, 3, u64::MAX] {
        let request =
            v1::PatchTwinRequest { expected_version: Some(expected), ..patch("a", r#"{"n":9}"#) };
        let status = refused(twins.patch(request).await, Code::Aborted);
        let rejection = from_status(&status);
        assert!(
            matches!(rejection, Some(Rejection::VersionMismatch { actual: 2, .. })),
            "{rejection:?}"
        );
        house.witness.is_served().await?;
    }
    let unknown = v1::DeleteTwinRequest { device: "nobody".into(), ..Default::default() };
    refused(twins.delete(unknown).await, Code::NotFound);
    refused(commands.send(send("nobody", "open")).await, Code::NotFound);
    let offline = refused(commands.send(send("a", "open")).await, Code::FailedPrecondition);
    assert_eq!(from_status(&offline), Some(Rejection::DeviceOffline));
    for request in [
        send("a", ""),
        send("a", &"n".repeat(MEBIBYTE)),
        v1::SendCommandRequest { payload_json: "{".into(), ..send("a", "open") },
        v1::SendCommandRequest { deadline_ms: u64::MAX, queue: true, ..send("a", "open") },
        v1::SendCommandRequest {
            payload_json: format!("\"{}\"", "x".repeat(100_000)),
            queue: true,
            ..send("a", "open")
        },
    ] {
        refused(commands.send(request).await, Code::InvalidArgument);
        house.witness.is_served().await?;
    }
    let missing = v1::GetCommandRequest { device: "a".into(), id: 77, ..Default::default() };
    refused(commands.get(missing).await, Code::NotFound);
    let twin = twins.get(get("a")).await?.into_inner().twin.unwrap_or_default();
    assert!(twin.commands.is_empty() && twin.version == 2, "{twin:?}");
    house.close(&["a", "witness"]).await
}
