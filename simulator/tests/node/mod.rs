//! A small node in memory: the real twin machine behind QUIC and gRPC, without log or disk, and
//! with bugs that can be put in, to see whether the simulator finds them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pollux_proto::convert;
use pollux_proto::device::convert::{Received, WelcomeTerms};
use pollux_proto::device::{Decoder, DeviceFrame, NodeFrame, Replica, encode};
use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::commands_server::{Commands, CommandsServer};
use pollux_proto::v1::twins_server::{Twins, TwinsServer};
use pollux_simulator::Identities;
use pollux_simulator::echo::{ServerTls, endpoint};
use pollux_twin::input::{CallId, CallKey, ConnectionId, FromDevice};
use pollux_twin::output::{Answer, ToDevice};
use pollux_twin::registration::Shown;
use pollux_twin::{Input, JsonLimits, Limits, Output, Rejection, Time, Twin, TwinKey};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What the node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Acknowledges the 20th report of a device and forgets it.
    Loses,
    /// Applies the 20th report of a device twice.
    Doubles,
    /// Breaks every connection now and then, which is no bug.
    Breaks,
}

pub(crate) struct Pki {
    pub(crate) trust: Vec<u8>,
    pub(crate) identities: Identities,
    pub(crate) server: ServerTls,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), key)
        };
        let (device_ca, device_key) = authority("device CA");
        let (server_ca, server_key) = authority("server CA");
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        let issuer = Issuer::from_ca_cert_pem(&server_ca, server_key).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let device_ca = device_ca.into_bytes();
        Self {
            trust: server_ca.into_bytes(),
            identities: Identities::Authority {
                certificate: device_ca.clone(),
                key: device_key.serialize_pem().into_bytes(),
            },
            server: ServerTls {
                certificate: certificate.into_bytes(),
                key: key.serialize_pem().into_bytes(),
                device_ca,
            },
        }
    }
}

#[derive(Default)]
struct Slot {
    twin: Twin,
    reports: u64,
    replicas: Vec<String>,
    /// Outboxes of connections: before their session by connection, then the session's.
    greeting: BTreeMap<u64, mpsc::Sender<NodeFrame>>,
    session: Option<(u64, mpsc::Sender<NodeFrame>)>,
    calls: BTreeMap<u64, oneshot::Sender<Result<Answer, Rejection>>>,
}

pub(crate) struct Node {
    pub(crate) bug: Bug,
    slots: Mutex<BTreeMap<String, Slot>>,
    ids: AtomicU64,
    /// Where devices find it, and which of these places owns the shard. The others send devices
    /// there, and one that has lost the shard falls silent.
    places: Vec<String>,
    owner: AtomicUsize,
}

impl Node {
    /// Starts it; where devices and services find it.
    pub(crate) async fn start(pki: &Pki, bug: Bug) -> (SocketAddr, String) {
        let (node, services) = Self::start_at(pki, bug, 1).await;
        (node.places[0].parse().unwrap(), services)
    }

    /// Starts one that devices find at several places, as if they were nodes of a cluster.
    pub(crate) async fn start_at(pki: &Pki, bug: Bug, places: usize) -> (Arc<Self>, String) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let quic: Vec<_> =
            (0..places).map(|_| endpoint(any, &pki.server, Arc::default()).unwrap()).collect();
        let node = Arc::new(Self {
            bug,
            slots: Mutex::default(),
            ids: AtomicU64::new(0),
            places: quic.iter().map(|quic| quic.local_addr().unwrap().to_string()).collect(),
            owner: AtomicUsize::new(0),
        });
        for (place, quic) in quic.into_iter().enumerate() {
            let serving = Arc::clone(&node);
            tokio::spawn(async move {
                while let Some(incoming) = quic.accept().await {
                    let node = Arc::clone(&serving);
                    tokio::spawn(async move {
                        if let Ok(connection) = incoming.await {
                            node.session(place, connection).await;
                        }
                    });
                }
            });
        }
        let listener = tokio::net::TcpListener::bind(any).await.unwrap();
        let services = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(TwinsServer::from_arc(Arc::clone(&node)))
            .add_service(CommandsServer::from_arc(Arc::clone(&node)))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (node, services)
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.places.clone()
    }

    /// The shard belongs to another place from now on.
    pub(crate) fn elect(&self, place: usize) {
        self.owner.store(place, Ordering::Release);
    }

    fn owns(&self, place: usize) -> bool {
        self.owner.load(Ordering::Acquire) == place
    }

    async fn session(&self, place: usize, connection: quinn::Connection) -> Option<()> {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let (outbox, mut out) = mpsc::channel(1_000);
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            while let Some(frame) = out.recv().await {
                let mut bytes = bytes::BytesMut::new();
                encode(&frame, &mut bytes).unwrap();
                if send.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let mut decoder = Decoder::<DeviceFrame>::new();
        let mut name = String::new();
        let mut session = 0;
        let mut frames = 0;
        while let Ok(Some(chunk)) = recv.read_chunk(64 * 1024, true).await {
            while session > 0 && !self.owns(place) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            decoder.push(&chunk.bytes);
            while let Some(frame) = decoder.poll().unwrap() {
                frames += 1;
                if self.bug == Bug::Breaks && frames > 50 {
                    connection.close(0u32.into(), b"now and then");
                    return None;
                }
                match Received::from(frame) {
                    Received::Hello(_) if !self.owns(place) => {
                        let owner = self.owner.load(Ordering::Acquire);
                        let address = self.places[owner].clone();
                        let epoch = (owner as u64 + 1, 1);
                        outbox.try_send(NodeFrame::Redirect { address, epoch }).unwrap();
                    }
                    Received::Hello(hello) => {
                        name = hello.device;
                        let mut slots = self.slots.lock().unwrap();
                        let slot = slots.entry(name.clone()).or_default();
                        slot.greeting.insert(id, outbox.clone());
                        let connection = ConnectionId(id);
                        let incarnation = hello.incarnation;
                        slot.replicas.clone_from(&self.places);
                        slot.handle(Input::Hello {
                            connection,
                            incarnation,
                            node: 1,
                            shown: Shown::Certificate(None),
                        });
                        session = slot.session.as_ref().unwrap().0;
                    }
                    // This node knows no others that it could relay to.
                    Received::Relay { .. } => {}
                    Received::Message(message) => self.message(&name, session, message),
                    Received::Ping { nonce } => {
                        outbox.try_send(NodeFrame::Pong { nonce }).unwrap();
                    }
                }
            }
        }
        let mut slots = self.slots.lock().unwrap();
        slots.entry(name).or_default().handle(Input::Disconnected { session });
        None
    }

    fn message(&self, name: &str, session: u64, message: FromDevice) {
        let mut slots = self.slots.lock().unwrap();
        let slot = slots.get_mut(name).unwrap();
        let is_report = matches!(message, FromDevice::Report { .. });
        slot.reports += u64::from(is_report);
        let struck = is_report && slot.reports == 20;
        let before = slot.twin.clone();
        let again = message.clone();
        slot.handle(Input::Device { session, message });
        match (self.bug, again) {
            (Bug::Loses, _) if struck => slot.twin = before,
            (Bug::Doubles, FromDevice::Report { seq, patch, .. }) if struck => {
                // As a node would that does not look at numbers: the same patch over another.
                let other = pollux_twin::Value::from_json(r#"{"n":0}"#, &JsonLimits::default());
                for (seq, patch) in [(seq + 1, other.unwrap()), (seq + 2, patch)] {
                    let message = FromDevice::Report { seq, patch, observed_at: None };
                    let held = slot.session.take();
                    slot.handle(Input::Device { session, message });
                    slot.session = held;
                }
            }
            _ => {}
        }
    }

    async fn call(&self, call: convert::Call) -> Result<(TwinKey, Answer), Status> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut slots = self.slots.lock().unwrap();
            let slot = slots.entry(call.key.device().to_owned()).or_default();
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            slot.calls.insert(id, sender);
            slot.handle(Input::Call {
                call: CallId(id),
                caller: "test".to_owned(),
                key: call.idempotency_key.map(CallKey::Own),
                request: call.request,
            });
        }
        match receiver.await.unwrap() {
            Ok(answer) => Ok((call.key, answer)),
            Err(rejection) => Err(to_status(&rejection)),
        }
    }
}

impl Slot {
    fn handle(&mut self, input: Input) {
        let now = Time::from_ms(1_000);
        // A message of an earlier session is dropped.
        let _dropped = self.twin.handle(now, &Limits::default(), input);
        let limits = pollux_proto::device::Limits::default();
        let replicas = self.replicas.iter().cloned().map(|address| Replica { address }).collect();
        let terms = WelcomeTerms { limits, replicas };
        while let Some(output) = self.twin.poll_output() {
            match output {
                Output::Change(_) => {}
                Output::Device { session, message } => {
                    if let ToDevice::Welcome { connection, .. } = &message {
                        let outbox = self.greeting.remove(&connection.0).unwrap();
                        self.session = Some((session, outbox));
                    }
                    if let Some((current, outbox)) = &self.session
                        && *current == session
                    {
                        let frame = NodeFrame::from_message(session, message, || terms.clone());
                        let _gone = outbox.try_send(frame);
                    }
                }
                Output::Answer { call, result } => {
                    if let Some(waiting) = self.calls.remove(&call.0) {
                        let _gone = waiting.send(result);
                    }
                }
            }
        }
    }
}

fn refused(rejection: Rejection) -> Status {
    to_status(&rejection)
}

fn other<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this node"))
}

#[tonic::async_trait]
impl Twins for Node {
    async fn get(
        &self,
        request: Request<v1::GetTwinRequest>,
    ) -> Result<Response<v1::GetTwinResponse>, Status> {
        let call = convert::get(request.get_ref()).map_err(refused)?;
        let (key, answer) = self.call(call).await?;
        let Answer::Twin(view) = answer else { return other() };
        let twin = Some(convert::twin_to_v1(&key, &view));
        Ok(Response::new(v1::GetTwinResponse { twin, ..Default::default() }))
    }

    async fn patch(
        &self,
        request: Request<v1::PatchTwinRequest>,
    ) -> Result<Response<v1::PatchTwinResponse>, Status> {
        let call = convert::patch(request.into_inner(), &JsonLimits::default()).map_err(refused)?;
        let (_, answer) = self.call(call).await?;
        Ok(Response::new(convert::written(answer).unwrap()))
    }

    async fn delete(
        &self,
        _: Request<v1::DeleteTwinRequest>,
    ) -> Result<Response<v1::DeleteTwinResponse>, Status> {
        other()
    }

    async fn list(
        &self,
        _: Request<v1::ListTwinsRequest>,
    ) -> Result<Response<v1::ListTwinsResponse>, Status> {
        other()
    }

    type QueryStream = tokio_stream::Empty<Result<v1::QueryResponse, Status>>;

    async fn query(
        &self,
        _: Request<v1::QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        other()
    }

    type WatchStream = tokio_stream::Empty<Result<v1::WatchResponse, Status>>;

    async fn watch(
        &self,
        _: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        other()
    }
}

#[tonic::async_trait]
impl Commands for Node {
    async fn send(
        &self,
        request: Request<v1::SendCommandRequest>,
    ) -> Result<Response<v1::SendCommandResponse>, Status> {
        let limits = JsonLimits::default();
        let call = convert::send_command(request.into_inner(), &limits).map_err(refused)?;
        let (_, answer) = self.call(call).await?;
        let command = Some(convert::sent(answer).unwrap());
        Ok(Response::new(v1::SendCommandResponse { command }))
    }

    async fn get(
        &self,
        _: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        other()
    }

    async fn cancel(
        &self,
        _: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        other()
    }

    async fn list(
        &self,
        _: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        other()
    }
}
