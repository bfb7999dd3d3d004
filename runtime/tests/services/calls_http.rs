//! Twins over HTTP: reading, writing with expectations, deleting, listing.

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_is_written_read_and_expected() {
    let house = House::open().await;
    let desired = "/v1/twins/pump-1/desired";
    let merge = [("content-type", "application/merge-patch+json"), ("pollux-caller", "test")];
    let written = house.send("PATCH", desired, &merge, br#"{"speed":3,"mode":"a"}"#).await.ok();
    assert_eq!(written.body, r#"{"section":"desired","version":1}"#);
    assert_eq!(written.header("etag"), Some("\"1\""));

    let twin = house.ask("GET", "/v1/tenants/default/twins/pump-1").await.ok();
    assert_eq!(twin.at("desired"), r#"{"mode":"a","speed":3}"#);
    assert_eq!(twin.at("delta"), r#"{"mode":"a","speed":3}"#);
    assert_eq!(twin.at("version"), "1");
    assert!(twin.at("meta").contains(r#""by":"test""#), "{twin:?}");
    let tag = twin.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("\"1-"), "{tag}");
    let known = house.send("GET", "/v1/twins/pump-1", &[("if-none-match", &tag)], b"").await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));

    let expecting =
        |version: &'static str| [("content-type", "application/json"), ("if-match", version)];
    house.send("PATCH", desired, &expecting("\"1\""), br#"{"mode":null}"#).await.ok();
    for wrong in ["\"1\"", "\"99\""] {
        let refused = house.send("PATCH", desired, &expecting(wrong), br#"{"mode":"b"}"#).await;
        refused.refused(412, "version_mismatch");
        assert_eq!(refused.at("actual"), "2");
        assert_eq!(refused.at("section"), "\"desired\"");
        assert_eq!(refused.header("etag"), Some("\"2\""));
    }
    let section = house.ask("GET", desired).await.ok();
    assert_eq!((section.body.as_str(), section.header("etag")), (r#"{"speed":3}"#, Some("\"2\"")));
    let known = house.send("GET", desired, &[("if-none-match", "\"2\"")], b"").await;
    assert_eq!(known.status, 304);

    let new = [("content-type", "application/json"), ("if-none-match", "*")];
    house.send("PUT", desired, &new, b"{}").await.refused(412, "version_mismatch");
    house.send("PUT", "/v1/twins/pump-1/tags", &new, br#"{"site":"b"}"#).await.ok();
    let whole = house.json("PUT", desired, r#"{"only":true}"#).await.ok();
    assert_eq!(whole.at("version"), "3");
    assert_eq!(house.ask("GET", desired).await.body, r#"{"only":true}"#);
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_twin_takes_one_section_and_is_deleted() {
    let house = House::open().await;
    let path = "/v1/twins/pump-2";
    house.json("PATCH", path, r#"{"tags":{"site":"a"}}"#).await.ok();
    house.json("PUT", path, r#"{"desired":{"on":true}}"#).await.ok();
    for bad in ["{}", "[]", r#"{"tags":{},"desired":{}}"#, r#"{"reported":{}}"#, r#"{"x":{}}"#] {
        house.json("PATCH", path, bad).await.refused(400, "invalid");
    }
    let expecting = [("content-type", "application/json"), ("if-match", "\"2\"")];
    house.send("PATCH", path, &expecting, br#"{"tags":{}}"#).await.refused(400, "invalid");

    let wrong = house.send("DELETE", path, &[("if-match", "\"7\"")], b"").await;
    wrong.refused(412, "version_mismatch");
    assert_eq!(wrong.at("actual"), "2");
    let tag = house.ask("GET", path).await.header("etag").unwrap().to_owned();
    house.send("DELETE", path, &[("if-match", &tag)], b"").await.ok();
    house.ask("GET", path).await.refused(404, "not_found");
    house.ask("DELETE", path).await.refused(404, "not_found");
    let again = house.json("PATCH", "/v1/twins/pump-2/tags", r#"{"site":"b"}"#).await.ok();
    assert_eq!(again.at("version"), "3", "the deletion emptied it: that was a version of its own");
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_with_a_key_is_not_made_twice() {
    let house = House::open().await;
    let desired = "/v1/twins/pump-3/desired";
    let key = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let first = house.send("PATCH", desired, &key, br#"{"n":1}"#).await.ok();
    house.json("PATCH", desired, r#"{"n":2}"#).await.ok();
    let retry = house.send("PATCH", desired, &key, br#"{"n":1}"#).await.ok();
    assert_eq!(first.body, retry.body);
    assert_eq!(house.ask("GET", desired).await.body, r#"{"n":2}"#);
    house.send("PATCH", desired, &key, br#"{"n":3}"#).await.refused(422, "key_reused");
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_page_by_page() {
    let house = House::open().await;
    for device in ["a-1", "a-2", "a-3", "b-1", "b-2"] {
        house.json("PATCH", &format!("/v1/twins/{device}/tags"), r#"{"k":1}"#).await.ok();
    }
    house.json("PATCH", "/v1/tenants/other/twins/a-9/tags", r#"{"k":1}"#).await.ok();
    let mut seen = Vec::new();
    let mut path = "/v1/twins?page_size=2".to_owned();
    loop {
        let page = house.ask("GET", &path).await.ok();
        let twins = page.json();
        let pollux_twin::Value::Array(twins) = twins.get("twins").unwrap() else { panic!() };
        assert!(twins.len() <= 2);
        seen.extend(twins.iter().map(|twin| twin.get("device").unwrap().to_json()));
        match page.at("next_page_token").as_str() {
            "null" => break,
            token => path = format!("/v1/twins?page_size=2&page_token={}", token.trim_matches('"')),
        }
    }
    assert_eq!(seen, ["\"a-1\"", "\"a-2\"", "\"a-3\"", "\"b-1\"", "\"b-2\""]);
    let some = house.ask("GET", "/v1/twins?prefix=b&view=full").await.ok();
    assert!(some.body.contains("b-2") && !some.body.contains("a-1"), "{some:?}");
    assert!(some.body.contains(r#""tags":{"k":1}"#), "{some:?}");
    let other = house.ask("GET", "/v1/tenants/other/twins").await.ok();
    assert!(other.body.contains("a-9") && !other.body.contains("a-1"), "{other:?}");
    for bad in ["page_size=0", "page_size=x", "view=all", "page_token=%2F", "size=2", "prefix=%"] {
        house.ask("GET", &format!("/v1/twins?{bad}")).await.refused(400, "invalid");
    }
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_devices_come_in_lines() {
    let house = House::open().await;
    let lines = [("content-type", "application/x-ndjson")];
    let mut body: String = (0..2_000).map(|n| format!("{{\"device\":\"m-{n}\"}}\n")).collect();
    body.push_str(
        "\n{\"device\":\"m-1\",\"tags\":{\"site\":\"north\"}}\nnonsense\n{\"device\":\"a/b\"}",
    );
    let said = house.send("POST", "/v1/devices", &lines, body.as_bytes()).await.ok();
    assert_eq!((said.at("registered").as_str(), said.at("refused").as_str()), ("2001", "2"));
    let refusals: serde_json::Value = serde_json::from_str(&said.at("refusals")).unwrap();
    assert_eq!((&refusals[0]["line"], &refusals[1]["line"]), (&2003.into(), &2004.into()));
    assert_eq!(refusals[1]["reason"], "invalid");
    assert_eq!(house.ask("GET", "/v1/devices/m-1999").await.ok().at("standing"), "\"enabled\"");
    assert_eq!(house.ask("GET", "/v1/twins/m-1/tags").await.body, r#"{"site":"north"}"#);

    let acme = "/v1/tenants/acme/devices";
    let two = b"{\"device\":\"a\",\"tenant\":\"other\"}\n{\"device\":\"b\"}";
    let said = house.send("POST", acme, &lines, two).await.ok();
    assert_eq!((said.at("registered").as_str(), said.at("refused").as_str()), ("1", "1"));
    assert!(said.body.contains("the path names another"), "{said:?}");
    house.ask("GET", "/v1/tenants/acme/devices/b").await.ok();
    let said = house.send("POST", acme, &lines, b"").await.ok();
    assert_eq!(said.body, r#"{"refusals":[],"refused":0,"registered":0}"#);
    let whole = "/v1/devices?all_or_nothing";
    let some = b"{\"device\":\"w-1\"}\nnonsense\n{\"device\":\"w-2\",\"groups\":[\"nowhere\"]}";
    let said = house.send("POST", whole, &lines, some).await.ok();
    assert_eq!((said.at("registered").as_str(), said.at("refused").as_str()), ("0", "2"));
    assert!(said.body.contains("unknown_group"), "{said:?}");
    house.ask("GET", "/v1/devices/w-1").await.refused(404, "not_found");
    let said = house.send("POST", whole, &lines, b"{\"device\":\"w-1\"}").await.ok();
    assert_eq!(said.body, r#"{"refusals":[],"refused":0,"registered":1}"#);
    house.json("POST", acme, "{}").await.refused(415, "unsupported_media_type");
    let what = "/v1/devices?all";
    house.send("POST", what, &lines, b"").await.refused(400, "invalid");
    house.node.stop().await;
}
