//! Runs of the simulator against a small node and against its own echo servers: what is well is
//! found well, and a known bug is found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod node;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use node::{Bug, Node, Pki};
use pollux_device::Cause;
use pollux_simulator::echo::{self, Sizes};
use pollux_simulator::{
    Load, MomentKind, Options, Phase, Report, Shape, Timeline, frame_bytes, run, run_with,
};

fn options(pki: &Pki, target: SocketAddr) -> Options {
    Options {
        devices: 20,
        warm_up: Duration::from_millis(200),
        duration: Duration::from_millis(1_300),
        shape: Shape::Mixed,
        server_pid: Some(std::process::id()),
        ..Options::new(&target.to_string(), pki.trust.clone(), pki.identities.clone())
    }
}

async fn against(bug: Bug, change: impl FnOnce(&mut Options)) -> Report {
    let pki = Pki::new();
    let (target, services) = Node::start(&pki, bug).await;
    let mut options = Options { verify: true, services: vec![services], ..options(&pki, target) };
    change(&mut options);
    run(options, |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_sound_node_is_found_sound() {
    let mut lines = Vec::new();
    let pki = Pki::new();
    let (target, services) = Node::start(&pki, Bug::None).await;
    let options = Options {
        verify: true,
        services: vec![services],
        desired_per_s: 50.0,
        commands_per_s: 50.0,
        telemetry_per_s: 100.0,
        volatile_per_s: 100.0,
        ..options(&pki, target)
    };
    let report = run(options, |progress| lines.push(progress.to_string())).await.unwrap();
    assert!(!report.failed() && report.verified, "{report}");
    assert_eq!(report.errors, 0, "{report}");
    assert!(report.acked > 100 && report.desired.count > 10, "{report}");
    assert!(report.commands.count > 10 && report.telemetry.count > 10, "{report}");
    assert!(report.volatile_sent > 10 && report.server_cpu_s.is_some(), "{report}");
    assert!(!report.timeline.is_empty() && !lines.is_empty());
    let parsed: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    for name in [
        "acked",
        "acked_per_s",
        "ack_p50_us",
        "ack_p99_us",
        "connects_per_s",
        "lost",
        "doubled",
        "errors",
        "server_cpu_s",
        "server_rss_bytes",
    ] {
        assert!(parsed[name].is_number(), "{name}: {}", parsed[name]);
    }
}

#[tokio::test]
async fn broken_connections_and_dropped_devices_lose_nothing() {
    let report = against(Bug::Breaks, |options| {
        options.drops_per_s = 20.0;
        options.away = Duration::from_millis(50);
        options.load = Load::PerSecond(400.0);
        options.desired_per_s = 20.0;
    })
    .await;
    assert!(!report.failed() && report.verified, "{report}");
    assert!(report.losses > 5 && report.acked > 100, "{report}");
}

#[tokio::test]
async fn a_node_that_loses_a_report_is_found_out() {
    let report = against(Bug::Loses, |_| {}).await;
    assert!(report.lost > 0 && report.failed(), "{report}");
    assert!(report.histories[0].contains("acknowledged"), "{report}");
}

#[tokio::test]
async fn a_node_that_doubles_a_report_is_found_out() {
    let report = against(Bug::Doubles, |_| {}).await;
    assert!(report.doubled > 0 && report.failed(), "{report}");
}

#[tokio::test]
async fn devices_come_and_go() {
    let report = against(Bug::None, |options| {
        options.load = Load::Connects { parallel: 4 };
        options.verify = false;
    })
    .await;
    assert!(report.connects > 10 && report.errors == 0, "{report}");
}

#[tokio::test]
async fn twins_are_read() {
    let report = against(Bug::None, |options| options.load = Load::Reads { parallel: 4 }).await;
    assert!(report.reads.count > 50 && report.errors == 0 && !report.failed(), "{report}");
}

#[tokio::test]
async fn devices_that_lose_their_owner_are_timed() {
    let pki = Pki::new();
    let (node, services) = Node::start_at(&pki, Bug::None, 3).await;
    // Nobody listens at the first of these: what services ask there goes to the other.
    let nobody = "http://127.0.0.1:9".to_owned();
    let options = Options {
        targets: node.targets(),
        verify: true,
        services: vec![nobody, services],
        desired_per_s: 50.0,
        duration: Duration::from_secs(3),
        ..options(&pki, "127.0.0.1:9".parse().unwrap())
    };
    let (timeline, mut moments) = Timeline::new();
    let mut marked = None;
    let report = run_with(options, Some(timeline.clone()), |progress| {
        if progress.phase == Phase::Measuring && marked.is_none() {
            node.elect(2);
            marked = Some(timeline.mark());
        }
    });
    let report = report.await.unwrap();
    assert!(!report.failed() && report.verified && report.errors == 0, "{report}");
    assert_eq!(report.failovers, 20, "{report}");
    assert!(report.failover_p50_us > 0 && report.failover_p99_us >= report.failover_p50_us);
    assert!(report.silences >= 20 && report.redials >= 20 && report.retries > 0, "{report}");
    assert_eq!((timeline.waiting(), timeline.missed()), (0, 0));
    let moments: Vec<_> = std::iter::from_fn(|| moments.try_recv().ok()).collect();
    let count = |wanted: fn(&MomentKind) -> bool| {
        moments.iter().filter(|moment| wanted(&moment.kind)).count()
    };
    assert_eq!(count(|kind| matches!(kind, MomentKind::FirstAck { .. })), 20);
    assert_eq!(count(|kind| matches!(kind, MomentKind::AllBack)), 1);
    for moment in &moments {
        assert!(Some(moment.at) >= marked);
        if let MomentKind::Rehomed { cause, noticed, took, .. } = moment.kind {
            assert!(cause == Cause::Lost && noticed <= took, "{moment:?}");
        }
    }
}

#[tokio::test]
async fn the_echo_servers_answer_the_same_fleet() {
    let pki = Pki::new();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let endpoint = echo::endpoint(any, &pki.server, Arc::default()).unwrap();
    let target = endpoint.local_addr().unwrap();
    let options = options(&pki, target);
    let (up, down) = frame_bytes(&options);
    let sizes = Sizes { up, down };
    tokio::spawn(echo::serve(endpoint, sizes));
    let (ready, address) = tokio::sync::oneshot::channel();
    let canned = options.clone();
    tokio::spawn(async move {
        echo::serve_reads(any, &canned, |address| ready.send(address).unwrap()).await
    });
    let services = vec![format!("http://{}", address.await.unwrap())];
    for load in
        [Load::OneInFlight, Load::Idle, Load::Connects { parallel: 4 }, Load::Reads { parallel: 4 }]
    {
        let options = Options { load, services: services.clone(), ..options.clone() };
        let report = echo::run(options, sizes, |_| {}).await.unwrap();
        assert_eq!(report.errors, 0, "{report}");
        match load {
            Load::OneInFlight => assert!(report.acked > 100, "{report}"),
            Load::Connects { .. } => assert!(report.connects > 10, "{report}"),
            Load::Reads { .. } => assert!(report.reads.count > 50, "{report}"),
            _ => assert_eq!(report.connects, 20, "{report}"),
        }
    }
}
