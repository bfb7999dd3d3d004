//! The SDK over real QUIC among several nodes: owners that fall silent, die or hand over, nodes that
//! hold, redirect or refuse. No report is lost or applied twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod pki;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{Cluster, Manner};
use pki::{ca, identity};
use pollux_device::session::Backoff;
use pollux_device::{Cause, Device, Endpoint, Message, Options, Rehomed};
use pollux_proto::device::NodeFrame;
use pollux_twin::Value;

struct Fleet {
    cluster: Arc<Cluster>,
    devices: Vec<Device>,
    rehomed: Arc<Mutex<Vec<Rehomed>>>,
    sent: i64,
}

impl Fleet {
    /// Devices with a session at the first node, which is all that they were told of.
    async fn start(count: usize) -> Self {
        let ca = ca();
        let cluster = Cluster::start(&ca);
        let endpoint = Endpoint::open().unwrap();
        let rehomed: Arc<Mutex<Vec<Rehomed>>> = Arc::default();
        let mut devices = Vec::new();
        for number in 0..count {
            let name = format!("lamp-{number}");
            let options = Options::new(&cluster.addresses[0], &name, identity(&ca, &name));
            let device =
                within(Device::connect(&endpoint, options.backoff(quick()))).await.unwrap();
            let told = Arc::clone(&rehomed);
            device.on_rehomed(move |news| told.lock().unwrap().push(news));
            devices.push(device);
        }
        Self { cluster, devices, rehomed, sent: 0 }
    }

    fn report(&mut self, count: i64) {
        for number in self.sent..self.sent + count {
            for device in &self.devices {
                let message = Message::Report { patch: Value::Int(number), observed_at: None };
                drop(device.send(message).unwrap());
            }
        }
        self.sent += count;
    }

    /// Waits until all is acknowledged, and checks that each report was applied once, in order.
    async fn settled(&self) {
        for device in &self.devices {
            within(device.flushed()).await.unwrap();
        }
        let all: Vec<Value> = (0..self.sent).map(Value::Int).collect();
        for (name, twin) in self.cluster.twins().iter() {
            assert_eq!(twin.applied, all, "{name}");
        }
    }

    fn went(&self, to: usize, why: Cause) {
        let rehomed = self.rehomed.lock().unwrap();
        assert_eq!(rehomed.len(), self.devices.len());
        for news in rehomed.iter() {
            assert_eq!((&*news.from, news.cause), (&*self.cluster.addresses[0], why));
            assert_eq!(&*news.to, self.cluster.addresses[to]);
        }
    }
}

fn quick() -> Backoff {
    Backoff { first_ms: 5, base_ms: 20, max_ms: 200 }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends in time")
}

async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_falls_silent_is_left_for_the_next() {
    let mut fleet = Fleet::start(5).await;
    fleet.report(20);
    fleet.settled().await;
    fleet.cluster.manner(0, Manner::Silent);
    fleet.report(20);
    tokio::time::sleep(Duration::from_millis(20)).await;
    fleet.cluster.elect(2);
    fleet.settled().await;
    fleet.went(2, Cause::Lost);
    // The old owner comes to itself, with all that it had not read: nothing of it counts.
    fleet.cluster.manner(0, Manner::Sound);
    fleet.report(20);
    fleet.settled().await;
    assert!(fleet.devices.iter().all(|device| device.counts().silences >= 1));
}

#[tokio::test]
async fn an_owner_that_is_killed_is_left_for_the_next() {
    let mut fleet = Fleet::start(5).await;
    fleet.report(5);
    fleet.settled().await;
    // What it has taken just before may never be acknowledged by it.
    fleet.report(20);
    fleet.cluster.kill(0);
    fleet.cluster.elect(1);
    fleet.settled().await;
    fleet.went(1, Cause::Lost);
}

#[tokio::test]
async fn during_an_election_nobody_gives_up_or_spins() {
    let mut fleet = Fleet::start(3).await;
    fleet.cluster.kill(0);
    fleet.cluster.manner(1, Manner::Holds);
    fleet.cluster.manner(2, Manner::Busy);
    fleet.report(10);
    let held = || fleet.cluster.hellos(1) >= 3;
    until(held).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.cluster.elect(2);
    fleet.cluster.manner(2, Manner::Sound);
    fleet.cluster.manner(1, Manner::Sound);
    fleet.settled().await;
    fleet.went(2, Cause::Lost);
    assert!(fleet.devices.iter().all(|device| device.counts().dials < 20));
    // Losers are closed: each device has one connection, at the owner.
    let cluster = &fleet.cluster;
    until(|| cluster.connections(1) == 0 && cluster.connections(2) == 3).await;
}

#[tokio::test]
async fn a_replica_that_still_believes_in_the_lost_owner_is_asked_again() {
    let mut fleet = Fleet::start(2).await;
    fleet.cluster.kill(0);
    fleet.report(3);
    until(|| fleet.cluster.hellos(1) + fleet.cluster.hellos(2) >= 4).await;
    fleet.cluster.elect(1);
    fleet.settled().await;
    fleet.went(1, Cause::Lost);
}

#[tokio::test]
async fn chains_of_redirects_are_followed_and_loops_are_survived() {
    let ca = ca();
    let cluster = Cluster::start(&ca);
    cluster.elect(2);
    cluster.manner(0, Manner::Redirects(1));
    let endpoint = Endpoint::open().unwrap();
    let addresses = &cluster.addresses[..2];
    let options = Options::new(addresses, "lamp", identity(&ca, "lamp")).backoff(quick());
    let device = within(Device::connect(&endpoint, options.clone().seed(3))).await.unwrap();
    within(device.report(Value::Int(1))).await.unwrap();
    device.close();
    cluster.manner(1, Manner::Redirects(0));
    let looping = Device::start(&endpoint, options.seed(4)).unwrap();
    until(|| cluster.hellos(0) + cluster.hellos(1) >= 12).await;
    assert!(looping.closed().is_none());
    cluster.manner(1, Manner::Sound);
    within(looping.report(Value::Int(2))).await.unwrap();
    assert_eq!(cluster.twins()["lamp"].applied, [Value::Int(1), Value::Int(2)]);
}

#[tokio::test]
async fn a_planned_move_loses_and_doubles_nothing() {
    let mut fleet = Fleet::start(5).await;
    fleet.report(5);
    fleet.settled().await;
    let (cluster, to) = (Arc::clone(&fleet.cluster), fleet.cluster.addresses[1].clone());
    cluster.tell(0, NodeFrame::PrepareMove { address: to.clone() });
    until(|| cluster.connections(1) == 5).await;
    assert_eq!(cluster.hellos(1), 0, "hellos are held back");
    fleet.report(50);
    cluster.elect(1);
    cluster.tell(0, NodeFrame::Moved { address: to, epoch: cluster.epoch() });
    fleet.report(50);
    fleet.settled().await;
    assert_eq!((cluster.hellos(1), cluster.connections(1)), (5, 5), "over what was made ahead");
    for device in &fleet.devices {
        assert_eq!((device.counts().moves, device.counts().sessions), (1, 2));
    }
    fleet.went(1, Cause::Moved);
    let old = NodeFrame::Moved { address: cluster.addresses[0].clone(), epoch: (1, 1) };
    cluster.tell(1, old);
    fleet.report(5);
    fleet.settled().await;
    assert_eq!(cluster.hellos(0), 5, "old news is not followed");
}

#[tokio::test]
async fn a_node_that_is_full_is_tried_again_later() {
    let ca = ca();
    let cluster = Cluster::start(&ca);
    cluster.manner(0, Manner::Full);
    let endpoint = Endpoint::open().unwrap();
    let options = Options::new(&cluster.addresses[0], "lamp", identity(&ca, "lamp"));
    let device = Device::start(&endpoint, options.backoff(quick())).unwrap();
    until(|| device.counts().dials >= 3).await;
    cluster.manner(0, Manner::Sound);
    within(device.report(Value::Int(1))).await.unwrap();
}
