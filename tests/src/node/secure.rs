//! HTTP over TLS by hand, to see what an endpoint shows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::node::Identity;

/// Longest wait for bytes, on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to an endpoint for services.
pub struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Connects as `localhost`, trusting one CA, with a certificate or none, and shakes hands.
    pub fn connect(
        address: &str,
        trust: &CertificateDer<'static>,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trust.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let config = match identity {
            Some(own) => {
                builder.with_client_auth_cert(own.chain().to_vec(), own.key().clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut stream = StreamOwned::new(tls, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    /// The certificate that the endpoint showed.
    pub fn shown(&self) -> Result<CertificateDer<'static>> {
        let chain = self.0.conn.peer_certificates().context("it shows one")?;
        Ok(chain[0].clone().into_owned())
    }

    /// Sends a request with a JSON body, if it has one, and takes the answer with its head. The connection may be used
    /// again.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        let kind = "content-type: application/json";
        self.0.write_all(
            format!("{head}{kind}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
        )?;
        let (mut answer, mut chunk) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.context(text.clone())?.parse()? {
                    return Ok(text);
                }
            }
            match self.0.read(&mut chunk)? {
                0 => return Ok(text),
                count => answer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
