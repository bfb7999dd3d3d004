//! Commands at both doors, to devices that are not there.

use std::time::Duration;

use pollux_proto::v1;
use tonic::{Code, Request};

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_waits_for_its_device_over_http() {
    let house = House::open().await;
    let commands = "/v1/twins/valve/commands";
    house.json("POST", commands, r#"{"name":"open"}"#).await.refused(404, "not_found");
    house.json("PATCH", "/v1/twins/valve/tags", r#"{"a":1}"#).await.ok();
    house.json("POST", commands, r#"{"name":"open"}"#).await.refused(409, "device_offline");

    let queued = house
        .json("POST", commands, r#"{"name":"open","payload":{"by":9007199254740993},"queue":true}"#)
        .await
        .ok();
    assert_eq!((queued.status, queued.at("state")), (202, "\"queued\"".into()));
    assert_eq!(queued.at("payload"), r#"{"by":9007199254740993}"#);
    let location = queued.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/v1/tenants/default/twins/valve/commands/{}", queued.at("id")));
    assert_eq!(house.ask("GET", &location).await.ok().body, queued.body);
    assert!(house.ask("GET", commands).await.ok().body.contains("\"open\""));

    assert_eq!(house.ask("DELETE", &location).await.ok().at("state"), "\"cancelled\"");
    house.ask("DELETE", &location).await.refused(409, "command_over");
    house.ask("GET", &format!("{commands}/999")).await.refused(404, "unknown_command");
    house.ask("GET", &format!("{commands}/one")).await.refused(400, "invalid");
    for bad in ["{}", r#"{"name":""}"#, r#"{"name":"a","wiat":true}"#, r#"{"name":"a","queue":1}"#]
    {
        house.json("POST", commands, bad).await.refused(400, "invalid");
    }

    let body = r#"{"name":"open","queue":true,"wait":true,"deadline_ms":300}"#;
    let over = house.json("POST", commands, body).await.ok();
    assert_eq!((over.status, over.at("state")), (200, "\"expired\"".into()));
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_grpc_waits_no_longer_than_it_said() {
    let house = House::open().await;
    let patch = v1::PatchTwinRequest {
        device: "valve".into(),
        section: v1::Section::Tags.into(),
        change: Some(v1::patch_twin_request::Change::MergeJson("{}".into())),
        expected_version: None,
        ..Default::default()
    };
    let patch = v1::PatchTwinRequest {
        change: Some(v1::patch_twin_request::Change::MergeJson("{\"a\":1}".into())),
        ..patch
    };
    house.twins().await.patch(patch).await.unwrap();
    let mut commands = house.commands().await;
    let send = v1::SendCommandRequest {
        device: "valve".into(),
        name: "open".into(),
        deadline_ms: 20_000,
        queue: true,
        wait: true,
        ..Default::default()
    };
    let mut request = Request::new(send.clone());
    request.set_timeout(Duration::from_millis(400));
    let waited = tokio::time::timeout(Duration::from_secs(5), commands.send(request)).await;
    let status = waited.expect("the deadline is honoured").unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");

    let offline = v1::SendCommandRequest { queue: false, wait: false, ..send.clone() };
    let status = commands.send(offline).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let kept = v1::ListCommandsRequest { device: "valve".into(), ..Default::default() };
    let kept = commands.list(kept).await.unwrap().into_inner().commands;
    assert_eq!(kept.len(), 1, "the command was accepted though nobody waits: {kept:?}");
    let id = kept[0].id;
    let cancel = v1::CancelCommandRequest { device: "valve".into(), id, ..Default::default() };
    let cancelled = commands.cancel(cancel).await.unwrap().into_inner().command.unwrap();
    assert_eq!(cancelled.state(), v1::CommandState::Cancelled);
    let get = v1::GetCommandRequest { device: "valve".into(), id, ..Default::default() };
    let command = commands.get(get.clone()).await.unwrap().into_inner().command.unwrap();
    assert_eq!(command, cancelled);
    let unknown = commands.get(v1::GetCommandRequest { id: 77, ..get }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_those_who_wait_for_a_command() {
    let house = House::open().await;
    house.json("PATCH", "/v1/twins/valve/tags", r#"{"a":1}"#).await.ok();
    let mut commands = house.commands().await;
    let send = v1::SendCommandRequest {
        device: "valve".into(),
        name: "open".into(),
        deadline_ms: 600_000,
        queue: true,
        wait: true,
        ..Default::default()
    };
    let waiting = tokio::spawn(async move { commands.send(send).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::timeout(Duration::from_secs(8), house.node.stop()).await.unwrap();
    let status = waiting.await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
}
