//! A device's name as its certificate carries it: `pollux:<tenant>/<device>`, percent-encoded
//! (RFC 3986). Which certificates are trusted is the endpoint's business.

use std::fmt::Write;

use pollux_twin::TwinKey;
use pollux_twin::id::{DeviceId, IdError, TenantId};
use thiserror::Error;

const SCHEME: &str = "pollux:";

/// Why a text is not a device's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Another scheme, or none.
    #[error("name does not begin with pollux:")]
    Scheme,
    /// Not exactly one slash.
    #[error("name is not of the form pollux:<tenant>/<device>")]
    Form,
    /// A percent sign without two hexadecimal digits, or bytes that are no ASCII.
    #[error("name has a bad percent-encoding")]
    Encoding,
    /// A part is no id.
    #[error("{0}")]
    Id(IdError),
}

/// The name of a device for its certificate.
pub fn uri(key: &TwinKey) -> String {
    let mut text = String::from(SCHEME);
    encode(key.tenant(), &mut text);
    text.push('/');
    encode(key.device(), &mut text);
    text
}

/// Reads a name back.
pub fn parse_uri(text: &str) -> Result<TwinKey, NameError> {
    let rest = text.strip_prefix(SCHEME).ok_or(NameError::Scheme)?;
    let (tenant, device) = rest.split_once('/').ok_or(NameError::Form)?;
    if device.contains('/') {
        return Err(NameError::Form);
    }
    let tenant = TenantId::parse(&decode(tenant)?).map_err(NameError::Id)?;
    let device = DeviceId::parse(&decode(device)?).map_err(NameError::Id)?;
    Ok(TwinKey::new(&tenant, &device))
}

fn encode(part: &str, into: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("strings take everything");
        }
    }
}

fn decode(part: &str) -> Result<String, NameError> {
    let mut text = String::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => 16 * digit(bytes.next())? + digit(bytes.next())?,
            byte => byte,
        };
        if !byte.is_ascii() {
            return Err(NameError::Encoding);
        }
        text.push(char::from(byte));
    }
    Ok(text)
}

fn digit(byte: Option<u8>) -> Result<u8, NameError> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(NameError::Encoding)?;
    u8::try_from(digit).map_err(|_| NameError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> TwinKey {
        TwinKey::parse(text).unwrap()
    }

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(uri(&key("acme/pump-7")), "pollux:acme/pump-7");
        assert_eq!(uri(&key("acme/a%b:[c]")), "pollux:acme/a%25b%3A%5Bc%5D");
        for text in ["acme/pump-7", "acme/a%b:[c]", "default/~!\"&'()*,;<=>?@\\^`{|}"] {
            assert_eq!(parse_uri(&uri(&key(text))), Ok(key(text)));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(parse_uri("https://acme/pump"), Err(NameError::Scheme));
        assert_eq!(parse_uri("pollux:pump"), Err(NameError::Form));
        assert_eq!(parse_uri("pollux:a/b/c"), Err(NameError::Form));
        assert_eq!(parse_uri("pollux:a/b%2"), Err(NameError::Encoding));
        assert_eq!(parse_uri("pollux:a/b%zz"), Err(NameError::Encoding));
        assert_eq!(parse_uri("pollux:a/b%FF"), Err(NameError::Encoding));
        assert_eq!(parse_uri("pollux:a/b%2Fc"), Err(NameError::Id(IdError::Character { at: 1 })));
        assert_eq!(parse_uri("pollux:/b"), Err(NameError::Id(IdError::Empty)));
    }
}
