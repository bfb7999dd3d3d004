//! What the device endpoint shows, and by which CAs it accepts devices: read when the node starts, and again when the
//! files are others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;

use super::certificates::{Looked, Part};
use super::expiry::{What, is_old};
use super::live::LiveTls;
use super::{
    ClientAuth, DEVICE_CA, Identity, PKI_DIR, PkiError, SERVER_CA, SERVER_DAYS, certificate_of,
    device_authority, files, server_authority, tls,
};
use crate::config::{Checked, TlsFiles};
use crate::fault::Fault;

/// What the device endpoint needs to prove itself and to check devices, as it is on disk.
#[derive(Debug)]
pub struct Pki {
    device_roots: Vec<CertificateDer<'static>>,
    server: Identity,
    /// Who issued it, where the node did.
    server_ca: Option<CertificateDer<'static>>,
}

/// Where that comes from.
#[derive(Clone, Debug)]
struct Sources {
    dir: PathBuf,
    ca: Option<PathBuf>,
    tls: Option<TlsFiles>,
    names: Vec<String>,
}

impl Pki {
    /// Opens what `config` names and makes what is missing; `now` dates new certificates.
    pub fn open(config: &Checked, now: Time) -> Result<Self, PkiError> {
        Sources::of(config).open(now)
    }

    /// The TLS side of the device endpoint: TLS 1.3 only, ALPN `pollux/2` and `pollux/1`, no 0-RTT.
    pub fn server_config(&self, auth: ClientAuth) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        tls::server_config(&self.device_roots, &self.server, auth)
    }

    /// The same for those who come to enrol, who are no devices yet.
    pub fn enrol_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        tls::enrol_config(&self.server)
    }

    /// Whether it does at this time.
    pub(super) fn fit(&self, now: Time) -> Result<(), PkiError> {
        tls::fit(&self.server, now)?;
        tls::some_fit(&self.device_roots, now)
    }
}

impl Sources {
    fn of(config: &Checked) -> Self {
        Self {
            dir: config.data_dir.join(PKI_DIR),
            ca: config.devices.ca.clone(),
            tls: config.devices.tls.clone(),
            names: config.devices.names.clone(),
        }
    }

    fn open(&self, now: Time) -> Result<Pki, PkiError> {
        if self.ca.is_none() {
            device_authority(&self.dir, now)?;
        }
        if self.tls.is_none() {
            server_authority(&self.dir, now)?;
        }
        Ok(self.again(None, now)?.expect("without one before, there is always another"))
    }

    /// What is on disk now, if that is not what there was. Makes no CA.
    fn again(&self, before: Option<&Pki>, now: Time) -> Result<Option<Pki>, PkiError> {
        let device_roots = match &self.ca {
            Some(path) => files::read_chain(path)?,
            None => vec![certificate_of(&self.dir.join(format!("{DEVICE_CA}.pem")))?],
        };
        let same_roots = before.is_some_and(|before| before.device_roots == device_roots);
        let (server, server_ca) = match &self.tls {
            Some(pair) => {
                let server = files::read_identity(&pair.cert, &pair.key)?;
                if same_roots && before.is_some_and(|before| before.server.is(&server)) {
                    return Ok(None);
                }
                (server, None)
            }
            None => {
                let ca = certificate_of(&self.dir.join(format!("{SERVER_CA}.pem")))?;
                let issued = before.filter(|before| before.server_ca.as_ref() == Some(&ca));
                let old =
                    issued.map(|before| is_old(&before.server.chain()[0], now)).transpose()?;
                if same_roots && old == Some(false) {
                    return Ok(None);
                }
                let authority = server_authority(&self.dir, now)?;
                (authority.issue_server(&self.names, now, SERVER_DAYS)?, Some(ca))
            }
        };
        Ok(Some(Pki { device_roots, server, server_ca }))
    }
}

/// What is in use at the device endpoint.
pub(crate) struct DeviceCertificates {
    sources: Sources,
    auth: ClientAuth,
    present: Mutex<Pki>,
    live: Arc<LiveTls>,
    enrol: Arc<LiveTls>,
}

impl DeviceCertificates {
    /// As `config` names it; makes what is missing.
    pub(crate) fn open(config: &Checked, now: Time) -> Result<Arc<Self>, PkiError> {
        let auth = if config.devices.tokens { ClientAuth::Optional } else { ClientAuth::Required };
        let sources = Sources::of(config);
        let present = sources.open(now)?;
        let live = LiveTls::new(present.server_config(auth)?);
        let enrol = LiveTls::new(present.enrol_config()?);
        Ok(Arc::new(Self { sources, auth, present: Mutex::new(present), live, enrol }))
    }

    /// TLS by what is in use, for devices and for those who come to enrol.
    pub(crate) fn live(&self) -> [Arc<LiveTls>; 2] {
        [Arc::clone(&self.live), Arc::clone(&self.enrol)]
    }

    fn present(&self) -> MutexGuard<'_, Pki> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part for DeviceCertificates {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn look(&self, now: Time) -> Result<Looked, Fault> {
        let mut present = self.present();
        let Some(found) = self.sources.again(Some(&present), now)? else { return Ok(Looked::Same) };
        found.fit(now)?;
        let (live, enrol) = (found.server_config(self.auth)?, found.enrol_config()?);
        self.live.set(live);
        self.enrol.set(enrol);
        *present = found;
        Ok(Looked::Taken)
    }

    fn shown(&self) -> Vec<(What, CertificateDer<'static>)> {
        vec![(What::Server, self.present().server.chain()[0].clone())]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Layers;
    use crate::pki::Authority;

    const NOW: Time = Time::from_ms(1_790_000_000_000);
    const DAY_MS: u64 = 24 * 3600 * 1000;

    fn days(days: u64) -> Time {
        Time::from_ms(NOW.ms + days * DAY_MS)
    }

    #[test]
    fn what_the_node_issues_to_itself_is_renewed_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let config = Layers::new().flag("data_dir", Some(path), "--data-dir").check().unwrap();
        let part = DeviceCertificates::open(&config, NOW).unwrap();
        let first = part.shown();
        assert_eq!(part.look(days(100)).unwrap(), Looked::Same);
        assert_eq!(part.look(days(600)).unwrap(), Looked::Taken);
        assert_ne!(part.shown(), first);
        assert_eq!(part.look(days(600)).unwrap(), Looked::Same);
        // A CA that is gone is not made again: devices would know nobody.
        fs::remove_file(dir.path().join("pki/server-ca.pem")).unwrap();
        assert!(part.look(days(600)).unwrap_err().to_string().contains("server-ca.pem"));
    }

    #[test]
    fn files_are_taken_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let ca = Authority::open_or_make(&at("own"), "ca", "a CA", NOW, 1000).unwrap();
        let issue = |name: &str, days: u32| {
            ca.issue_server(&[], NOW, days).unwrap().write(&at(name), &at("key.pem")).unwrap();
        };
        issue("cert.pem", 10);
        fs::copy(at("own/ca.pem"), at("ca.pem")).unwrap();
        let text = format!(
            "data_dir = {:?}\n[devices]\nca = {:?}\ncert = {:?}\nkey = {:?}",
            at("data"),
            at("ca.pem"),
            at("cert.pem"),
            at("key.pem")
        );
        let config = Layers::new().text(&text, "a.toml").check().unwrap();
        let part = DeviceCertificates::open(&config, NOW).unwrap();
        let (first, tls) = (part.shown(), part.live()[0].now());
        let refused = |expected: &str| {
            let said = part.look(days(1)).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert!(Arc::ptr_eq(&tls, &part.live()[0].now()) && part.shown() == first);
        };
        // The key alone is another one: a copy that is under way, as it were.
        issue("other.pem", 10);
        refused("KeyMismatch");
        fs::copy(at("other.pem"), at("cert.pem")).unwrap();
        fs::write(at("ca.pem"), "half a").unwrap();
        refused("ca.pem does not hold certificates in PEM form");
        fs::remove_file(at("ca.pem")).unwrap();
        refused("ca.pem cannot be used");
        let past = Authority::open_or_make(&at("past"), "ca", "a CA", NOW, 0).unwrap();
        drop(past);
        fs::copy(at("past/ca.pem"), at("ca.pem")).unwrap();
        refused("all of them have ended");
        fs::copy(at("own/ca.pem"), at("ca.pem")).unwrap();
        issue("cert.pem", 0);
        refused("it ended 1 days ago");
        issue("cert.pem", 10);
        assert_eq!(part.look(days(1)).unwrap(), Looked::Taken);
        assert!(part.shown() != first && !Arc::ptr_eq(&tls, &part.live()[0].now()));
    }
}
