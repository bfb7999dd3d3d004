//! Certificates of simulated devices: issued on the spot by a device CA, or read from a folder.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pollux_device::{Identity, Trust};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;

use crate::fault::Fault;

/// Where the devices' identities come from.
#[derive(Clone)]
pub enum Identities {
    /// A device CA, as PEM texts; the simulator issues what it needs.
    Authority {
        /// The CA's certificate.
        certificate: Vec<u8>,
        /// Its key.
        key: Vec<u8>,
    },
    /// A folder with `<device>.pem` and `<device>.key` for each device.
    Directory(PathBuf),
}

/// Makes the identity of each device.
///
/// All issued devices share one P-256 key: making ten thousand keys would cost seconds and show
/// nothing, and a node checks each certificate and signature all the same.
pub(crate) struct Register {
    source: Source,
    trust: Trust,
}

enum Source {
    Issue(Box<Issuing>),
    Read(PathBuf),
}

struct Issuing {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
}

impl Register {
    pub(crate) fn new(identities: &Identities, trust_pem: &[u8]) -> Result<Self, Fault> {
        let trust = Trust::from_pem(trust_pem)?;
        let source = match identities {
            Identities::Directory(path) => Source::Read(path.clone()),
            Identities::Authority { certificate, key } => {
                let ca_key = KeyPair::from_pem(text(key)?).map_err(broken)?;
                let issuer =
                    Issuer::from_ca_cert_pem(text(certificate)?, ca_key).map_err(broken)?;
                let key = KeyPair::generate().map_err(broken)?;
                let der = PrivatePkcs8KeyDer::from(key.serialize_der());
                let provider = rustls::crypto::aws_lc_rs::default_provider();
                let signing = provider.key_provider.load_private_key(der.into()).map_err(broken)?;
                Source::Issue(Box::new(Issuing { issuer, key, signing }))
            }
        };
        Ok(Self { source, trust })
    }

    pub(crate) fn identity(&self, tenant: &str, device: &str) -> Result<Identity, Fault> {
        match &self.source {
            Source::Read(folder) => {
                let read = |end: &str| {
                    let path = folder.join(format!("{device}.{end}"));
                    fs::read(&path)
                        .map_err(|error| Fault::Identities(format!("{}: {error}", path.display())))
                };
                Ok(Identity::from_pem_trusting(&read("pem")?, &read("key")?, &self.trust)?)
            }
            Source::Issue(issuing) => {
                let Issuing { issuer, key, signing } = &**issuing;
                let mut params = CertificateParams::default();
                params.distinguished_name.push(DnType::CommonName, device);
                let uri = format!("pollux:{}/{}", percent(tenant), percent(device));
                let uri = uri.try_into().map_err(broken)?;
                params.subject_alt_names = vec![SanType::URI(uri)];
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                let certificate = params.signed_by(key, issuer).map_err(broken)?;
                let chain = vec![certificate.der().clone()];
                Ok(Identity::with_key(chain, Arc::clone(signing), &self.trust)?)
            }
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Identities("a PEM text is not UTF-8".to_owned()))
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::Identities(error.to_string())
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(percent("lamp-7.a_b~c"), "lamp-7.a_b~c");
        assert_eq!(percent("a b%ü"), "a%20b%25%C3%BC");
    }
}
