//! Which device a client certificate names.

use pollux_proto::device::name;
use pollux_twin::TwinKey;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::error::PkiError;

/// The one device that a certificate names by its URI subject alternative name
/// `pollux:<tenant>/<device>`. The certificate's chain was checked by TLS before.
pub fn device_name_of(certificate: &CertificateDer<'_>) -> Result<TwinKey, PkiError> {
    let unreadable = |error: &dyn std::fmt::Display| PkiError::Unreadable(error.to_string());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| unreadable(&e))?;
    let names = parsed.subject_alternative_name().map_err(|e| unreadable(&e))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris[..] {
        [uri] => Ok(name::parse_uri(uri)?),
        _ => Err(PkiError::NotOneName { found: uris.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use pollux_twin::Time;

    #[test]
    fn an_issued_certificate_names_its_device() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time::from_ms(1_790_000_000_000);
        let authority = Authority::open_or_make(dir.path(), "ca", "test CA", now, 10).unwrap();
        for text in ["acme/pump-7", "acme/a%b:c"] {
            let key = TwinKey::parse(text).unwrap();
            let identity = authority.issue_device(&key, now, 1).unwrap();
            assert_eq!(device_name_of(&identity.chain()[0]).unwrap(), key);
        }
        let server = authority.issue_server(&[], now, 1).unwrap();
        assert!(matches!(
            device_name_of(&server.chain()[0]),
            Err(PkiError::NotOneName { found: 0 })
        ));
        assert!(matches!(
            device_name_of(&CertificateDer::from(vec![1, 2, 3])),
            Err(PkiError::Unreadable(_))
        ));
    }
}
