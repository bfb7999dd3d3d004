//! Bad input over HTTP: each with a clear refusal, and without effect on anyone else.

use crate::house::{House, head};

const TAGS: &str = "/v1/twins/pump-1/tags";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_json_is_refused_with_its_place() {
    let house = House::open().await;
    for bad in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":1e999}"#,
        r#"{"a":18446744073709551616}"#,
        r#"{"a":1} x"#,
        r#"{"a":1,}"#,
        "{",
        "{\"a\":\"\u{1}\"}",
    ] {
        let refused = house.json("PATCH", TAGS, bad).await;
        refused.refused(400, "invalid");
        assert!(!refused.at("at").is_empty() && refused.at("line") == "1", "{refused:?}");
    }
    let second_line = house.json("PATCH", TAGS, "{\n  \"a\": 01}").await;
    assert_eq!((second_line.at("line"), second_line.at("column")), ("2".into(), "9".into()));
    house
        .send("PATCH", TAGS, &[("content-type", "application/json")], b"")
        .await
        .refused(400, "invalid");
    house
        .send("PATCH", TAGS, &[("content-type", "application/json")], b"{\"a\":\"\xff\"}")
        .await
        .refused(400, "invalid");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    house.json("PATCH", TAGS, &format!("{{\"a\":{deep}}}")).await.refused(400, "too_deep");
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(20), "]".repeat(20));
    house.json("PATCH", TAGS, &nested).await.refused(400, "too_deep");
    house.json("PATCH", TAGS, "[1]").await.refused(400, "not_an_object");
    house.json("PUT", TAGS, "3").await.refused(400, "not_an_object");
    let long_key = format!("{{\"{}\":1}}", "k".repeat(300));
    house.json("PATCH", TAGS, &long_key).await.refused(400, "bad_key");
    house.ask("GET", "/v1/twins/pump-1").await.refused(404, "not_found");
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_the_wrong_kind_or_size_are_refused() {
    let house = House::open().await;
    for kind in ["text/plain", "application/json-patch+json", "application/json; charset=latin1"] {
        let refused = house.send("PATCH", TAGS, &[("content-type", kind)], b"{}").await;
        refused.refused(415, "unsupported_media_type");
        assert_eq!(
            refused.header("accept-patch"),
            Some("application/merge-patch+json, application/json")
        );
    }
    house.send("PATCH", TAGS, &[], b"{}").await.refused(415, "unsupported_media_type");
    let put = [("content-type", "application/merge-patch+json")];
    house.send("PUT", TAGS, &put, b"{}").await.refused(415, "unsupported_media_type");

    let section = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let refused = house.json("PATCH", TAGS, &section).await;
    refused.refused(413, "too_large");
    assert_eq!(refused.at("max"), "65536");
    // 100 MB, announced: refused before any of it is read.
    let mut announced = head("PATCH", TAGS, &[("content-type", "application/json")]);
    announced.push_str("content-length: 100000000\r\n\r\n{");
    house.raw(announced.as_bytes()).await.refused(413, "too_large");
    // The same, not announced: cut off at the bound.
    let mut unannounced = head("PATCH", TAGS, &[("content-type", "application/json")]);
    unannounced.push_str("transfer-encoding: chunked\r\n\r\n");
    let mut bytes = unannounced.into_bytes();
    for _ in 0..40 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&[b' '; 0x10000]);
        bytes.extend_from_slice(b"\r\n");
    }
    house.raw(&bytes).await.refused(413, "too_large");
    house.json("PATCH", TAGS, "{}").await.ok();
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_names_and_headers_are_refused() {
    let house = House::open().await;
    house.ask("GET", "/v1/twins/unknown").await.refused(404, "not_found");
    house.ask("GET", "/nothing").await.refused(404, "no_such_path");
    house.ask("GET", "/v1/twins/a/b/c/d").await.refused(404, "no_such_path");
    let refused = house.json("PATCH", "/v1/twins/a/reported", "{}").await;
    refused.refused(405, "method_not_allowed");
    assert!(refused.header("allow").is_some_and(|allow| allow.contains("GET")), "{refused:?}");
    let long = format!("/v1/twins/{}", "d".repeat(257));
    for bad in [long.as_str(), "/v1/twins/a%20b", "/v1/twins/%C3%A4", "/v1/tenants/%2F/twins/a"] {
        house.ask("GET", bad).await.refused(400, "invalid");
    }
    for (name, value) in [
        ("pollux-caller", "two words"),
        ("pollux-caller", "device"),
        ("if-match", "5"),
        ("if-match", "\"x\""),
        ("if-none-match", "\"5\""),
    ] {
        let headers = [("content-type", "application/json"), (name, value)];
        house.send("PATCH", TAGS, &headers, b"{\"a\":1}").await.refused(400, "invalid");
    }
    let key = "k".repeat(200);
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let refused = house.send("PATCH", TAGS, &headers, b"{\"a\":1}").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    house.ask("GET", "/v1/twins/a?stale=maybe").await.refused(400, "invalid");
    house.ask("GET", "/v1/twins/a?fresh").await.refused(400, "invalid");
    for bad in ["min_position=nowhere", "min_position=%C2%84", "max_age_ms=-147"] {
        house.ask("GET", &format!("/v1/twins/a?{bad}")).await.refused(400, "invalid");
    }
    let both =
        [("content-type", "application/json"), ("if-match", "\"1\""), ("if-none-match", "*")];
    house.send("PATCH", TAGS, &both, b"{\"a\":1}").await.refused(400, "invalid");
    let tenant = format!("/v1/tenants/{}/subscriptions", "t".repeat(257));
    house.ask("GET", &tenant).await.refused(400, "invalid");
    house.ask("GET", "/v1/twins/a?stale=true").await.refused(404, "not_found");
    house.node.stop().await;
}
