//! How a cluster is reached: nodes, certificates, a token. Checked before anything is dialled.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use crate::error::Error;
use crate::limits::{CONNECT_MAX, NODES_MAX, PROBE_EVERY, PROBE_MAX, RESUME, TIMEOUT};

/// How a cluster is reached.
///
/// ```
/// # fn read(_: &str) -> std::io::Result<Vec<u8>> { Ok(Vec::new()) }
/// # fn main() -> std::io::Result<()> {
/// use pollux_client::Options;
///
/// let options = Options::new(["https://a.pollux.example:4434", "https://b.pollux.example:4434"])
///     .ca(read("ca.pem")?)
///     .token("…");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Options {
    nodes: Vec<String>,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    token: Option<String>,
    plain: bool,
    pub(crate) timeout: Duration,
    pub(crate) resume: Duration,
}

impl Options {
    /// Any nodes will do, all of them or a few, such as `https://node.example:4434`; of several, another is asked
    /// where one does not answer.
    pub fn new<Address: Into<String>>(nodes: impl IntoIterator<Item = Address>) -> Self {
        Self {
            nodes: nodes.into_iter().map(Into::into).collect(),
            ca: None,
            identity: None,
            token: None,
            plain: false,
            timeout: TIMEOUT,
            resume: RESUME,
        }
    }

    /// The CA of the nodes' certificates, in PEM.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// The caller's certificate and its key, in PEM, where the way to the nodes asks for one.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The token that says who calls. It goes in the clear to this machine only, unless [`Self::plain`] allows it.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The network is safe enough for a token without TLS.
    #[must_use]
    pub const fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// How long a call may take in all, with its repetitions: 10 s unless said otherwise.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For how long watches and consumers look for a node after their stream broke: 60 s unless said otherwise.
    #[must_use]
    pub const fn resume_for(mut self, resume: Duration) -> Self {
        self.resume = resume;
        self
    }

    /// Each node's address as it was given, with the way there.
    pub(crate) fn endpoints(&self) -> Result<Vec<(String, Endpoint)>, Error> {
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            let message = format!(
                "{} nodes are named; name 1 to {NODES_MAX}, such as https://node.example:4434",
                self.nodes.len()
            );
            return Err(Error::usage(message));
        }
        self.nodes.iter().map(|node| Ok((node.clone(), self.endpoint(node)?))).collect()
    }

    fn endpoint(&self, node: &str) -> Result<Endpoint, Error> {
        let wrong = |error: &dyn fmt::Display| Error::usage(format!("{node}: {error}"));
        let url = if node.contains("://") { node.to_owned() } else { format!("http://{node}") };
        let endpoint = Endpoint::from_shared(url).map_err(|error| wrong(&error))?;
        let tls = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong(&"is neither http:// nor https://")),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT_MAX.min(self.timeout))
            .http2_keep_alive_interval(PROBE_EVERY)
            .keep_alive_timeout(PROBE_MAX)
            .keep_alive_while_idle(true);
        if !tls {
            let here = is_here(endpoint.uri());
            if self.token.is_some() && !self.plain && !here {
                return Err(wrong(
                    &"the token would travel in the clear; use https://, or allow it where the network is safe",
                ));
            }
            return Ok(endpoint);
        }
        let mut tls = ClientTlsConfig::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        endpoint.tls_config(tls).map_err(|error| wrong(&error))
    }

    /// How the token is sent. What is no token is refused before it travels, and not shown.
    pub(crate) fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let Some(token) = &self.token else { return Ok(None) };
        let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let value =
            plain.then(|| MetadataValue::try_from(format!("Bearer {token}")).ok()).flatten();
        let mut value =
            value.ok_or_else(|| Error::usage("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Whether it is an address of this machine.
fn is_here(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor the key.
        f.debug_struct("Options")
            .field("nodes", &self.nodes)
            .field("token", &self.token.is_some())
            .field("identity", &self.identity.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_way_to_a_node_is_said() {
        let check = |options: Options, expected: &str| {
            let error = options.endpoints().expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(Options::new(Vec::<String>::new()), "0 nodes are named");
        check(Options::new(["ftp://node"]), "neither http:// nor https://");
        check(Options::new(["http://"]), "http://: ");
        let token = |node| Options::new([node]).token("t");
        check(token("http://node.example:4434"), "in the clear");
        for node in ["http://127.0.0.1:4434", "localhost:4434", "http://[::1]:4434"] {
            assert!(token(node).endpoints().is_ok(), "{node}");
        }
        assert!(token("http://node.example:4434").plain().endpoints().is_ok());
    }

    #[test]
    fn tokens_are_checked_and_never_shown() {
        let options = Options::new(["localhost"]).token("s3cret").identity("pem", "k3y");
        let shown = format!("{options:?} {:?}", options.authorization());
        assert!(!shown.contains("s3cret") && !shown.contains("k3y"), "{shown}");
        for bad in ["", "two words", "å"] {
            assert!(Options::new(["localhost"]).token(bad).authorization().is_err(), "{bad}");
        }
    }
}
