//! The node's own certificate authorities and what they issue: a device CA for clients, a server
//! CA for the device endpoint, a cluster CA for the nodes among themselves, all made at the first
//! start and kept in `pki/` of the data directory. Who may do what with a proven name is decided
//! elsewhere.

mod authority;
mod error;
mod expiry;
mod files;
mod known;
mod name;
mod reset;
mod rotation;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use authority::{Authority, Identity};
pub use error::PkiError;
pub(crate) use expiry::Expiry;
pub(crate) use files::{read_private, write_private};
pub use name::device_name_of;
pub use pollux_cluster::sha256;
pub(crate) use reset::endpoint_config;
pub(crate) use rotation::ClusterCas;
pub use tls::ClientAuth;
pub use tls::service_tls;

use crate::config::Checked;

/// The folder of the data directory that holds the CAs.
pub const PKI_DIR: &str = "pki";
/// File name (before `.pem` and `.key`) of the CA that signs devices' certificates.
pub const DEVICE_CA: &str = "device-ca";
/// File name (before `.pem` and `.key`) of the CA that signs the device endpoint's certificate.
pub const SERVER_CA: &str = "server-ca";

/// File name (before `.pem` and `.key`) of the CA that signs the nodes' certificates.
pub const CLUSTER_CA: &str = "cluster-ca";

/// Days that a device's certificate is good for, where nobody said so.
pub(crate) const DEVICE_DAYS: u32 = 365;

/// Days that a CA made here is good for: as long as devices stay in the field.
const CA_DAYS: u32 = 20 * 365;
/// Days that the endpoint's certificate is good for; a new one is made at each start.
const SERVER_DAYS: u32 = 2 * 365;

/// What the device endpoint needs to prove itself and to check devices.
#[derive(Debug)]
pub struct Pki {
    device_roots: Vec<CertificateDer<'static>>,
    server: Identity,
}

impl Pki {
    /// Opens what `config` names and makes what is missing; `now` dates new certificates.
    pub fn open(config: &Checked, now: Time) -> Result<Self, PkiError> {
        let dir = config.data_dir.join(PKI_DIR);
        let device_roots = match &config.devices.ca {
            Some(path) => files::read_chain(path)?,
            None => vec![device_authority(&dir, now)?.certificate().clone()],
        };
        let server = match &config.devices.tls {
            Some(pair) => files::read_identity(&pair.cert, &pair.key)?,
            None => server_authority(&dir, now)?.issue_server(
                &config.devices.names,
                now,
                SERVER_DAYS,
            )?,
        };
        Ok(Self { device_roots, server })
    }

    /// What the device endpoint shows.
    pub(crate) fn shown(&self) -> &CertificateDer<'static> {
        &self.server.chain()[0]
    }

    /// The TLS side of the device endpoint: TLS 1.3 only, ALPN `pollux/2` and `pollux/1`, no 0-RTT.
    pub fn server_config(&self, auth: ClientAuth) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        tls::server_config(&self.device_roots, &self.server, auth)
    }
}

/// The first certificate of a PEM file, in DER.
///
/// # Errors
/// When it cannot be read, or has none.
pub fn certificate_of(file: &Path) -> Result<CertificateDer<'static>, PkiError> {
    let first = files::read_chain(file)?.into_iter().next();
    first.ok_or_else(|| files::content(file, "a certificate in PEM form", "it has none"))
}

/// Which of the CAs in a `pki/` folder end soon, or have ended, as sentences for people.
///
/// # Errors
/// When one of them cannot be read.
pub fn alarms(dir: &Path, now: Time) -> Result<Vec<String>, PkiError> {
    Ok(Expiry::of_authorities(dir)?.alarms(now))
}

/// The device CA of a `pki/` folder, made if missing.
pub fn device_authority(dir: &Path, now: Time) -> Result<Authority, PkiError> {
    Authority::open_or_make(dir, DEVICE_CA, "Pollux device CA", now, CA_DAYS)
}

/// The server CA of a `pki/` folder, made if missing.
pub fn server_authority(dir: &Path, now: Time) -> Result<Authority, PkiError> {
    Authority::open_or_make(dir, SERVER_CA, "Pollux server CA", now, CA_DAYS)
}

/// The cluster CA of a `pki/` folder, made if missing.
pub fn cluster_authority(dir: &Path, now: Time) -> Result<Authority, PkiError> {
    Authority::open_or_make(dir, CLUSTER_CA, "Pollux cluster CA", now, CA_DAYS)
}

/// Files that every node of a cluster needs: the CAs by which nodes know each other and devices know
/// nodes with their keys, so that any node may admit another and prove itself; of the devices' CA the
/// certificate alone.
pub(crate) fn shared_files(dir: &Path) -> Result<Vec<(String, String)>, PkiError> {
    let public = [CLUSTER_CA, SERVER_CA, DEVICE_CA].map(|stem| format!("{stem}.pem"));
    let private = [CLUSTER_CA, SERVER_CA].map(|stem| format!("{stem}.key"));
    let mut shared = Vec::new();
    // Those of a rotation that is under way.
    let there = |name: &String| dir.join(name).exists();
    let (next, before) = (rotation::NEXT, rotation::BEFORE);
    let public = public
        .into_iter()
        .chain([next, before].map(|stem| format!("{stem}.pem")).into_iter().filter(there));
    let private = private.into_iter().chain([format!("{next}.key")].into_iter().filter(there));
    for name in public {
        let path = dir.join(&name);
        let text = std::fs::read_to_string(&path).map_err(|error| files::file(&path, error))?;
        shared.push((name, text));
    }
    for name in private {
        let text = read_private(&dir.join(&name))?;
        shared.push((name, text));
    }
    Ok(shared)
}

/// Writes such files, keys for their owner only. Other names are refused.
pub(crate) fn write_files(dir: &Path, shared: &[(String, String)]) -> Result<(), PkiError> {
    files::make_dir(dir)?;
    for (name, text) in shared {
        let stem = name.strip_suffix(".pem").or_else(|| name.strip_suffix(".key"));
        let known = [CLUSTER_CA, SERVER_CA, DEVICE_CA, rotation::NEXT, rotation::BEFORE];
        if !stem.is_some_and(|stem| known.contains(&stem)) {
            let wanted = "the name of a CA's file";
            return Err(files::content(&dir.join("(received)"), wanted, format!("{name:?}")));
        }
        let path = dir.join(name);
        match name.ends_with(".key") {
            true => write_private(&path, text)?,
            false => files::write_public(&path, text)?,
        }
    }
    Ok(())
}

/// Where the certificate is by which a device recognises the node.
pub fn server_ca_path(data_dir: &Path) -> PathBuf {
    data_dir.join(PKI_DIR).join(format!("{SERVER_CA}.pem"))
}

/// The hash of a certificate in PEM form.
pub(crate) fn print_of(pem: &str) -> Result<[u8; 32], PkiError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    Ok(pollux_cluster::fingerprint(&certificate))
}
