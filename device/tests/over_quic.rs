//! The SDK over real QUIC against a small node by the book, which breaks connections on purpose.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pollux_device::enrol::{DeviceKey, Enrolment};
use pollux_device::session::Backoff;
use pollux_device::{
    Device, Download, DownloadError, Endpoint, EnrolError, Fault, Message, Options, Trust,
};
use pollux_proto::device::download::{Fetch, Offer};
use pollux_proto::device::{
    AckResult, Decoder, DeviceFrame, Limits, NodeFrame, RefusedReason, decode_datagram, encode,
};
use pollux_twin::{Time, Value};

mod pki;

use pki::{Ca, ca, identity};

/// What a node answers a hello with.
#[derive(Clone)]
enum Greeting {
    Welcome,
    Redirect(String),
    Refuse,
}

#[derive(Default)]
struct Twin {
    session: u64,
    incarnation: u64,
    last: u64,
    applied: Vec<Value>,
    said: Vec<DeviceFrame>,
}

struct Node {
    address: String,
    greeting: Greeting,
    /// Breaks each connection after so many numbered frames, with the answer unsent.
    breaks_after: Option<u64>,
    twins: Mutex<BTreeMap<String, Twin>>,
    volatile: Mutex<Vec<(String, Value)>>,
}

impl Node {
    fn start(ca: &Ca, greeting: Greeting, breaks_after: Option<u64>) -> Arc<Self> {
        let endpoint = pki::endpoint(ca);
        let node = Arc::new(Self {
            address: endpoint.local_addr().unwrap().to_string(),
            greeting,
            breaks_after,
            twins: Mutex::default(),
            volatile: Mutex::default(),
        });
        let accepting = Arc::clone(&node);
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let node = Arc::clone(&accepting);
                tokio::spawn(async move {
                    let connection = incoming.await.unwrap();
                    let listening = (Arc::clone(&node), connection.clone());
                    tokio::spawn(async move {
                        while let Ok(bytes) = listening.1.read_datagram().await {
                            let datagram = decode_datagram(&bytes).unwrap();
                            listening.0.volatile.lock().unwrap().extend(datagram.values);
                        }
                    });
                    node.serve(connection).await;
                });
            }
        });
        node
    }

    async fn serve(&self, connection: quinn::Connection) -> Option<()> {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        tokio::spawn(lie(connection.clone()));
        let mut decoder = Decoder::<DeviceFrame>::new();
        let mut name = String::new();
        let mut numbered = 0;
        while let Ok(Some(chunk)) = recv.read_chunk(4096, true).await {
            decoder.push(&chunk.bytes);
            while let Some(frame) = decoder.poll().unwrap() {
                let mut out = bytes::BytesMut::new();
                for answer in self.answer(&mut name, frame, &mut numbered) {
                    encode(&answer, &mut out).unwrap();
                }
                if self.breaks_after.is_some_and(|after| numbered >= after) {
                    // Earlier answers have time to arrive, this one is lost.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    connection.close(0u32.into(), b"broken on purpose");
                    return None;
                }
                send.write_all(&out).await.ok()?;
            }
        }
        None
    }

    fn answer(&self, name: &mut String, frame: DeviceFrame, numbered: &mut u64) -> Vec<NodeFrame> {
        let mut twins = self.twins.lock().unwrap();
        if let DeviceFrame::Hello { device, .. } = &frame {
            name.clone_from(device);
        }
        let twin = twins.entry(name.clone()).or_default();
        let (seq, patch) = match frame {
            DeviceFrame::Hello { incarnation, .. } => match &self.greeting {
                Greeting::Welcome => return twin.welcome(incarnation),
                Greeting::Redirect(address) => {
                    let address = address.clone();
                    return vec![NodeFrame::Redirect { address, epoch: (1, 1) }];
                }
                Greeting::Refuse => {
                    return vec![NodeFrame::Refused {
                        reason: RefusedReason::NotYou,
                        message: "the certificate is another device's".to_owned(),
                        retry_after_ms: None,
                    }];
                }
            },
            DeviceFrame::Report { seq, patch, .. } => (seq, Some(patch)),
            DeviceFrame::CommandResult { seq, .. } | DeviceFrame::DesiredAck { seq, .. } => {
                twin.said.push(frame);
                (seq, None)
            }
            other => panic!("not expected here: {other:?}"),
        };
        *numbered += 1;
        if seq > twin.last + 1 {
            let expected = Some(twin.last + 1);
            return vec![NodeFrame::Nack { seq, expected, retry_after_ms: 0 }];
        }
        if seq == twin.last + 1 {
            twin.last = seq;
            twin.applied.extend(patch);
        }
        let version = twin.applied.len().try_into().unwrap();
        vec![NodeFrame::Ack { seq, result: AckResult::Done { version } }]
    }
}

impl Twin {
    fn welcome(&mut self, incarnation: u64) -> Vec<NodeFrame> {
        if self.incarnation != incarnation {
            (self.incarnation, self.last) = (incarnation, 0);
        }
        self.session += 1;
        let welcome = NodeFrame::Welcome {
            session: self.session,
            last_seq: self.last,
            desired_version: 1,
            desired: Value::Int(1),
            reported_version: 0,
            limits: Limits {
                frame_bytes_max: 1 << 17,
                in_flight_max: 16,
                section_bytes_max: 1 << 16,
            },
            replicas: Vec::new(),
        };
        let command = NodeFrame::Command {
            id: 1,
            name: "double".to_owned(),
            payload: Value::Int(21),
            deadline: Time::from_ms(u64::MAX),
        };
        let desired = NodeFrame::Desired { version: 2, desired: Value::Int(2) };
        if self.session == 1 { vec![welcome, desired, command] } else { vec![welcome] }
    }
}

/// Gives every artifact that is asked for as the same few bytes, with their own digest.
async fn lie(connection: quinn::Connection) -> Option<()> {
    const CONTENT: &[u8] = b"not what was asked for";
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().unwrap().common.hash_provider.hash(CONTENT);
    let sha256 = hash.as_ref().try_into().unwrap();
    loop {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let mut decoder = Decoder::<Fetch>::new();
        while decoder.poll().unwrap().is_none() {
            decoder.push(&recv.read_chunk(4096, true).await.ok()??.bytes);
        }
        let (size, media_type) = (CONTENT.len() as u64, "text/plain".to_owned());
        let mut out = bytes::BytesMut::new();
        encode(&Offer::Here { size, sha256, signature: None, media_type }, &mut out).unwrap();
        out.extend_from_slice(CONTENT);
        send.write_all(&out).await.ok()?;
        send.finish().ok()?;
    }
}

fn quick() -> Backoff {
    Backoff { first_ms: 5, base_ms: 10, max_ms: 20 }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it ends in time")
}

#[tokio::test]
async fn reports_are_applied_once_over_broken_connections() {
    let ca = ca();
    let node = Node::start(&ca, Greeting::Welcome, Some(7));
    let endpoint = Endpoint::open().unwrap();
    let mut devices = Vec::new();
    for number in 0..5 {
        let name = format!("lamp-{number}");
        let options = Options::new(&node.address, &name, identity(&ca, &name)).backoff(quick());
        devices.push(Device::start(&endpoint, options).unwrap());
    }
    for device in &devices {
        for number in 0..40 {
            let message = Message::Report { patch: Value::Int(number), observed_at: None };
            drop(device.send(message).unwrap());
        }
    }
    for device in &devices {
        within(device.flushed()).await.unwrap();
        assert!(device.counts().losses >= 5);
        assert_eq!(device.counts().acked, 40);
    }
    for (name, twin) in node.twins.lock().unwrap().iter() {
        let all: Vec<Value> = (0..40).map(Value::Int).collect();
        assert_eq!(twin.applied, all, "{name}");
    }
}

#[tokio::test]
async fn desired_and_commands_reach_their_handlers() {
    let ca = ca();
    let node = Node::start(&ca, Greeting::Welcome, None);
    let endpoint = Endpoint::open().unwrap();
    let options = Options::new(&node.address, "lamp", identity(&ca, "lamp"));
    let device = within(Device::connect(&endpoint, options)).await.unwrap();
    device.on_desired(|desired| async move {
        if desired.version == 2 { Ok(()) } else { Err("an old one".to_owned()) }
    });
    device.on_command(|command| async move {
        let Value::Int(number) = command.payload else { return Err("a number".to_owned()) };
        Ok(Value::Int(number * 2))
    });
    within(async {
        let answered = |frame: &DeviceFrame| {
            matches!(frame, DeviceFrame::CommandResult { id: 1, result: Ok(Value::Int(42)), .. })
        };
        let showed = |frame: &DeviceFrame| {
            matches!(frame, DeviceFrame::DesiredAck { version: 2, refused: None, .. })
        };
        let is_done = || {
            let twins = node.twins.lock().unwrap();
            let said = &twins["lamp"].said;
            said.iter().any(answered) && said.iter().any(showed)
        };
        while !is_done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let acked = within(device.report(Value::object())).await.unwrap();
    assert_eq!(acked.version, 1);
    device.telemetry_volatile(vec![("t".to_owned(), Value::Float(1.5))]).unwrap();
    within(async {
        while node.volatile.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    device.close();
    assert!(matches!(within(device.report(Value::object())).await, Err(Fault::Queue(_))));
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_refusal_ends_it() {
    let ca = ca();
    let owner = Node::start(&ca, Greeting::Welcome, None);
    let other = Node::start(&ca, Greeting::Redirect(owner.address.clone()), None);
    let endpoint = Endpoint::open().unwrap();
    let options = Options::new(&other.address, "lamp", identity(&ca, "lamp"));
    let device = within(Device::connect(&endpoint, options)).await.unwrap();
    within(device.report(Value::object())).await.unwrap();
    assert_eq!(owner.twins.lock().unwrap()["lamp"].applied.len(), 1);

    let strict = Node::start(&ca, Greeting::Refuse, None);
    let options = Options::new(&strict.address, "lamp", identity(&ca, "lamp"));
    let refused = within(Device::connect(&endpoint, options)).await.err().unwrap();
    assert!(refused.to_string().contains("another device's"), "{refused}");
}

#[tokio::test]
async fn a_node_does_not_say_what_the_right_content_is() {
    let ca = ca();
    let node = Node::start(&ca, Greeting::Welcome, None);
    let endpoint = Endpoint::open().unwrap();
    let options = Options::new(&node.address, "lamp", identity(&ca, "lamp"));
    let device = within(Device::connect(&endpoint, options)).await.unwrap();
    let folder = std::env::temp_dir().join(format!("pollux-lie-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let to = folder.join("firmware");
    let wanted = Download::new("fw", "1", &to).sha256([7; 32]);
    let ended = within(device.download(&wanted)).await;
    let came = to.exists();
    // Whoever asks for no digest takes the node's word.
    let taken = within(device.download(&Download::new("fw", "1", &to))).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(ended, Err(DownloadError::OtherContent { .. })), "{ended:?}");
    assert!(!came, "it has its final name");
    assert_eq!(taken.unwrap().size, 22);
}

#[tokio::test]
async fn a_node_that_knows_no_enrolling_is_told_from_one_that_is_not_there() {
    let ca = ca();
    let node = Node::start(&ca, Greeting::Welcome, None);
    let trust = Trust::from_der([ca.der().clone()]).unwrap();
    let endpoint = Endpoint::open().unwrap();
    let key = DeviceKey::new([7; 32]);
    let ask = async |nodes: &[&str]| {
        let asked = Enrolment::by_key(nodes, "spring", "pump-1", &key, &trust).certificate();
        asked.enrol(&endpoint).await.unwrap_err()
    };
    // Of several, the one that tells more.
    for nodes in [&[node.address.as_str()][..], &["no port", &node.address, "no port"]] {
        match ask(nodes).await {
            EnrolError::Unsupported { address } => assert_eq!(address, node.address),
            other => panic!("{other:?}"),
        }
    }
    let error = ask(&["no port"]).await;
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error:?}");
    let error = ask(&[]).await;
    assert!(matches!(error, EnrolError::Options(_)), "{error:?}");
    let long = Enrolment::by_key(&node.address, "spring", &"a".repeat(999), &key, &trust);
    let error = long.enrol(&endpoint).await.unwrap_err();
    assert!(matches!(error, EnrolError::Options(_)), "{error:?}");
}
