//! Stale reads and lists say what they stand for, and are as fresh as asked or refused (safety rule
//! 25).

use pollux_proto::position::Position;
use pollux_proto::status::from_status;
use pollux_proto::v1;
use pollux_twin::Rejection;
use tonic::Code;

use crate::house::House;

fn get(device: &str) -> v1::GetTwinRequest {
    v1::GetTwinRequest { device: device.into(), stale: true, ..Default::default() }
}

/// A position one entry further on in every shard: nothing has been written there.
fn beyond(position: &str) -> String {
    let mut position: Position = position.parse().unwrap();
    position.shards.values_mut().for_each(|place| place.index += 1);
    position.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_grpc() {
    let house = House::open().await;
    let mut twins = house.twins().await;
    house.json("PATCH", "/v1/twins/pump/desired", r#"{"n":1}"#).await.ok();
    let first = twins.get(get("pump")).await.unwrap().into_inner();
    assert_eq!((first.twin.is_some(), first.age_ms), (true, 0), "the owner has everything");
    house.json("PATCH", "/v1/twins/pump/desired", r#"{"n":2}"#).await.ok();
    let min_position = beyond(&first.position);
    let request = v1::GetTwinRequest { min_position, max_age_ms: Some(0), ..get("pump") };
    let second = twins.get(request.clone()).await.unwrap().into_inner();
    assert_eq!(second.twin.unwrap().desired.unwrap().json, r#"{"n":2}"#);
    // What nobody wrote is waited for, and then refused.
    let min_position = beyond(&beyond(&second.position));
    let status = twins.get(v1::GetTwinRequest { min_position, ..request }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(from_status(&status), Some(Rejection::Behind));

    let list = v1::ListTwinsRequest { min_position: second.position, ..Default::default() };
    let page = twins.list(list.clone()).await.unwrap().into_inner();
    let stands_for: Position = page.position.parse().unwrap();
    assert_eq!((page.twins.len(), page.age_ms, stands_for.shards.len()), (1, 0, 2));
    for min_position in ["x", "p1.99.0-0-0"] {
        let wrong = v1::ListTwinsRequest { min_position: min_position.into(), ..list.clone() };
        assert_eq!(twins.list(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http() {
    let house = House::open().await;
    house.json("PATCH", "/v1/twins/pump/desired", r#"{"n":1}"#).await.ok();
    let fresh = house.ask("GET", "/v1/twins/pump").await.ok();
    assert_eq!(fresh.header("pollux-position"), None, "it shows everything");
    for path in ["/v1/twins/pump?stale", "/v1/twins/pump/desired?stale", "/v1/twins?"] {
        let reply = house.ask("GET", path).await.ok();
        assert_eq!(reply.header("pollux-age-ms"), Some("0"), "{reply:?}");
        let position = reply.header("pollux-position").unwrap().to_owned();
        let again = format!("{path}&max_age_ms=0&min_position={position}");
        house.ask("GET", &again).await.ok();
        let later = beyond(&beyond(&position));
        house.ask("GET", &format!("{path}&min_position={later}")).await.refused(503, "behind");
        house.ask("GET", &format!("{path}&min_position=x")).await.refused(400, "invalid");
        house.ask("GET", &format!("{path}&max_age_ms=-1")).await.refused(400, "invalid");
    }
    house.node.stop().await;
}
