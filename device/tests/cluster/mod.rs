//! Three small nodes that share what is written: one owns the shard, each behaves as it is told.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pollux_proto::device::{
    AckResult, Decoder, DeviceFrame, Limits, NodeFrame, RefusedReason, Replica, encode,
};
use pollux_twin::Value;
use tokio::sync::broadcast;

use crate::pki::{self, Ca};

pub(crate) const NODES: usize = 3;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// By the book: welcomes what it owns, and sends others to the owner.
    Sound,
    /// Keeps its socket, reads nothing and answers nothing.
    Silent,
    /// Sends every device to that node.
    Redirects(usize),
    /// Holds hellos until it is sound again.
    Holds,
    /// Has no room for a hello.
    Busy,
    /// Refuses connections.
    Full,
}

#[derive(Default)]
pub(crate) struct Twin {
    pub(crate) session: u64,
    incarnation: u64,
    last: u64,
    pub(crate) applied: Vec<Value>,
    /// Frames that came under a number that was taken already.
    pub(crate) repeated: u64,
}

pub(crate) struct Cluster {
    pub(crate) addresses: Vec<String>,
    endpoints: Vec<quinn::Endpoint>,
    manners: Mutex<Vec<Manner>>,
    owner: Mutex<(usize, u64)>,
    twins: Mutex<BTreeMap<String, Twin>>,
    /// Hellos that each node has read.
    hellos: Mutex<Vec<u64>>,
    orders: broadcast::Sender<(usize, NodeFrame)>,
}

impl Cluster {
    pub(crate) fn start(ca: &Ca) -> Arc<Self> {
        let endpoints: Vec<_> = (0..NODES).map(|_| pki::endpoint(ca)).collect();
        let address = |endpoint: &quinn::Endpoint| endpoint.local_addr().unwrap().to_string();
        let cluster = Arc::new(Self {
            addresses: endpoints.iter().map(address).collect(),
            endpoints,
            manners: Mutex::new(vec![Manner::Sound; NODES]),
            owner: Mutex::new((0, 1)),
            twins: Mutex::default(),
            hellos: Mutex::new(vec![0; NODES]),
            orders: broadcast::channel(16).0,
        });
        for number in 0..NODES {
            tokio::spawn(Arc::clone(&cluster).accept(number));
        }
        cluster
    }

    pub(crate) fn manner(&self, number: usize, manner: Manner) {
        self.manners.lock().unwrap()[number] = manner;
    }

    /// Another node owns the shard.
    pub(crate) fn elect(&self, number: usize) {
        let mut owner = self.owner.lock().unwrap();
        *owner = (number, owner.1 + 1);
    }

    pub(crate) fn epoch(&self) -> (u64, u64) {
        (self.owner.lock().unwrap().1, 1)
    }

    /// Tells all devices of a node.
    pub(crate) fn tell(&self, number: usize, frame: NodeFrame) {
        self.orders.send((number, frame)).unwrap();
    }

    /// The node is gone without a word: nothing that is sent to its address arrives any more.
    pub(crate) fn kill(&self, number: usize) {
        self.manner(number, Manner::Silent);
        self.endpoints[number].rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    }

    pub(crate) fn twins(&self) -> MutexGuard<'_, BTreeMap<String, Twin>> {
        self.twins.lock().unwrap()
    }

    pub(crate) fn hellos(&self, number: usize) -> u64 {
        self.hellos.lock().unwrap()[number]
    }

    pub(crate) fn connections(&self, number: usize) -> usize {
        self.endpoints[number].open_connections()
    }

    fn is(&self, number: usize, manner: Manner) -> bool {
        self.manners.lock().unwrap()[number] == manner
    }

    async fn accept(self: Arc<Self>, number: usize) {
        while let Some(incoming) = self.endpoints[number].accept().await {
            if self.is(number, Manner::Full) {
                incoming.refuse();
                continue;
            }
            let cluster = Arc::clone(&self);
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    cluster.serve(number, connection).await;
                }
            });
        }
    }

    async fn serve(&self, number: usize, connection: quinn::Connection) -> Option<()> {
        let mut orders = self.orders.subscribe();
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let mut decoder = Decoder::<DeviceFrame>::new();
        let (mut name, mut session) = (String::new(), 0);
        loop {
            let mut answers = Vec::new();
            tokio::select! {
                read = recv.read_chunk(4096, true) => {
                    let chunk = read.ok()??;
                    while self.is(number, Manner::Silent) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    decoder.push(&chunk.bytes);
                    while let Some(frame) = decoder.poll().unwrap() {
                        if let DeviceFrame::Hello { device, incarnation, .. } = frame {
                            self.hellos.lock().unwrap()[number] += 1;
                            name = device;
                            while self.is(number, Manner::Holds) {
                                tokio::time::sleep(Duration::from_millis(2)).await;
                            }
                            answers.push(self.greet(number, &name, incarnation));
                            session = self.twins()[&name].session;
                        } else {
                            answers.extend(self.answer(number, &name, session, frame));
                        }
                    }
                }
                order = orders.recv() => {
                    if let (to, frame) = order.ok()? && to == number && session > 0 {
                        answers.push(frame);
                    }
                }
            }
            let mut out = bytes::BytesMut::new();
            answers.iter().for_each(|answer| encode(answer, &mut out).unwrap());
            send.write_all(&out).await.ok()?;
        }
    }

    fn greet(&self, number: usize, name: &str, incarnation: u64) -> NodeFrame {
        let mut twins = self.twins();
        let twin = twins.entry(name.to_owned()).or_default();
        let (owner, _) = *self.owner.lock().unwrap();
        let to = match self.manners.lock().unwrap()[number] {
            Manner::Redirects(to) => to,
            Manner::Busy => {
                return NodeFrame::Refused {
                    reason: RefusedReason::Busy,
                    message: "an election is under way".to_owned(),
                    retry_after_ms: Some(50),
                };
            }
            _ => owner,
        };
        if to != number {
            let address = self.addresses[to].clone();
            return NodeFrame::Redirect { address, epoch: self.epoch() };
        }
        if twin.incarnation != incarnation {
            (twin.incarnation, twin.last) = (incarnation, 0);
        }
        twin.session += 1;
        let others = self.addresses.iter().enumerate().filter(|(other, _)| *other != number);
        NodeFrame::Welcome {
            session: twin.session,
            last_seq: twin.last,
            desired_version: 0,
            desired: Value::object(),
            reported_version: 0,
            limits: Limits {
                frame_bytes_max: 1 << 17,
                in_flight_max: 16,
                section_bytes_max: 1 << 16,
            },
            replicas: others.map(|(_, to)| Replica { address: to.clone() }).collect(),
        }
    }

    fn answer(
        &self,
        number: usize,
        name: &str,
        session: u64,
        frame: DeviceFrame,
    ) -> Option<NodeFrame> {
        let mut twins = self.twins();
        let twin = twins.entry(name.to_owned()).or_default();
        let (seq, patch) = match frame {
            DeviceFrame::Report { seq, patch, .. } => (seq, patch),
            DeviceFrame::Ping { nonce } => return Some(NodeFrame::Pong { nonce }),
            other => panic!("not expected here: {other:?}"),
        };
        if self.owner.lock().unwrap().0 != number || session != twin.session {
            // What it writes is not committed any more.
            return None;
        }
        if seq > twin.last + 1 {
            let expected = Some(twin.last + 1);
            return Some(NodeFrame::Nack { seq, expected, retry_after_ms: 0 });
        }
        if seq == twin.last + 1 {
            twin.last = seq;
            twin.applied.push(patch);
        } else {
            twin.repeated += 1;
        }
        let version = twin.applied.len().try_into().unwrap();
        Some(NodeFrame::Ack { seq, result: AckResult::Done { version } })
    }
}
