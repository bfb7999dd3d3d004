//! The paths for operators, and every path that the OpenAPI document names.

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_find_health_metrics_and_an_index() {
    let house = House::open().await;
    assert!(house.ask("GET", "/").await.ok().body.contains("/v1/twins/{device}"));
    assert_eq!(house.ask("GET", "/healthz").await.ok().body, "alive\n");
    assert_eq!(house.ask("GET", "/readyz").await.ok().at("ready"), "true");
    assert!(house.ask("GET", "/v1/status").await.ok().body.contains("\"shards\""));
    house.json("PATCH", "/v1/twins/a/tags", "{\"a\":1}").await.ok();
    house.ask("GET", "/v1/twins/none").await.refused(404, "not_found");
    let metrics = house.ask("GET", "/metrics").await.ok();
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"pollux_calls_total{door="http",service="Twins",method="Patch",code="ok"} 1"#,
        r#"pollux_calls_total{door="http",service="Twins",method="Get",code="not_found"} 1"#,
        r#"pollux_rejections_total{reason="not_found"} 1"#,
    ] {
        assert!(metrics.body.contains(line), "{line} in {}", metrics.body);
    }
    house.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_path_is_served() {
    let house = House::open().await;
    let document = house.ask("GET", "/openapi.json").await.ok().json();
    let paths = document.get("paths").unwrap().as_object().unwrap();
    assert!(paths.len() >= 20, "{}", paths.len());
    for (path, item) in paths {
        let real = path.replace("{tenant}", "t").replace("{device}", "d").replace("{id}", "1");
        for verb in item.as_object().unwrap().keys() {
            // A watch does not end by itself; a position that is none ends it at once.
            let watch = if path.ends_with("/watch") { "?position=x" } else { "" };
            let verb = verb.to_ascii_uppercase();
            let reply = house.json(&verb, &format!("{real}{watch}"), "{}").await;
            assert_ne!(reply.status, 405, "{verb} {path}");
            assert_ne!(reply.status, 0, "{verb} {path}");
            assert!(!reply.body.contains("no_such_path"), "{verb} {path}");
            assert!(reply.status < 500, "{verb} {path}: {reply:?}");
        }
    }
    house.node.stop().await;
}
