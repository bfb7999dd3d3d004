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

#[test]
fn a_second_cluster_in_a_directory_is_refused_and_the_start_repeats_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("d1"), dir.path().join("n1.toml"));
    std::fs::write(&file, "[cluster]\nshards = 4\n").unwrap();
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    let init = ["cluster", "init", "--config", file, "--data-dir", data];
    let start = format!("pollux start --config {file} --data-dir {data}");
    let made = pollux(&init);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    assert!(out(&made).contains(&start), "{}", out(&made));
    let again = pollux(&init);
    assert_eq!(again.status.code(), Some(1));
    let said = err(&again);
    assert!(said.contains("no cluster was made: data directory"), "{said}");
    assert!(said.contains(&start), "{said}");
}

#[test]
fn a_join_that_fails_is_told_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("d1"), dir.path().join("f.toml"));
    std::fs::write(&file, "[cluster]\nshards = 4\n").unwrap();
    // Nobody listens there; the token is one of no cluster.
    let token = format!("pollux-join.{}", "A".repeat(64));
    let join = |token: &str, data: &std::path::Path| {
        Command::new(env!("CARGO_BIN_EXE_pollux"))
            .args(["node", "join", "--via", "127.0.0.1:1", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(data)
            .env("POLLUX_JOIN_TOKEN", token)
            .output()
            .expect("the program starts")
    };
    let nowhere = err(&join(&token, &data));
    assert!(nowhere.contains("listen.peers"), "{nowhere}");
    let no_token = err(&join("nonsense", &data));
    assert!(no_token.contains("copy all of the line"), "{no_token}");
    let there = dir.path().join("there");
    assert_eq!(
        pollux(&["cluster", "init", "--data-dir", there.to_str().unwrap()]).status.code(),
        Some(0)
    );
    let taken = err(&join(&token, &there));
    assert!(taken.contains("the token is still good"), "{taken}");
}

#[test]
fn a_device_certificate_replaces_nothing_unless_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (data, certs) = (dir.path().join("d1"), dir.path().join("certs"));
    let (data, certs) = (data.to_str().unwrap(), certs.to_str().unwrap());
    assert_eq!(pollux(&["cluster", "init", "--data-dir", data]).status.code(), Some(0));
    let cert = ["device", "cert", "pump", "--data-dir", data, "--out", certs];
    assert_eq!(pollux(&cert).status.code(), Some(0));
    let again = pollux(&cert);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("exists already") && err(&again).contains("--force"));
    assert_eq!(pollux(&[&cert[..], &["--force"]].concat()).status.code(), Some(0));
    let nowhere = pollux(&["device", "cert", "pump", "--data-dir", data, "--out", "/proc/nope"]);
    assert!(err(&nowhere).contains("/proc/nope"), "{}", err(&nowhere));
    std::fs::remove_file(std::path::Path::new(data).join("pki/device-ca.key")).unwrap();
    let elsewhere = pollux(&["device", "cert", "other", "--data-dir", data, "--out", certs]);
    assert!(err(&elsewhere).contains("first node"), "{}", err(&elsewhere));
}

#[test]
fn a_run_that_cannot_end_well_does_not_begin() {
    let target = ["sim", "--target", "127.0.0.1:9", "--pki", "/nope", "--verify"];
    let unverified = pollux(&target);
    assert_eq!(unverified.status.code(), Some(2));
    assert!(err(&unverified).contains("--grpc"), "{}", err(&unverified));
    let no_page = pollux(&["sim", "--html", "/nope/x.html"]);
    assert_eq!(no_page.status.code(), Some(2));
    assert!(err(&no_page).contains("/nope/x.html"), "{}", err(&no_page));
}

#[test]
fn a_port_that_speaks_no_tls_is_told_apart_from_none() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the program connects");
        let _hello = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it listens");
    });
    let refused = pollux(&["twin", "get", "pump", "--grpc", &url]);
    answers.join().unwrap();
    assert_eq!(refused.status.code(), Some(6));
    assert!(err(&refused).contains("speak TLS"), "{}", err(&refused));
    let empty = pollux(&["twin", "get", "pump", "--grpc", ""]);
    assert_eq!(empty.status.code(), Some(2), "{}", err(&empty));
}
