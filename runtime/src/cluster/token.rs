//! The word by which one node may join: who the cluster is, and a secret that is good once.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_cluster::peer::sha256;

/// What every token begins with, so that a lost one is recognised for what it is.
const PREFIX: &str = "pollux-join.";
const CA_BYTES: usize = 32;
const SECRET_BYTES: usize = 16;

/// What lets a node in, and is known to whoever asked for the token only.
pub(super) type Secret = [u8; SECRET_BYTES];

/// What the cluster keeps of a secret.
pub(super) fn hash(secret: &Secret) -> [u8; 32] {
    sha256(&secret[..])
}

/// A token. Never printed but by its own `Display`, for the one who asked for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// SHA-256 of the cluster CA's certificate: the joining node talks to nobody else.
    pub(super) ca: [u8; CA_BYTES],
    /// What the cluster knows a hash of.
    pub(super) secret: Secret,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.ca[..], &self.secret].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token; it begins with {PREFIX} and is printed by `pollux cluster token`")]
pub struct TokenError;

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError)?;
        let (ca, secret) = bytes.split_at_checked(CA_BYTES).ok_or(TokenError)?;
        let part = |part: &[u8]| part.to_vec();
        Ok(Self {
            ca: part(ca).try_into().map_err(|_| TokenError)?,
            secret: part(secret).try_into().map_err(|_| TokenError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_noise_does_not() {
        let token = Token { ca: [7; CA_BYTES], secret: [9; SECRET_BYTES] };
        let text = token.to_string();
        assert!(text.parse::<Token>().is_ok_and(|back| back == token));
        for noise in ["", "pollux-join.", "pollux-join.AAAA", &text[1..], &text[..text.len() - 2]] {
            assert!(noise.parse::<Token>().is_err(), "{noise}");
        }
    }
}
