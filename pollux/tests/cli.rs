//! The program as its callers see it: exit codes, and errors that name the next step. Running
//! nodes are tested in `tests/`.

use std::process::{Command, Output};

use serde_json::Value;

fn pollux(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pollux"))
        .args(args)
        .env_remove("POLLUX_CONFIG")
        .env_remove("POLLUX_GRPC")
        .output()
        .expect("the program starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is UTF-8")
}

#[test]
fn what_config_show_prints_passes_config_check() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pollux.toml");
    let shown = pollux(&["config", "show"]);
    assert_eq!(shown.status.code(), Some(0));
    std::fs::write(&path, &shown.stdout).unwrap();
    let checked = pollux(&["config", "check", "--config", path.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
}

#[test]
fn a_wrong_configuration_tells_all_and_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pollux.toml");
    std::fs::write(&path, "[log]\nsegment_byte = 3\n[cluster]\nshards = \"many\"\n").unwrap();
    let checked = pollux(&["config", "check", "--config", path.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(2));
    let said = err(&checked);
    for part in ["log.segment_byte", "log.segment_bytes", "cluster.shards", "pollux config show"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn without_a_node_a_call_ends_with_6_and_says_how_to_start_one() {
    // Port 1 of loopback: nobody listens there.
    let refused = pollux(&["twin", "get", "pump", "--grpc", "http://127.0.0.1:1"]);
    assert_eq!(refused.status.code(), Some(6));
    assert!(err(&refused).contains("pollux dev"), "{}", err(&refused));
    let args = ["twin", "get", "pump", "--grpc", "127.0.0.1:1", "--output", "json"];
    let json: Value = serde_json::from_str(&err(&pollux(&args))).unwrap();
    assert_eq!(json["error"]["code"], 6);
}

#[test]
fn wrong_usage_ends_with_2_and_names_what_is_right() {
    assert_eq!(pollux(&["frobnicate"]).status.code(), Some(2));
    let bad_json = pollux(&["twin", "patch", "pump", "{bad"]);
    assert_eq!(bad_json.status.code(), Some(2));
    assert!(err(&bad_json).contains("no JSON"), "{}", err(&bad_json));
    let bad_name = pollux(&["twin", "get", "a b"]);
    assert_eq!(bad_name.status.code(), Some(2));
    assert!(err(&bad_name).contains("printable ASCII"), "{}", err(&bad_name));
    let bad_time = pollux(&["dev", "--duration", "5 minutes"]);
    assert_eq!(bad_time.status.code(), Some(2));
    assert!(err(&bad_time).contains("30s"), "{}", err(&bad_time));
}

#[test]
fn help_has_examples_and_exit_codes_and_shells_complete() {
    assert!(out(&pollux(&["--help"])).contains("Exit codes"));
    assert!(out(&pollux(&["twin", "patch", "--help"])).contains("Examples"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&pollux(&["completions", shell])).contains("pollux"), "{shell}");
    }
}

#[test]
fn a_device_certificate_needs_a_node_that_was_started_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("nothing");
    let refused = pollux(&["device", "cert", "pump", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("start the node once"), "{}", err(&refused));
}
