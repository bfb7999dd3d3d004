//! The protocols that a client names in its first words of TLS (RFC 8446, 4.1.2; RFC 7301), looked at before rustls
//! does: for what it comes decides by whom it must be known. Pure; nothing of it is believed, since rustls reads the
//! same words again and takes only what its configuration has.

use crate::limits::CLIENT_HELLO_BYTES_MAX;

/// The type of a client's hello.
const CLIENT_HELLO: u8 = 1;
/// The type of the extension with the protocols.
const ALPN: usize = 16;
/// Bytes of a message's type and length.
const HEAD: usize = 4;
/// Bytes of the hello's version and its random number.
const FIXED: usize = 2 + 32;

/// What is known after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// More has to come.
    NotYet,
    /// It names the protocol that was looked for.
    It,
    /// It does not, or these bytes are no hello.
    Others,
}

/// Whether a client's first words name a protocol.
pub(super) fn names(words: &[u8], protocol: &[u8]) -> Names {
    let Some((head, body)) = words.split_at_checked(HEAD) else {
        return if words.first().is_none_or(|kind| *kind == CLIENT_HELLO) {
            Names::NotYet
        } else {
            Names::Others
        };
    };
    let bytes = number(&head[1..]);
    if head[0] != CLIENT_HELLO || bytes > CLIENT_HELLO_BYTES_MAX {
        return Names::Others;
    }
    let Some(hello) = body.get(..bytes) else { return Names::NotYet };
    match protocols(hello).is_some_and(|list| contains(list, protocol)) {
        true => Names::It,
        false => Names::Others,
    }
}

/// The list of protocols in a whole hello.
fn protocols(hello: &[u8]) -> Option<&[u8]> {
    let (_session, rest) = vector(hello.get(FIXED..)?, 1)?;
    let (_suites, rest) = vector(rest, 2)?;
    let (_compression, rest) = vector(rest, 1)?;
    let (mut extensions, _) = vector(rest, 2)?;
    loop {
        let (kind, rest) = extensions.split_at_checked(2)?;
        let (body, rest) = vector(rest, 2)?;
        if number(kind) == ALPN {
            return Some(vector(body, 2)?.0);
        }
        extensions = rest;
    }
}

fn contains(mut list: &[u8], protocol: &[u8]) -> bool {
    while let Some((name, rest)) = vector(list, 1) {
        if name == protocol {
            return true;
        }
        list = rest;
    }
    false
}

/// What a length of so many bytes stands before, and what follows it.
fn vector(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(length)?;
    rest.split_at_checked(number(length))
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::ServerName;
    use rustls::quic::{ClientConnection, Version};
    use rustls::{ClientConfig, RootCertStore, version};

    /// The first words of a real client.
    fn hello(protocols: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client =
            ClientConnection::new(Arc::new(config), Version::V1, name, vec![7; 40]).unwrap();
        let mut words = Vec::new();
        client.write_hs(&mut words);
        words
    }

    #[test]
    fn a_protocol_is_found_wherever_it_is_named() {
        for (named, expected) in [
            (&[&b"enrol"[..]][..], Names::It),
            (&[b"other", b"enrol"], Names::It),
            (&[b"other"], Names::Others),
            (&[b"enrol2", b"enro"], Names::Others),
            (&[], Names::Others),
        ] {
            let words = hello(named);
            assert_eq!(names(&words, b"enrol"), expected, "{named:?}");
            for cut in 0..words.len() {
                assert_eq!(names(&words[..cut], b"enrol"), Names::NotYet, "{named:?}, {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_hello_waits_for_nothing() {
        assert_eq!(names(&[], b"enrol"), Names::NotYet);
        for words in [&[2][..], &[0x16, 3], &[1, 0xff, 0xff, 0xff], &[1, 0, 0, 0]] {
            assert_eq!(names(words, b"enrol"), Names::Others, "{words:?}");
        }
        // Lengths within that lie, one byte at a time.
        let words = hello(&[b"enrol"]);
        for at in HEAD..words.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut wrong = words.clone();
                wrong[at] = byte;
                assert_ne!(names(&wrong, b"enrol"), Names::NotYet);
            }
        }
    }
}
