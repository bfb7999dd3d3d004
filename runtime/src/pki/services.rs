//! What the endpoints for services show: read when the node starts, and again when the files are others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;

use super::certificates::{Looked, Part};
use super::expiry::What;
use super::live::LiveTls;
use super::{Identity, PkiError, files, tls};
use crate::config::TlsFiles;
use crate::fault::Fault;

const GRPC: &[&[u8]] = &[b"h2"];
const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What is in use at these endpoints.
pub(crate) struct ServiceCertificates {
    files: TlsFiles,
    present: Mutex<Identity>,
    grpc: Arc<LiveTls>,
    http: Arc<LiveTls>,
    /// Whether callers are asked for certificates.
    asks: Arc<AtomicBool>,
}

impl ServiceCertificates {
    /// Of a chain and its key.
    pub(crate) fn open(files: &TlsFiles) -> Result<Arc<Self>, PkiError> {
        let present = files::read_identity(&files.cert, &files.key)?;
        let asks = Arc::new(AtomicBool::new(false));
        Ok(Arc::new(Self {
            files: files.clone(),
            grpc: LiveTls::new(tls::service_config(&present, GRPC, &asks)?),
            http: LiveTls::new(tls::service_config(&present, HTTP, &asks)?),
            present: Mutex::new(present),
            asks,
        }))
    }

    /// Whether it does at this time.
    pub(super) fn fit(&self, now: Time) -> Result<(), PkiError> {
        tls::fit(&self.present.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// From now on callers are asked for certificates, or not.
    pub(crate) fn set_asks(&self, asks: bool) {
        self.asks.store(asks, Ordering::Release);
    }

    /// TLS for gRPC by what is in use.
    pub(crate) fn grpc(&self) -> Arc<LiveTls> {
        Arc::clone(&self.grpc)
    }

    /// The same for HTTP.
    pub(crate) fn http(&self) -> Arc<LiveTls> {
        Arc::clone(&self.http)
    }
}

impl Part for ServiceCertificates {
    fn name(&self) -> &'static str {
        "services"
    }

    fn look(&self, now: Time) -> Result<Looked, Fault> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let found = files::read_identity(&self.files.cert, &self.files.key)?;
        if present.is(&found) {
            return Ok(Looked::Same);
        }
        tls::fit(&found, now)?;
        let grpc = tls::service_config(&found, GRPC, &self.asks)?;
        let http = tls::service_config(&found, HTTP, &self.asks)?;
        self.grpc.set(grpc);
        self.http.set(http);
        *present = found;
        Ok(Looked::Taken)
    }

    fn shown(&self) -> Vec<(What, CertificateDer<'static>)> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        vec![(What::Services, present.chain()[0].clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Authority, unfit_files};
    use crate::config::Layers;
    use pollux_twin::Time;

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        const NOW: Time = Time::from_ms(1_790_000_000_000);
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let ca = Authority::open_or_make(dir.path(), "ca", "a CA", NOW, 1000).unwrap();
        let issue = |cert: &str, days: u32| {
            ca.issue_server(&[], NOW, days).unwrap().write(&at(cert), &at("key.pem")).unwrap();
        };
        issue("cert.pem", 10);
        let (cert, key) = (at("cert.pem"), at("key.pem"));
        let text =
            format!("data_dir = {:?}\n[services]\ncert = {cert:?}\nkey = {key:?}", at("data"));
        let config = Layers::new().text(&text, "a.toml").check().unwrap();
        let check = |at: Time, expected: Option<&str>| {
            let said = unfit_files(&config, at);
            assert_eq!(said.len(), usize::from(expected.is_some()), "{said:?}");
            assert!(
                said.iter().all(|said| said.contains(expected.unwrap_or_default())),
                "{said:?}"
            );
        };
        check(NOW, None);
        check(Time::from_ms(NOW.ms + 11 * 24 * 3600 * 1000), Some("services: certificates are"));
        issue("other.pem", 10);
        check(NOW, Some("KeyMismatch"));
    }
}
