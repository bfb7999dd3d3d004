//! A certificate authority in two files, and the identities that it issues. P-256 throughout:
//! small and quick for devices.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_cluster::{NodeId, Uuid};
use pollux_proto::device::name;
use pollux_proto::peer::node_uri;
use pollux_twin::{Time, TwinKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::error::PkiError;
use super::files;

/// How far a device's clock may be behind when it sees a fresh certificate.
const SKEW: Duration = Duration::from_secs(24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longest common name that X.509 allows (RFC 5280, ub-common-name).
const COMMON_NAME_MAX: usize = 64;

/// A CA: its certificate, and its key if it is here.
pub struct Authority {
    path: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens `<dir>/<stem>.pem` and `.key`; makes them if there is no certificate yet. A
    /// certificate without its key is taken as one whose key is kept elsewhere.
    pub fn open_or_make(
        dir: &Path,
        stem: &str,
        common_name: &str,
        now: Time,
        days: u32,
    ) -> Result<Self, PkiError> {
        let path = dir.join(format!("{stem}.pem"));
        let key_path = dir.join(format!("{stem}.key"));
        if !path.exists() {
            files::make_dir(dir)?;
            make(&path, &key_path, common_name, now, days)?;
        }
        let chain = files::read_chain(&path)?;
        let certificate = chain.into_iter().next().expect("a chain has at least one certificate");
        let issuer = match key_path.exists() {
            false => None,
            true => {
                let wanted = "a private key in PEM form";
                let key = KeyPair::from_pem(&files::read_private(&key_path)?)
                    .map_err(|error| files::content(&key_path, wanted, error))?;
                if key.subject_public_key_info() != public_key(&certificate)? {
                    let why = format!("it is that of another certificate than {}", path.display());
                    return Err(files::content(&key_path, "the CA's private key", why));
                }
                Some(Issuer::from_ca_cert_der(&certificate, key)?)
            }
        };
        Ok(Self { path, certificate, issuer })
    }

    /// The CA's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a client certificate that names one device.
    pub fn issue_device(&self, key: &TwinKey, now: Time, days: u32) -> Result<Identity, PkiError> {
        self.issue(&device_params(key, now, days)?)
    }

    /// Issues a certificate that a batch of devices shares, to come by an enrolment. It names no device.
    pub fn issue_claim(
        &self,
        tenant: &str,
        enrolment: &str,
        now: Time,
        days: u32,
    ) -> Result<Identity, PkiError> {
        let mut params = params(&format!("Pollux claim {tenant}/{enrolment}"), now, days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    /// Whether its key is here.
    pub(crate) const fn may_issue(&self) -> bool {
        self.issuer.is_some()
    }

    /// Signs a key that a device made for itself: the certificate, in PEM. Of its request only the key counts, and
    /// that it was signed by it.
    pub(crate) fn sign_device(
        &self,
        key: &TwinKey,
        csr_pem: &str,
        now: Time,
        days: u32,
    ) -> Result<String, PkiError> {
        let asked = CertificateSigningRequestParams::from_pem(csr_pem)?;
        let params = device_params(key, now, days)?;
        Ok(params.signed_by(&asked.public_key, self.issuer()?)?.pem())
    }

    fn issuer(&self) -> Result<&Issuer<'static, KeyPair>, PkiError> {
        self.issuer.as_ref().ok_or_else(|| PkiError::NoKey { path: self.path.clone() })
    }

    /// Issues the certificate of an endpoint: `names`, and this machine as it calls itself.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Time,
        days: u32,
    ) -> Result<Identity, PkiError> {
        let mut all: Vec<String> =
            ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).collect();
        all.extend(names.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
        let mut params = params("Pollux node", now, days);
        params.subject_alt_names = CertificateParams::new(all)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params)
    }

    /// Issues the certificate by which the other nodes of `cluster` know a node, as client and as
    /// server alike. The CA's own follows it in the chain, for a node that joins and knows only that.
    pub fn issue_node(
        &self,
        cluster: Uuid,
        node: NodeId,
        now: Time,
        days: u32,
    ) -> Result<Identity, PkiError> {
        let uri = node_uri(cluster.0, node.0);
        let mut params = params(&format!("Pollux node {node}"), now, days);
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut identity = self.issue(&params)?;
        identity.chain.push(self.certificate.clone());
        Ok(identity)
    }

    fn issue(&self, params: &CertificateParams) -> Result<Identity, PkiError> {
        let issuer = self.issuer()?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Identity {
            pem: Some((certificate.pem(), key.serialize_pem())),
            chain: vec![certificate.into()],
            key: PrivateKeyDer::Pkcs8(private),
        })
    }
}

/// A certificate chain and its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: Option<(String, String)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain_len", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key, pem: None }
    }

    /// The chain, end entity first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whether this is the same chain and key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key == other.key
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// Writes an identity that was issued here to two PEM files, the key for its owner only.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<(), PkiError> {
        let (cert_pem, key_pem) = self.pem.as_ref().expect("only issued identities are written");
        files::write_private(key, key_pem)?;
        files::write_public(cert, cert_pem)
    }
}

/// The public key that a certificate is about, in DER.
fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, PkiError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    Ok(parsed.tbs_certificate.subject_pki.raw.to_vec())
}

/// Makes a CA; a key that is there without its certificate (a first start that was cut short) is
/// used.
fn make(
    path: &Path,
    key_path: &Path,
    common_name: &str,
    now: Time,
    days: u32,
) -> Result<(), PkiError> {
    let key = if key_path.exists() {
        KeyPair::from_pem(&files::read_private(key_path)?)?
    } else {
        let key = KeyPair::generate()?;
        files::write_private(key_path, &key.serialize_pem())?;
        key
    };
    files::write_public(path, &self_signed(&key, common_name, now, days)?)
}

/// A new CA, as PEM: certificate and key.
pub(super) fn make_ca(
    common_name: &str,
    now: Time,
    days: u32,
) -> Result<(String, String), PkiError> {
    let key = KeyPair::generate()?;
    Ok((self_signed(&key, common_name, now, days)?, key.serialize_pem()))
}

fn self_signed(key: &KeyPair, common_name: &str, now: Time, days: u32) -> Result<String, PkiError> {
    let mut params = params(common_name, now, days);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key)?.pem())
}

fn device_params(key: &TwinKey, now: Time, days: u32) -> Result<CertificateParams, PkiError> {
    let uri = name::uri(key).as_str().try_into()?;
    let mut params = params(key.device(), now, days);
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn params(common_name: &str, now: Time, days: u32) -> CertificateParams {
    let start = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.ms / 1000);
    let mut params = CertificateParams::default();
    params.not_before = start - SKEW;
    params.not_after = start + DAY * days;
    params.distinguished_name = DistinguishedName::new();
    let end = common_name.len().min(COMMON_NAME_MAX);
    params.distinguished_name.push(DnType::CommonName, &common_name[..end]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    fn open(dir: &Path) -> Authority {
        Authority::open_or_make(dir, "ca", "test CA", NOW, 10).unwrap()
    }

    #[test]
    fn a_ca_is_made_once_and_found_again() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let made = open(dir.path());
        assert_eq!(made.certificate(), open(dir.path()).certificate());
        let mode = std::fs::metadata(dir.path().join("ca.key")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_first_start_cut_short_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path());
        let key = std::fs::read(dir.path().join("ca.key")).unwrap();
        std::fs::remove_file(dir.path().join("ca.pem")).unwrap();
        open(dir.path());
        assert_eq!(key, std::fs::read(dir.path().join("ca.key")).unwrap());
    }

    #[test]
    fn without_its_key_a_ca_checks_but_does_not_issue() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path());
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        let key = TwinKey::parse("pump").unwrap();
        let refused = open(dir.path()).issue_device(&key, NOW, 1);
        assert!(matches!(refused, Err(PkiError::NoKey { .. })));
    }

    #[test]
    fn a_device_keeps_the_key_that_it_made() {
        let dir = tempfile::tempdir().unwrap();
        let (authority, own) = (open(dir.path()), KeyPair::generate().unwrap());
        // What a request asks for besides is not given.
        let mut asked = CertificateParams::default();
        asked.subject_alt_names = vec![SanType::URI("pollux:acme/other".try_into().unwrap())];
        let csr = asked.serialize_request(&own).unwrap().pem().unwrap();
        let key = TwinKey::parse("acme/pump").unwrap();
        let pem = authority.sign_device(&key, &csr, NOW, 30).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(crate::pki::device_name_of(&certificate).unwrap(), key);
        for bad in ["", "nonsense", &csr.replace('A', "B")] {
            assert!(authority.sign_device(&key, bad, NOW, 30).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        open(dir.path());
        let open_to_all = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(dir.path().join("ca.key"), open_to_all).unwrap();
        let refused = Authority::open_or_make(dir.path(), "ca", "test CA", NOW, 10);
        assert!(matches!(refused, Err(PkiError::Exposed { .. })));
    }

    #[test]
    fn a_key_of_another_ca_is_refused() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        dirs.iter().for_each(|dir| drop(open(dir.path())));
        std::fs::copy(dirs[0].path().join("ca.key"), dirs[1].path().join("ca.key")).unwrap();
        let refused = Authority::open_or_make(dirs[1].path(), "ca", "test CA", NOW, 10);
        let text = refused.expect_err("another key").to_string();
        assert!(text.contains("ca.key does not hold the CA's private key"), "{text}");
    }

    #[test]
    fn files_that_hold_something_else_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), "nonsense").unwrap();
        let refused = Authority::open_or_make(dir.path(), "ca", "test CA", NOW, 10);
        let text = refused.expect_err("no certificate").to_string();
        assert!(text.contains("ca.pem") && text.contains("there is none"), "{text}");
    }

    #[test]
    fn nothing_printed_holds_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let authority = open(dir.path());
        let identity = authority.issue_device(&TwinKey::parse("a").unwrap(), NOW, 1).unwrap();
        let printed = format!("{authority:?} {identity:?}");
        assert!(!printed.contains("PRIVATE") && printed.len() < 200, "{printed}");
    }
}
