//! The node's own certificate authorities and what they issue: a device CA for clients, a server
//! CA for the device endpoint, a cluster CA for the nodes among themselves, all made at the first
//! start and kept in `pki/` of the data directory. Who may do what with a proven name is decided
//! elsewhere.

mod authority;
mod certificates;
mod claims;
mod devices;
mod error;
mod expiry;
mod files;
mod known;
mod live;
mod name;
mod reset;
mod rotation;
mod services;
mod tls;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use authority::{Authority, Identity};
pub(crate) use certificates::{Certificates, Looked, Part};
pub(crate) use claims::{must_be_ca, vouches};
pub(crate) use devices::DeviceCertificates;
pub use devices::Pki;
pub use error::PkiError;
pub(crate) use expiry::{What, is_old};
pub(crate) use files::{read_private, write_private};
pub(crate) use live::LiveTls;
pub use name::device_name_of;
pub use pollux_cluster::sha256;
pub(crate) use reset::endpoint_config;
pub(crate) use rotation::ClusterCas;
pub(crate) use services::ServiceCertificates;
pub use tls::ClientAuth;

use crate::config::Checked;

/// The folder of the data directory that holds the CAs.
pub const PKI_DIR: &str = "pki";
/// File name (before `.pem` and `.key`) of the CA that signs devices' certificates.
pub const DEVICE_CA: &str = "device-ca";
/// File name (before `.pem` and `.key`) of the CA that signs the device endpoint's certificate.
pub const SERVER_CA: &str = "server-ca";

/// File name (before `.pem` and `.key`) of the CA that signs the nodes' certificates.
pub const CLUSTER_CA: &str = "cluster-ca";

/// Where systems keep the CAs that they trust: Debian and its kin, Fedora and its, SUSE, Alpine and BSD.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Characters of a line of a PEM file (RFC 7468).
const PEM_LINE: usize = 64;

/// Days that a device's certificate is good for, where nobody said so.
pub(crate) const DEVICE_DAYS: u32 = 365;

/// Days that a CA made here is good for: as long as devices stay in the field.
const CA_DAYS: u32 = 20 * 365;
/// Days that the endpoint's certificate is good for; a new one is made at each start, and when a third of it is
/// left.
const SERVER_DAYS: u32 = 2 * 365;

/// The first certificate of a PEM file, in DER.
///
/// # Errors
/// When it cannot be read, or has none.
pub fn certificate_of(file: &Path) -> Result<CertificateDer<'static>, PkiError> {
    let first = files::read_chain(file)?.into_iter().next();
    first.ok_or_else(|| files::content(file, "a certificate in PEM form", "it has none"))
}

/// All certificates of a PEM file.
pub(crate) fn chain_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    files::read_chain(file)
}

/// The CAs that the system trusts, from the file that it keeps them in.
pub(crate) fn system_roots() -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
    match named.or(usual) {
        Some(file) => files::read_chain(&file),
        None => Ok(Vec::new()),
    }
}

/// Which of the CAs in a `pki/` folder end soon, or have ended, as sentences for people.
///
/// # Errors
/// When one of them cannot be read.
pub fn alarms(dir: &Path, now: Time) -> Result<Vec<String>, PkiError> {
    Ok(expiry::Expiry::of_authorities(dir)?.alarms(now))
}

/// What is wrong with the files of certificates, keys and CAs that a configuration names, as sentences for people.
pub fn unfit_files(config: &Checked, now: Time) -> Vec<String> {
    let of_devices = (config.devices.ca.is_some() || config.devices.tls.is_some())
        .then(|| Pki::open(config, now).and_then(|pki| pki.fit(now)));
    let services = config.services.tls.as_ref();
    let of_services = services.map(|files| ServiceCertificates::open(files)?.fit(now));
    let problem =
        |of: &str, done: Option<Result<(), PkiError>>| Some(format!("{of}: {}", done?.err()?));
    [problem("devices", of_devices), problem("services", of_services)]
        .into_iter()
        .flatten()
        .collect()
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

/// A certificate in PEM form.
pub(crate) fn pem_of(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The hash of a certificate in PEM form.
pub(crate) fn print_of(pem: &str) -> Result<[u8; 32], PkiError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    Ok(pollux_cluster::fingerprint(&certificate))
}
