//! Twins over gRPC, health and reflection, and requests that make no sense.

use pollux_proto::status::from_status;
use pollux_proto::v1;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_twin::Rejection;
use pollux_twin::change::Section;
use tonic::{Code, Request};

use crate::house::House;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_shows_what_was_acknowledged_and_wakes_no_actor() {
    let house = House::open_with("[twins]\nidle_ms = 1").await;
    let mut twins = house.twins().await;
    for n in 1..=50 {
        twins.patch(patch("pump-1", &format!(r#"{{"n":{n}}}"#))).await.unwrap();
        let twin = twins.get(get("pump-1")).await.unwrap().into_inner().twin.unwrap();
        assert_eq!(twin.desired.unwrap().json, format!(r#"{{"n":{n}}}"#));
    }
    let active = || house.node.router().status().shards.iter().map(|s| s.active).sum::<u64>();
    let mut tries = 0;
    while active() > 0 {
        tries += 1;
        assert!(tries < 1000, "the twin is never let go");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let activations = house.node.metrics().activations_total.get();
    let twin = twins.get(get("pump-1")).await.unwrap().into_inner().twin.unwrap();
    assert_eq!(twin.desired.unwrap().version, 50);
    assert_eq!(twins.get(get("pump-2")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(house.node.metrics().activations_total.get(), activations);
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_are_written_read_listed_and_deleted() {
    let house = House::open().await;
    let mut twins = house.twins().await;
    let mut request = Request::new(patch("pump-1", r#"{"n":9007199254740993}"#));
    request.metadata_mut().insert("pollux-caller", "billing".parse().unwrap());
    let written = twins.patch(request).await.unwrap().into_inner();
    assert_eq!((written.section(), written.version), (v1::Section::Desired, 1));

    for stale in [false, true] {
        let request = v1::GetTwinRequest { stale, ..get("pump-1") };
        let twin = twins.get(request).await.unwrap().into_inner().twin.unwrap();
        let desired = twin.desired.unwrap();
        assert_eq!(desired.json, r#"{"n":9007199254740993}"#);
        assert_eq!((desired.changed_by.as_str(), desired.version), ("billing", 1));
        assert_eq!(desired.leaf_times[0].path, "/n");
        assert_eq!((twin.tenant.as_str(), twin.version), ("default", 1));
    }

    for expected in [0, 7] {
        let wrong = v1::PatchTwinRequest {
            expected_version: Some(expected),
            ..patch("pump-1", r#"{"n":2}"#)
        };
        let status = twins.patch(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        let mismatch =
            Rejection::VersionMismatch { section: Some(Section::Desired), expected, actual: 1 };
        assert_eq!(from_status(&status), Some(mismatch));
    }

    for n in 0..5 {
        twins.patch(patch(&format!("row-{n}"), r#"{"n":1}"#)).await.unwrap();
    }
    let mut list =
        v1::ListTwinsRequest { prefix: "row-".into(), page_size: 2, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = twins.list(list.clone()).await.unwrap().into_inner();
        seen.extend(page.twins.into_iter().map(|twin| twin.device));
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["row-0", "row-1", "row-2", "row-3", "row-4"]);

    let delete = v1::DeleteTwinRequest { device: "pump-1".into(), ..Default::default() };
    let early = v1::DeleteTwinRequest { expected_version: Some(0), ..delete.clone() };
    assert_eq!(twins.delete(early).await.unwrap_err().code(), Code::Aborted);
    twins.delete(delete.clone()).await.unwrap();
    assert_eq!(twins.delete(delete).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(twins.get(get("pump-1")).await.unwrap_err().code(), Code::NotFound);
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_sense_are_refused() {
    let house = House::open().await;
    let mut twins = house.twins().await;
    let invalid = [
        twins.get(v1::GetTwinRequest::default()).await.unwrap_err(),
        twins.get(get(&"d".repeat(257))).await.unwrap_err(),
        twins.get(get(&"d".repeat(1_000_000))).await.unwrap_err(),
        twins.get(get("a/b")).await.unwrap_err(),
        twins.patch(v1::PatchTwinRequest::default()).await.unwrap_err(),
        twins.patch(v1::PatchTwinRequest { section: 3, ..patch("a", "{}") }).await.unwrap_err(),
        twins.patch(v1::PatchTwinRequest { section: 99, ..patch("a", "{}") }).await.unwrap_err(),
        twins.patch(v1::PatchTwinRequest { change: None, ..patch("a", "{}") }).await.unwrap_err(),
        twins.patch(patch("a", "")).await.unwrap_err(),
        twins.patch(patch("a", r#"{"a":1,"a":1}"#)).await.unwrap_err(),
        twins.patch(patch("a", r#"{"a":"\udc00"}"#)).await.unwrap_err(),
        twins.patch(patch("a", r#"{"a":NaN}"#)).await.unwrap_err(),
        twins.patch(patch("a", "7")).await.unwrap_err(),
        twins.patch(patch("a", &"[".repeat(10_000))).await.unwrap_err(),
        twins
            .patch(patch("a", &format!("{{\"a\":\"{}\"}}", "x".repeat(70_000))))
            .await
            .unwrap_err(),
        twins
            .list(v1::ListTwinsRequest { page_token: "a/b".into(), ..Default::default() })
            .await
            .unwrap_err(),
    ];
    for status in invalid {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(from_status(&status).is_some(), "{status:?}");
        assert!(!status.message().is_empty());
    }
    let huge = twins.patch(patch("a", &" ".repeat(3_000_000))).await.unwrap_err();
    assert_eq!(huge.code(), Code::OutOfRange, "{huge:?}");
    let mut request = Request::new(get("a"));
    request.metadata_mut().insert("pollux-caller", "device".parse().unwrap());
    assert_eq!(twins.get(request).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(twins.get(get("a")).await.unwrap_err().code(), Code::NotFound, "no harm was done");
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_answer() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let house = House::open().await;
    let mut health = HealthClient::new(house.channel().await);
    for service in ["", "pollux.v1.Twins", "pollux.v1.Commands"] {
        let check = HealthCheckRequest { service: service.into() };
        let mut status = ServingStatus::Unknown;
        for _ in 0..100 {
            status = health.check(check.clone()).await.map_or(status, |it| it.get_ref().status());
            if status == ServingStatus::Serving {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let mut reflection = ServerReflectionClient::new(house.channel().await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("another answer than asked for")
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["pollux.v1.Twins", "pollux.v1.Commands", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
    house.node.stop().await;
}
