//! Watches at both doors: changes, resuming, the picture, and the end when the node stops.

use std::time::Duration;

use pollux_proto::v1;
use pollux_proto::v1::watch_response::Event;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::Code;

use crate::house::{House, head};

/// Server-sent events, read one by one.
struct Events(BufReader<TcpStream>);

impl Events {
    async fn open(house: &House, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(house.http).await.unwrap();
        stream.write_all(format!("{}\r\n", head("GET", path, headers)).as_bytes()).await.unwrap();
        let mut events = Self(BufReader::new(stream));
        let status = events.line().await.unwrap();
        assert!(status.contains("200"), "{status}");
        events
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line));
        (read.await.unwrap().unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// Name, id and data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, String, String)> {
        let (mut name, mut id, mut data) = Default::default();
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = text.to_owned(),
                Some(("data", text)) => data = text.to_owned(),
                _ if line.is_empty() && name != String::new() => return Some((name, id, data)),
                _ => {}
            }
        }
    }
}

async fn write(house: &House, device: &str, n: u32) {
    house
        .json("PATCH", &format!("/v1/twins/{device}/desired"), &format!("{{\"n\":{n}}}"))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_resume_where_they_stopped() {
    let house = House::open().await;
    write(&house, "w-1", 1).await;
    let mut events = Events::open(&house, "/v1/watch?prefix=w-&picture=true", &[]).await;
    let (name, _, data) = events.next().await.unwrap();
    assert_eq!(name, "twin");
    assert!(data.contains(r#""desired":{"n":1}"#), "{data}");
    assert_eq!(events.next().await.unwrap().0, "picture_complete");
    write(&house, "w-1", 2).await;
    write(&house, "x-1", 2).await;
    write(&house, "w-2", 3).await;
    let (name, id, data) = events.next().await.unwrap();
    assert_eq!(name, "changed");
    assert!(data.contains(r#""patched":{"by":"anonymous","merge":{"n":2}"#), "{data}");
    assert!(data.contains(r#""device":"w-1""#), "{data}");
    drop(events);

    let mut again = Events::open(&house, "/v1/watch?prefix=w-", &[("last-event-id", &id)]).await;
    let (_, _, data) = again.next().await.unwrap();
    assert!(data.contains(r#""device":"w-2""#), "{data}");

    let mut one = Events::open(&house, "/v1/twins/x-1/watch?picture", &[]).await;
    assert_eq!(one.next().await.unwrap().0, "twin");
    for bad in ["/v1/watch?position=nonsense", "/v1/watch?picture=2", "/v1/watch?prefix=a/b"] {
        house.ask("GET", bad).await.refused(400, "invalid");
    }
    assert!(house.ask("GET", "/metrics").await.body.contains("pollux_watchers 2"));
    tokio::time::timeout(Duration::from_secs(15), house.node.stop()).await.unwrap();
    while again.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_tells_who_comes_who_stays_and_who_leaves() {
    let house = House::open().await;
    write(&house, "f-1", 9).await;
    write(&house, "f-2", 1).await;
    let path = "/v1/watch?prefix=f-&picture&filter=desired.n%20%3E%205";
    let mut events = Events::open(&house, path, &[]).await;
    let (name, _, data) = events.next().await.unwrap();
    assert!(name == "twin" && data.contains(r#""device":"f-1""#), "{name} {data}");
    assert_eq!(events.next().await.unwrap().0, "picture_complete");
    for (device, n) in [("f-2", 2), ("f-2", 6), ("f-1", 8), ("f-1", 5), ("f-1", 4), ("f-2", 7)] {
        write(&house, device, n).await;
    }
    let mut told = Vec::new();
    let mut position = String::new();
    while told.len() < 4 {
        let (name, id, data) = events.next().await.unwrap();
        if name == "progress" {
            continue;
        }
        assert_eq!(name, "changed");
        let changed: serde_json::Value = serde_json::from_str(&data).unwrap();
        let n = &changed["patched"]["merge"]["n"];
        told.push(format!("{} {} {n}", changed["device"], changed["match"]));
        let shown = &changed["twin"]["desired"]["n"];
        assert_eq!(shown == n, changed["match"] == "entered", "who enters is shown: {data}");
        if told.len() == 2 {
            position = id;
        }
    }
    // In order per twin, which is all that is promised of several shards.
    told.sort();
    let expected =
        [r#""f-1" "left" 5"#, r#""f-1" "stayed" 8"#, r#""f-2" "entered" 6"#, r#""f-2" "stayed" 7"#];
    assert_eq!(told, expected);
    drop(events);
    let mut again = Events::open(&house, path, &[("last-event-id", &position)]).await;
    assert_eq!(again.next().await.unwrap().0, "changed", "it goes on, without a picture");
    let headers = [("last-event-id", position.as_str())];
    let mut plain = Events::open(&house, "/v1/watch?prefix=f-", &headers).await;
    let (_, _, data) = plain.next().await.unwrap();
    assert!(!data.contains("\"match\""), "{data}");
    for bad in ["filter=desired.n%20%3E", "filter=7", "filter=now%20%3E%20now", "filter=a&filter=b"]
    {
        house.ask("GET", &format!("/v1/watch?{bad}")).await.refused(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_grpc_resumes_where_it_stopped() {
    let house = House::open().await;
    let mut twins = house.twins().await;
    let whose = Some(v1::watch_request::Whose::Device("g-1".into()));
    let watch = v1::WatchRequest { whose, ..Default::default() };
    let mut events = twins.watch(watch.clone()).await.unwrap().into_inner();
    write(&house, "g-1", 1).await;
    write(&house, "g-1", 2).await;
    let first = events.message().await.unwrap().unwrap();
    let Some(Event::Changed(changed)) = &first.event else { panic!("{first:?}") };
    assert_eq!((changed.device.as_str(), changed.version), ("g-1", 1));
    drop(events);

    let resumed = v1::WatchRequest { position: first.position.clone(), ..watch.clone() };
    let mut events = twins.watch(resumed).await.unwrap().into_inner();
    let next = events.message().await.unwrap().unwrap();
    let Some(Event::Changed(changed)) = &next.event else { panic!("{next:?}") };
    assert_eq!(changed.version, 2);

    // Who asks is told at once where it begins, and misses nothing from there on.
    let told = v1::WatchRequest { tell_start: true, ..watch.clone() };
    let start = twins.watch(told).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert!(matches!(start.event, Some(Event::Progress(_))), "{start:?}");
    write(&house, "g-1", 3).await;
    let after = v1::WatchRequest { position: start.position, ..watch.clone() };
    let mut later = twins.watch(after).await.unwrap().into_inner();
    let next = later.message().await.unwrap().unwrap();
    let Some(Event::Changed(changed)) = &next.event else { panic!("{next:?}") };
    assert_eq!(changed.version, 3);
    drop(later);

    // What there is at once comes in one message, if asked for, with the position after the last of it.
    write(&house, "g-1", 4).await;
    let after = v1::WatchRequest { position: next.position, batch: true, ..watch.clone() };
    let before = v1::WatchRequest { position: first.position, ..after.clone() };
    let mut batches = twins.watch(before).await.unwrap().into_inner();
    let batch = batches.message().await.unwrap().unwrap();
    assert_eq!(versions(&batch), [2, 3, 4]);
    let mut batches = twins.watch(after).await.unwrap().into_inner();
    assert_eq!(versions(&batches.message().await.unwrap().unwrap()), [4]);
    let after = v1::WatchRequest { position: batch.position, batch: true, ..watch.clone() };
    let mut batches = twins.watch(after).await.unwrap().into_inner();
    write(&house, "g-1", 5).await;
    assert_eq!(versions(&batches.message().await.unwrap().unwrap()), [5]);
    drop(batches);

    let bad = v1::WatchRequest { position: "nonsense".into(), ..watch };
    assert_eq!(twins.watch(bad).await.unwrap_err().code(), Code::InvalidArgument);

    let stop = tokio::spawn(house.node.stop());
    let end = loop {
        match events.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap_err().code(), Code::Unavailable, "the watcher is told to come back");
    tokio::time::timeout(Duration::from_secs(15), stop).await.unwrap().unwrap();
}

/// Versions of the twin after each change of a batch.
fn versions(response: &v1::WatchResponse) -> Vec<u64> {
    let Some(Event::Changes(batch)) = &response.event else { panic!("{response:?}") };
    let version = |bytes: &bytes::Bytes| v1::Changed::decode(bytes.clone()).unwrap().version;
    batch.changes.iter().map(version).collect()
}
