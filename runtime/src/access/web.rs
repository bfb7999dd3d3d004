//! Fetches a small document of the web: one GET, over TLS with certificates checked, bounded in bytes and time. A
//! redirect is refused, since who is believed was named by whoever runs the node.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderMap, LOCATION, USER_AGENT};
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::place::Place;
use crate::limits::{ISSUER_DOCUMENT_BYTES_MAX, ISSUER_FETCH_MAX};
use crate::pki;

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Bytes,
    /// For how long it is good, where the answer says so.
    pub(super) max_age: Option<Duration>,
}

/// Fetches a document; servers are known by the CAs in a file, or by those of the system.
pub(super) async fn get(place: &Place, ca: Option<&Path>) -> Result<Fetched, String> {
    match tokio::time::timeout(ISSUER_FETCH_MAX, Box::pin(fetch(place, ca))).await {
        Ok(fetched) => fetched,
        Err(_) => Err(format!("no whole answer within {} s", ISSUER_FETCH_MAX.as_secs())),
    }
}

async fn fetch(place: &Place, ca: Option<&Path>) -> Result<Fetched, String> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    let stream = stream.map_err(|error| format!("connect: {error}"))?;
    if !place.secure {
        return ask(stream, place).await;
    }
    let ca = ca.map(Path::to_owned);
    // Read each time, so that a new file counts at once; reading blocks.
    let tls = tokio::task::spawn_blocking(move || tls(ca.as_deref())).await;
    let tls = tls.map_err(|error| error.to_string())??;
    let name = ServerName::try_from(place.host.clone()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    ask(stream.map_err(|error| format!("connect by TLS: {error}"))?, place).await
}

fn tls(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let found = ca.map_or_else(pki::system_roots, pki::chain_of);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.map_err(|error| error.to_string())?);
    if roots.is_empty() {
        return Err(
            "there is no CA by which to know the server: name a file with access.jwt_ca".into()
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: &Place,
) -> Result<Fetched, String> {
    let failed = |error: &dyn std::fmt::Display| format!("ask: {error}");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let request = Request::get(&place.path)
        .header(HOST, &place.authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "pollux")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let (head, body) = answer.into_parts();
        accepted(head.status, &head.headers)?;
        let body = Limited::new(body, ISSUER_DOCUMENT_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("read the answer: {error}"))?.to_bytes();
        Ok(Fetched { body, max_age: max_age(&head.headers) })
    };
    beside(connection, answered).await
}

/// The outcome of `asked`, for which `connection` has to be driven, also after its end.
async fn beside<T>(connection: impl Future, asked: impl Future<Output = T>) -> T {
    let (connection, mut asked) = (pin!(connection), pin!(asked));
    tokio::select! {
        biased;
        outcome = &mut asked => outcome,
        _ = connection => asked.await,
    }
}

fn accepted(status: StatusCode, headers: &HeaderMap) -> Result<(), String> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    match to.filter(|_| status.is_redirection()) {
        // Only as much as a line of the trace takes.
        Some(to) => Err(format!(
            "it is elsewhere ({}), and redirects are not followed: name that address if it is to be believed",
            to.chars().take(200).collect::<String>()
        )),
        None => Err(format!("the answer is {status}")),
    }
}

/// For how long an answer is good (RFC 9111, section 5.2.2), if it says so.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let words: Vec<_> = texts.flat_map(|text| text.split(',')).map(str::trim).collect();
    if words
        .iter()
        .any(|word| matches!(word.to_ascii_lowercase().as_str(), "no-store" | "no-cache"))
    {
        return Some(Duration::ZERO);
    }
    let seconds = words.iter().find_map(|word| {
        let (name, seconds) = word.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("max-age")
            .then(|| seconds.trim().trim_matches('"').parse())
    });
    seconds?.ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_is_good() {
        let check = |text: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, text.parse().unwrap());
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{text}");
        };
        check("max-age=300", Some(300));
        check("public, Max-Age = \"60\", must-revalidate", Some(60));
        check("no-store", Some(0));
        check("max-age=10, no-cache", Some(0));
        check("s-maxage=9", None);
        check("max-age=soon", None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_elsewhere_is_not_followed() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://evil.example/keys".parse().unwrap());
        let said = accepted(StatusCode::FOUND, &headers).unwrap_err();
        assert!(said.contains("evil.example") && said.contains("not followed"), "{said}");
        assert!(accepted(StatusCode::NOT_FOUND, &headers).unwrap_err().contains("404"));
        assert_eq!(accepted(StatusCode::OK, &headers), Ok(()));
    }
}
