//! Comes to enrol: dials one node after the other, asks once on a connection, and takes what it is given. Who may have
//! what, the nodes decide; all of them can, but for a certificate, which only one may be able to sign.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pollux_proto::device::enrolment::{Credential, ENROL_ALPN, Enrol, Enrolled as Answer};
use pollux_proto::device::{Decoder, RefusedReason, encode};
use pollux_proto::enrol::{Claim, NO_AUTHORITY};
use pollux_proto::limits::RETRY_MS;
use pollux_twin::id::DEFAULT_TENANT;
use quinn::{Connection, ConnectionError, ReadError};
use rcgen::{CertificateParams, KeyPair};

use super::DeviceKey;
use crate::clock::wall_ms;
use crate::dial::Endpoint;
use crate::error::{EnrolError, Fault};
use crate::limits::{ADDRESSES_MAX, ENROL_ANSWER_MS, READ_BYTES_MAX, RETRY_AFTER_MS_MAX};
use crate::options::Addresses;
use crate::tls::{Identity, Trust};

/// The transport's code for the alert of TLS that no protocol is shared (RFC 9001, 4.8; RFC 7301, 3.2).
const NO_SUCH_PROTOCOL: u64 = 0x100 + 120;

/// What a device asks to be given. Cheap to clone.
#[derive(Clone)]
pub struct Enrolment {
    addresses: Addresses,
    server_name: Option<Arc<str>>,
    identity: Identity,
    key: Option<DeviceKey>,
    tenant: Arc<str>,
    name: Arc<str>,
    device: Arc<str>,
    wanted: Wanted,
}

/// What it wants.
#[derive(Clone)]
enum Wanted {
    Token,
    /// A certificate over a key that is made here.
    Certificate,
    /// One over the key of this request.
    Signed(Arc<str>),
}

/// What a device has by an enrolment.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its token, for [`Options::token`](crate::Options::token), if that was asked for.
    pub token: Option<String>,
    /// Its certificate in PEM, if that was asked for.
    pub certificate: Option<String>,
    /// The private key of that in PEM, if it was made here.
    pub key: Option<String>,
    /// Until when that is good, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// The CA of the nodes in PEM; empty where they have none of their own.
    pub server_ca: String,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the token nor the key is printed.
        f.debug_struct("Enrolled")
            .field("certificate", &self.certificate)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl Enrolled {
    /// What the device connects with: its certificate, or none where it has a token.
    pub fn identity(&self, trust: &Trust) -> Result<Identity, Fault> {
        match (&self.certificate, &self.key) {
            (None, _) => Ok(Identity::anonymous(trust)),
            (Some(certificate), Some(key)) => {
                Identity::from_pem_trusting(certificate.as_bytes(), key.as_bytes(), trust)
            }
            (Some(_), None) => Err(Fault::Identity(
                "the certificate's key was not made here; use Identity::from_pem with it".into(),
            )),
        }
    }
}

/// Why a node gave nothing.
enum Ended {
    /// All nodes would say so.
    For(EnrolError),
    /// Another one may give it.
    Here(EnrolError),
}

impl Enrolment {
    /// By the device's own key, at nodes that it trusts: a token, where nothing else is asked for.
    pub fn by_key(
        nodes: impl Into<Addresses>,
        enrolment: &str,
        device: &str,
        key: &DeviceKey,
        trust: &Trust,
    ) -> Self {
        let identity = Identity::anonymous(trust);
        Self { key: Some(key.clone()), ..Self::by_claim(nodes, enrolment, device, identity) }
    }

    /// By the certificate that all of its batch have.
    pub fn by_claim(
        nodes: impl Into<Addresses>,
        enrolment: &str,
        device: &str,
        claim: Identity,
    ) -> Self {
        Self {
            addresses: nodes.into(),
            server_name: None,
            identity: claim,
            key: None,
            tenant: DEFAULT_TENANT.into(),
            name: enrolment.into(),
            device: device.into(),
            wanted: Wanted::Token,
        }
    }

    /// Of another tenant than the default one.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The name in the nodes' certificates, where it is not that of the address.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// A certificate in place of a token, over a key that is made for it.
    #[must_use]
    pub fn certificate(mut self) -> Self {
        self.wanted = Wanted::Certificate;
        self
    }

    /// A certificate over a key that the device has, as in hardware, by a signing request (PKCS #10) in PEM.
    #[must_use]
    pub fn csr(mut self, pem: &str) -> Self {
        self.wanted = Wanted::Signed(pem.into());
        self
    }

    /// Asks one node after the other until one gives it, each once: when to ask again, the error says.
    ///
    /// What it gets replaces what it got before. The device's clock must be right to five minutes.
    pub async fn enrol(&self, endpoint: &Endpoint) -> Result<Enrolled, EnrolError> {
        let nodes = self.addresses.as_slice();
        if !(1..=ADDRESSES_MAX).contains(&nodes.len()) {
            let (given, most) = (nodes.len(), ADDRESSES_MAX);
            let text = format!("addresses: {given} given; 1 to {most} are allowed");
            return Err(Fault::Options(text).into());
        }
        let (csr, key) = self.request()?;
        // Each proof is newer than the one before, which may have been answered without being heard.
        let mut at_ms = wall_ms();
        let mut last = None;
        for node in nodes {
            let asked = self.asked(at_ms, csr.as_deref());
            match self.at(endpoint, node, &asked).await {
                Ok(given) => return Ok(Enrolled { key, ..given }),
                Err(Ended::For(error)) => return Err(error),
                Err(Ended::Here(error)) => last = Some(telling(last, error)),
            }
            at_ms = wall_ms().max(at_ms + 1);
        }
        Err(last.expect("there is a node"))
    }

    /// The signing request, if there is one, and the key that was made for it.
    fn request(&self) -> Result<(Option<String>, Option<String>), Fault> {
        let failed = |error: rcgen::Error| Fault::Identity(error.to_string());
        match &self.wanted {
            Wanted::Token => Ok((None, None)),
            Wanted::Signed(csr) => Ok((Some(csr.to_string()), None)),
            Wanted::Certificate => {
                let key = KeyPair::generate().map_err(failed)?;
                let request = CertificateParams::default().serialize_request(&key);
                let csr = request.and_then(|request| request.pem()).map_err(failed)?;
                Ok((Some(csr), Some(key.serialize_pem())))
            }
        }
    }

    fn asked(&self, at_ms: u64, csr: Option<&str>) -> Enrol {
        let claim = Claim {
            tenant: &self.tenant,
            enrolment: &self.name,
            device: &self.device,
            at_ms,
            csr: csr.unwrap_or_default(),
        };
        Enrol {
            tenant: self.tenant.to_string(),
            enrolment: self.name.to_string(),
            device: self.device.to_string(),
            at_ms,
            csr: csr.map(str::to_owned),
            hmac_sha256: self.key.as_ref().map(|key| key.prove(&claim)),
        }
    }

    async fn at(&self, endpoint: &Endpoint, node: &str, asked: &Enrol) -> Result<Enrolled, Ended> {
        let mut words = BytesMut::new();
        encode(asked, &mut words)
            .map_err(|error| Ended::For(Fault::Options(error.to_string()).into()))?;
        let config = self.identity.speaking(&[ENROL_ALPN]);
        let dialled = endpoint.dial(node, self.server_name.as_deref(), config).await;
        let connection =
            dialled.map_err(|undialled| lost(node, undialled.error.as_ref(), undialled.reason))?;
        let patience = Duration::from_millis(ENROL_ANSWER_MS);
        let answer = tokio::time::timeout(patience, ask(&connection, &words, node)).await;
        connection.close(0_u32.into(), b"");
        match answer.unwrap_or_else(|_| Err(lost(node, None, format!("{node} does not answer"))))? {
            Answer::Given { credential, expires_at_ms, server_ca } => {
                let (token, certificate) = match credential {
                    Credential::Token(token) => (Some(token), None),
                    Credential::Certificate(pem) => (None, Some(pem)),
                };
                Ok(Enrolled { token, certificate, key: None, expires_at_ms, server_ca })
            }
            Answer::Refused { reason: RefusedReason::Busy, message, retry_after_ms, .. } => {
                let retry_after_ms =
                    u64::from(retry_after_ms.unwrap_or(RETRY_MS)).min(RETRY_AFTER_MS_MAX);
                Err(Ended::Here(EnrolError::Busy { message, retry_after_ms }))
            }
            Answer::Refused { why, message, .. } => {
                let elsewhere = why.as_deref() == Some(NO_AUTHORITY);
                let error = EnrolError::Refused { why, message };
                Err(if elsewhere { Ended::Here(error) } else { Ended::For(error) })
            }
        }
    }
}

async fn ask(connection: &Connection, words: &[u8], node: &str) -> Result<Answer, Ended> {
    let broke = |error: &ConnectionError| lost(node, Some(error), format!("{node}: {error}"));
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| broke(&error))?;
    // Where that fails, the read says why.
    if send.write_all(words).await.is_ok() {
        let _ = send.finish();
    }
    let mut decoder = Decoder::<Answer>::new();
    let protocol = |message: String| Ended::Here(EnrolError::Protocol { message });
    loop {
        if let Some(answer) = decoder.poll().map_err(|error| protocol(error.to_string()))? {
            return Ok(answer);
        }
        match recv.read_chunk(READ_BYTES_MAX, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) => return Err(protocol("it ended without an answer".into())),
            Err(ReadError::ConnectionLost(error)) => return Err(broke(&error)),
            Err(error) => return Err(lost(node, None, format!("{node}: {error}"))),
        }
    }
}

/// A node was not reached, or lost.
fn lost(node: &str, error: Option<&ConnectionError>, message: String) -> Ended {
    Ended::Here(match error {
        Some(ConnectionError::ConnectionClosed(close))
            if u64::from(close.error_code) == NO_SUCH_PROTOCOL =>
        {
            EnrolError::Unsupported { address: node.to_owned() }
        }
        _ => EnrolError::Unreachable { message },
    })
}

/// Of what two nodes said, what tells more.
fn telling(before: Option<EnrolError>, error: EnrolError) -> EnrolError {
    let weight = |error: &EnrolError| match error {
        EnrolError::Busy { .. } => 4,
        EnrolError::Refused { .. } => 3,
        EnrolError::Protocol { .. } | EnrolError::Options(_) => 2,
        EnrolError::Unsupported { .. } => 1,
        EnrolError::Unreachable { .. } => 0,
    };
    match before {
        Some(before) if weight(&before) > weight(&error) => before,
        _ => error,
    }
}
