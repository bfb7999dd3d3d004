//! Keys and certificates on disk: PEM, keys readable by their owner only, written whole or not at
//! all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Identity;
use super::error::PkiError;

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Makes `dir` and its parents, open to the owner only.
pub(super) fn make_dir(dir: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| file(dir, e))
}

/// Writes a public file.
pub(super) fn write_public(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, PUBLIC).map_err(|e| file(path, e))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, PRIVATE).map_err(|e| file(path, e))
}

/// Reads a private key's PEM text, refusing a file that others may read.
pub(crate) fn read_private(path: &Path) -> Result<String, PkiError> {
    let mode = fs::metadata(path).map_err(|e| file(path, e))?.mode();
    if mode & 0o077 != 0 {
        return Err(PkiError::Exposed { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(|e| file(path, e))
}

/// Reads all certificates of a PEM file, at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let text = fs::read(path).map_err(|e| file(path, e))?;
    let wanted = "certificates in PEM form";
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(content(path, wanted, "there is none")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(content(path, wanted, error)),
    }
}

/// Reads a certificate chain and its key.
pub(super) fn read_identity(cert: &Path, key: &Path) -> Result<Identity, PkiError> {
    let chain = read_chain(cert)?;
    let text = read_private(key)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| content(key, "a private key in PEM form", error))?;
    Ok(Identity::new(chain, private))
}

pub(super) fn file(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.to_owned(), source }
}

pub(super) fn content(path: &Path, wanted: &'static str, why: impl ToString) -> PkiError {
    PkiError::Content { path: path.to_owned(), wanted, reason: why.to_string() }
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let removed = fs::remove_file(&new);
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, path)?;
    let dir =
        path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}
