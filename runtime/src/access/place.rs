//! Where something is on the web, and whether a node may fetch it there: by https, or by http from its own machine.
//! Owns no sockets; `web` has them.

use std::fmt;
use std::net::IpAddr;

use axum::http::Uri;
use axum::http::uri::Scheme;

use crate::limits::ISSUER_URL_BYTES_MAX;

/// An address that may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) secure: bool,
    /// As TLS and the system's resolver take it: without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port, as they are written.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Place {
    /// From a URL, or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "it takes a URL such as https://id.example/keys";
        if text.len() > ISSUER_URL_BYTES_MAX {
            return Err(format!("it takes up to {ISSUER_URL_BYTES_MAX} bytes"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("{RIGHT}: {error}"))?;
        let authority = uri.authority().ok_or(RIGHT)?;
        if authority.as_str().contains('@') {
            return Err("it takes a URL without a name and a password in it".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(RIGHT.into());
        }
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if !secure && uri.scheme() != Some(&Scheme::HTTP) {
            return Err(RIGHT.into());
        }
        if !secure && !is_own(&host) {
            return Err(
                "it takes https: whoever is on the way could put keys of their own in an answer"
                    .into(),
            );
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { secure, host, port, authority: authority.as_str().to_owned(), path })
    }

    /// Where an issuer tells of itself (OpenID Connect Discovery 1.0, section 4).
    pub(crate) fn of_discovery(issuer: &str) -> Result<Self, String> {
        Self::parse(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// Whether it is this machine.
fn is_own(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_change_on_the_way_is_fetched() {
        let place = Place::parse("https://id.example/keys?v=1").unwrap();
        let parts = (place.secure, &*place.host, place.port, &*place.path);
        assert_eq!(parts, (true, "id.example", 443, "/keys?v=1"));
        assert_eq!(place.to_string(), "https://id.example/keys?v=1");
        for (own, host, port) in [
            ("http://127.0.0.1:8080/keys", "127.0.0.1", 8080),
            ("http://localhost", "localhost", 80),
            ("http://[::1]:99/", "::1", 99),
        ] {
            let place = Place::parse(own).unwrap();
            assert_eq!((&*place.host, place.port), (host, port));
        }
        let refused = |text: &str, why: &str| {
            let said = Place::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        };
        refused("http://id.example/keys", "it takes https");
        refused("http://127.0.0.1.example/keys", "it takes https");
        refused("http://10.0.0.1/keys", "it takes https");
        refused("ftp://id.example/", "such as https://");
        refused("keys.json", "such as https://");
        refused("https:///keys", "such as https://");
        refused("https://me:word@id.example/", "without a name and a password");
        refused(&format!("https://id.example/{}", "a".repeat(3000)), "up to 2048 bytes");
    }

    #[test]
    fn an_issuer_tells_of_itself_below_its_name() {
        for issuer in ["https://id.example/realms/a", "https://id.example/realms/a/"] {
            let place = Place::of_discovery(issuer).unwrap();
            assert_eq!(place.path, "/realms/a/.well-known/openid-configuration");
        }
    }
}
