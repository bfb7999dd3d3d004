//! Secrets as text: what begins them, and what is kept of them instead.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_cluster::{Fault, Uuid, sha256};
use subtle::ConstantTimeEq;

/// What a token of a principal begins with, so that a lost one is recognised for what it is.
const TOKEN_PREFIX: &str = "pollux-token.";
/// What the secret of a node begins with.
const ROOT_PREFIX: &str = "pollux-root.";
/// Nobody guesses it.
const SECRET_BYTES: usize = 32;

/// A secret. Never printed but by [`Secret::reveal`], for the one who asked for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    /// What finds a principal's token; none for the secret of a node.
    pub(crate) id: Option<u64>,
    bytes: [u8; SECRET_BYTES],
}

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSecret;

impl Secret {
    /// A further one.
    pub(crate) fn random(id: Option<u64>) -> Result<Self, Fault> {
        let halves = [Uuid::random()?, Uuid::random()?].map(|half| half.0.to_le_bytes());
        let bytes = halves.concat().try_into().expect("two halves of 16 bytes");
        Ok(Self { id, bytes })
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.bytes)
    }

    /// Whether it is the one that this was kept of. Takes as long whatever differs.
    pub(crate) fn is(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// The text.
    pub(crate) fn reveal(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.bytes);
        match self.id {
            Some(id) => format!("{TOKEN_PREFIX}{id:016x}.{secret}"),
            None => format!("{ROOT_PREFIX}{secret}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.id)
    }
}

impl FromStr for Secret {
    type Err = NoSecret;

    fn from_str(text: &str) -> Result<Self, NoSecret> {
        let (id, secret) = match text.strip_prefix(TOKEN_PREFIX) {
            Some(rest) => {
                let (id, secret) = rest.split_once('.').ok_or(NoSecret)?;
                let hexadecimal = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
                let id = u64::from_str_radix(id, 16).ok().filter(|_| hexadecimal);
                (Some(id.ok_or(NoSecret)?), secret)
            }
            None => (None, text.strip_prefix(ROOT_PREFIX).ok_or(NoSecret)?),
        };
        let bytes = URL_SAFE_NO_PAD.decode(secret).map_err(|_| NoSecret)?;
        Ok(Self { id, bytes: bytes.try_into().map_err(|_| NoSecret)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_and_noise_does_not() {
        for id in [None, Some(0), Some(u64::MAX)] {
            let secret = Secret::random(id).unwrap();
            let text = secret.reveal();
            assert!(text.parse::<Secret>().is_ok_and(|back| back == secret && back.id == id));
            assert!(secret.is(&secret.hash()) && !secret.is(&[0; 32]));
            assert!(!Secret::random(id).unwrap().is(&secret.hash()), "no two are the same");
            assert!(!format!("{secret:?}").contains(&text[20..]), "debugging does not show it");
            for noise in [&text[1..], &text[..text.len() - 2], "", "pollux-token.", "pollux-root."]
            {
                assert_eq!(noise.parse::<Secret>(), Err(NoSecret), "{noise}");
            }
        }
        for bad in ["pollux-token.+000000000000001.AA", "pollux-token.1.AA", "pollux-token.AA"] {
            assert_eq!(bad.parse::<Secret>(), Err(NoSecret), "{bad}");
        }
    }
}
