//! TLS of devices' connections, as quinn drives it: rustls until a handshake is over, and after it
//! only the device's name and the secrets of later keys. Most connections are quiet, and what rustls
//! would go on to hold for each (the certificate chain, its buffers, its state) is of no more use.
//! What a name may do is decided by the endpoint; what a certificate must be, by `pki`.

use std::any::Any;
use std::sync::Arc;

use pollux_proto::device::enrolment::ENROL_ALPN;
use pollux_twin::TwinKey;
use pollux_twin::registration::Digest;
use quinn::Connection;
use quinn::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::pki_types::CertificateDer;
use rustls::quic::{KeyChange, Secrets, ServerConnection, Suite, Version};
use rustls::{AlertDescription, CipherSuite};

use super::client_hello::{Names, names};
use super::later_keys::LaterKeys;
use crate::pki::{LiveTls, device_name_of, sha256};

/// The one version of QUIC that devices speak.
pub(crate) const QUIC_VERSION: u32 = 1;

/// What a device's certificate names, or why it names nothing.
pub(crate) type PeerName = Result<Peer, Box<str>>;

/// A device by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Whom it names.
    pub(crate) key: TwinKey,
    /// The certificate's SHA-256.
    pub(crate) certificate: Digest,
}

/// Who comes to enrol, and the certificates that it showed, of which nothing is known but that it has the key. It is no
/// device, whatever they say.
#[derive(Clone)]
pub(crate) struct Claimant(pub(crate) Arc<[CertificateDer<'static>]>);

impl Claimant {
    /// Who comes by a connection, if it comes to enrol.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        Some(*connection.peer_identity()?.downcast().ok()?)
    }
}

/// The device endpoint's side of TLS.
pub(crate) struct DeviceTls {
    devices: Arc<LiveTls>,
    enrol: Arc<LiveTls>,
    initial: Suite,
    /// For what needs no session.
    quic: QuicServerConfig,
}

impl DeviceTls {
    /// From configurations that rustls takes for QUIC, for devices and for those who come to enrol; refused if it does
    /// not.
    pub(crate) fn new([devices, enrol]: [Arc<LiveTls>; 2]) -> Result<Self, rustls::Error> {
        let tls = devices.now();
        let unusable = |what: &str| rustls::Error::General(what.to_owned());
        let suites = &tls.crypto_provider().cipher_suites;
        let initial = suites
            .iter()
            .filter(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256)
            .find_map(|suite| suite.tls13()?.quic_suite())
            .ok_or_else(|| unusable("QUIC begins with AES-128-GCM, which the provider lacks"))?;
        let quic = QuicServerConfig::with_initial(Arc::clone(&tls), initial)
            .map_err(|error| unusable(&error.to_string()))?;
        // Whatever rustls holds against the configuration, it says here and not at a connect.
        ServerConnection::new(tls, Version::V1, Vec::new())?;
        ServerConnection::new(enrol.now(), Version::V1, Vec::new())?;
        Ok(Self { devices, enrol, initial, quic })
    }

    /// Begins with a client that has said for what it comes.
    fn begin(&self, names: Names, parameters: Vec<u8>) -> Box<ServerConnection> {
        let live = if names == Names::It { &self.enrol } else { &self.devices };
        let tls = ServerConnection::new(live.now(), Version::V1, parameters)
            .expect("the first one was tried, and others differ from it in certificates only");
        Box::new(tls)
    }
}

impl crypto::ServerConfig for DeviceTls {
    fn initial_keys(&self, version: u32, to: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        if version != QUIC_VERSION {
            return Err(UnsupportedVersion);
        }
        crypto::ServerConfig::initial_keys(&self.quic, version, to)
    }

    fn retry_tag(&self, version: u32, to: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.quic.retry_tag(version, to, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let mut encoded = Vec::new();
        parameters.write(&mut encoded);
        let initial = self.initial;
        let stage =
            Stage::Hello(Box::new(Hello { tls: self, parameters: encoded, words: Vec::new() }));
        Box::new(TlsSession { initial, stage, secrets: None, later: None })
    }
}

/// One connection.
struct TlsSession {
    initial: Suite,
    stage: Stage,
    /// Of the first keys after those of the handshake's end, until they are asked for.
    secrets: Option<Box<Secrets>>,
    /// The last keys that quinn was given for later.
    later: Option<Arc<LaterKeys>>,
}

enum Stage {
    /// The client has not said yet for what it comes.
    Hello(Box<Hello>),
    Handshake(Box<ServerConnection>),
    /// With the device's name, if it showed a certificate.
    Over(Option<PeerName>),
    /// The same of who comes to enrol.
    Claimed(Claimant),
}

/// What is needed to begin, and the client's words so far.
struct Hello {
    tls: Arc<DeviceTls>,
    parameters: Vec<u8>,
    words: Vec<u8>,
}

impl Stage {
    const fn tls(&self) -> Option<&ServerConnection> {
        match self {
            Self::Handshake(tls) => Some(tls),
            Self::Hello(_) | Self::Over(_) | Self::Claimed(_) => None,
        }
    }
}

impl crypto::Session for TlsSession {
    fn initial_keys(&self, to: &ConnectionId, side: Side) -> Keys {
        keys(self.initial.keys(to, side.into(), Version::V1))
    }

    /// Nobody asks: the only protocol is the one that was agreed on, whatever name was dialled.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// A [`PeerName`], none of a device without certificate; a [`Claimant`] of who comes to enrol. None before the
    /// handshake is over.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        match &self.stage {
            Stage::Over(Some(name)) => Some(Box::new(name.clone())),
            Stage::Claimed(claimant) => Some(Box::new(claimant.clone())),
            Stage::Hello(_) | Stage::Over(None) | Stage::Handshake(_) => None,
        }
    }

    /// Never: 0-RTT is off (safety rule 17).
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Hello(_))
            || self.stage.tls().is_some_and(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let words;
        let mut bytes = bytes;
        if let Stage::Hello(hello) = &mut self.stage {
            hello.words.extend_from_slice(bytes);
            let names = names(&hello.words, ENROL_ALPN);
            if names == Names::NotYet {
                return Ok(false);
            }
            words = std::mem::take(&mut hello.words);
            bytes = &words;
            self.stage =
                Stage::Handshake(hello.tls.begin(names, std::mem::take(&mut hello.parameters)));
        }
        let Stage::Handshake(tls) = &mut self.stage else {
            // Key updates are QUIC's own business, and no other message is allowed to a client.
            let reason = "a TLS message after the handshake; there must be none";
            return Err(refusal(Some(AlertDescription::UnexpectedMessage), reason.to_owned()));
        };
        tls.read_hs(bytes).map_err(|error| refusal(tls.alert(), error.to_string()))?;
        Ok(false)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let encoded = self.stage.tls().and_then(|tls| tls.quic_transport_parameters());
        let read = |mut bytes: &[u8]| TransportParameters::read(Side::Server, &mut bytes);
        Ok(encoded.map(read).transpose()?)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let Stage::Handshake(tls) = &mut self.stage else { return None };
        let change = tls.write_hs(out);
        if change.is_none() && out.is_empty() && !tls.is_handshaking() {
            let chain = tls.peer_certificates().unwrap_or_default();
            if tls.alpn_protocol() == Some(ENROL_ALPN) {
                let shown = chain.iter().map(|one| one.clone().into_owned()).collect();
                self.stage = Stage::Claimed(Claimant(shown));
                return None;
            }
            let name = chain.first().map(|own| {
                let key =
                    device_name_of(own).map_err(|error| error.to_string().into_boxed_str())?;
                Ok(Peer { key, certificate: sha256(own) })
            });
            self.stage = Stage::Over(name);
        }
        match change? {
            KeyChange::Handshake { keys: next } => Some(keys(next)),
            KeyChange::OneRtt { keys: next, next: secrets } => {
                self.secrets = Some(Box::new(secrets));
                Some(keys(next))
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let secrets = match &self.later {
            Some(last) => last.secrets_after(),
            None => *self.secrets.take()?,
        };
        let (later, keys) = LaterKeys::after(secrets);
        self.later = Some(later);
        Some(keys)
    }

    /// Servers get no retry packets.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nothing is bound to a connection by such material, and what it would come from is let go.
    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn keys(keys: rustls::quic::Keys) -> Keys {
    let rustls::quic::Keys { local, remote } = keys;
    Keys {
        header: KeyPair { local: Box::new(local.header), remote: Box::new(remote.header) },
        packet: KeyPair { local: Box::new(local.packet), remote: Box::new(remote.packet) },
    }
}

fn refusal(alert: Option<AlertDescription>, reason: String) -> TransportError {
    let code = match alert {
        Some(alert) => TransportErrorCode::crypto(alert.into()),
        None => TransportErrorCode::PROTOCOL_VIOLATION,
    };
    TransportError { code, frame: None, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use crate::config::Layers;
    use crate::pki::{Authority, ClientAuth, Identity, Pki, device_authority, server_authority};
    use pollux_proto::device::ALPN;
    use pollux_twin::Time;
    use quinn::crypto::rustls::QuicClientConfig;
    use quinn::{ConnectionError, Endpoint, EndpointConfig, TokioRuntime};

    #[expect(clippy::disallowed_methods, reason = "rustls checks dates against the real clock")]
    fn now() -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Time::from_ms(since.as_secs() * 1000)
    }

    struct Place {
        dir: tempfile::TempDir,
        server: Endpoint,
        client: Endpoint,
    }

    fn live(pki: &Pki, auth: ClientAuth) -> [Arc<LiveTls>; 2] {
        [pki.server_config(auth), pki.enrol_config()].map(|config| LiveTls::new(config.unwrap()))
    }

    fn socket() -> UdpSocket {
        UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
    }

    fn place(auth: ClientAuth) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let config = Layers::new().flag("data_dir", Some(path), "--data-dir").check().unwrap();
        let pki = Pki::open(&config, now()).unwrap();
        let tls = DeviceTls::new(live(&pki, auth)).unwrap();
        let server = quinn::ServerConfig::with_crypto(Arc::new(tls));
        let endpoint = |server| {
            let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
            Endpoint::new(config, server, socket(), runtime).unwrap()
        };
        Place { dir, server: endpoint(Some(server)), client: endpoint(None) }
    }

    /// Both ends of a connection, greeted over one stream.
    async fn connect(place: &Place, device: Option<&Identity>) -> (Connection, Connection) {
        let (client, server) = dial(place, device, ALPN).await;
        (client.unwrap(), server.unwrap())
    }

    /// The same for any protocol, as each end sees it.
    async fn dial(
        place: &Place,
        device: Option<&Identity>,
        protocol: &[u8],
    ) -> (Result<Connection, ConnectionError>, Result<Connection, ConnectionError>) {
        let mut roots = rustls::RootCertStore::empty();
        let pki = place.dir.path().join("pki");
        roots.add(server_authority(&pki, now()).unwrap().certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = match device {
            None => builder.with_no_client_auth(),
            Some(id) => {
                builder.with_client_auth_cert(id.chain().to_vec(), id.key().clone_key()).unwrap()
            }
        };
        tls.alpn_protocols = vec![protocol.to_vec()];
        let tls = Arc::new(QuicClientConfig::try_from(tls).unwrap());
        let to = place.server.local_addr().unwrap();
        let config = quinn::ClientConfig::new(tls);
        let connecting = place.client.connect_with(config, to, "localhost").unwrap();
        let accepted = async { place.server.accept().await.unwrap().await };
        tokio::join!(connecting, accepted)
    }

    async fn exchange(client: &Connection, server: &Connection) {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.write_all(b"ping").await.unwrap();
        let (mut answer, mut asked) = server.accept_bi().await.unwrap();
        let mut bytes = [0; 4];
        asked.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        answer.write_all(b"pong").await.unwrap();
        recv.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"pong");
    }

    fn name_of(connection: &Connection) -> Option<PeerName> {
        connection.peer_identity().map(|name| *name.downcast::<PeerName>().unwrap())
    }

    #[tokio::test]
    async fn a_device_is_known_and_keys_may_change_at_any_time() {
        let place = place(ClientAuth::Required);
        let ca = device_authority(&place.dir.path().join("pki"), now()).unwrap();
        let key = TwinKey::parse("acme/pump").unwrap();
        let device = ca.issue_device(&key, now(), 1).unwrap();
        let (client, server) = connect(&place, Some(&device)).await;
        let certificate = sha256(&device.chain()[0]);
        assert_eq!(name_of(&server), Some(Ok(Peer { key, certificate })));
        exchange(&client, &server).await;
        // The next keys are made only now, by either side's wish, and again for the phase after.
        for side in [&client, &server, &server, &client] {
            side.force_key_update();
            exchange(&client, &server).await;
            exchange(&client, &server).await;
        }
    }

    #[tokio::test]
    async fn without_a_certificate_there_is_no_name() {
        let place = place(ClientAuth::Optional);
        let (client, server) = connect(&place, None).await;
        exchange(&client, &server).await;
        assert_eq!(name_of(&server), None);
    }

    #[tokio::test]
    async fn who_comes_to_enrol_is_no_device_and_no_device_comes_by_a_claim() {
        let place = place(ClientAuth::Required);
        let ca = device_authority(&place.dir.path().join("pki"), now()).unwrap();
        let works = Authority::open_or_make(place.dir.path(), "works", "a CA", now(), 9).unwrap();
        let device = ca.issue_device(&TwinKey::parse("acme/pump").unwrap(), now(), 1).unwrap();
        let claim = works.issue_claim("acme", "spring", now(), 1).unwrap();
        for shown in [None, Some(&claim), Some(&device)] {
            let (client, server) = dial(&place, shown, ENROL_ALPN).await;
            let (client, server) = (client.unwrap(), server.unwrap());
            exchange(&client, &server).await;
            let Claimant(chain) = Claimant::of(&server).expect("it is no device");
            assert_eq!(chain.first(), shown.map(|one| &one.chain()[0]));
        }
        assert!(dial(&place, Some(&claim), ALPN).await.1.is_err(), "a claim as a device");
        assert!(dial(&place, None, ALPN).await.1.is_err(), "nothing as a device");
        assert!(dial(&place, Some(&device), b"pollux/9").await.1.is_err());
        let (_client, server) = connect(&place, Some(&device)).await;
        assert!(Claimant::of(&server).is_none() && name_of(&server).is_some());
    }

    #[test]
    fn other_versions_of_quic_are_not_spoken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().to_str().unwrap().to_owned();
        let config = Layers::new().flag("data_dir", Some(path), "--data-dir").check().unwrap();
        let pki = Pki::open(&config, now()).unwrap();
        let tls = DeviceTls::new(live(&pki, ClientAuth::Required)).unwrap();
        let to = ConnectionId::new(&[7; 8]);
        assert!(crypto::ServerConfig::initial_keys(&tls, QUIC_VERSION, &to).is_ok());
        assert!(crypto::ServerConfig::initial_keys(&tls, 0xff00_001d, &to).is_err());
    }
}
