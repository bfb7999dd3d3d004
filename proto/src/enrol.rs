//! What a device signs to get credentials of its own, the same on both sides. Owns the texts; keys, hashes and what
//! they prove are of those who have them.
//!
//! A device does not need the key of its enrolment: it has one that is derived from it for its name alone, so that
//! whoever takes a device apart can be no other.

/// Why a node refuses to give a certificate that cannot sign any; another one may.
pub const NO_AUTHORITY: &str = "no_authority";

/// What a device's own key is the HMAC-SHA256 of, by the key of the enrolment.
pub fn key_text(tenant: &str, device: &str) -> String {
    format!("pollux enrolment key 1\n{tenant}/{device}")
}

/// What a device proves, by the HMAC-SHA256 of its own key or by a signature of a claim certificate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// The enrolment by which it comes.
    pub enrolment: &'a str,
    /// Its name.
    pub device: &'a str,
    /// Its time, in milliseconds since 1970: each proof is newer than the one before.
    pub at_ms: u64,
    /// Its certificate signing request in PEM, if it wants a certificate; empty: it wants a token.
    pub csr: &'a str,
}

impl Claim<'_> {
    /// The text that is signed. No part of it but the last has a line of its own end in it.
    pub fn text(&self) -> String {
        let Self { tenant, enrolment, device, at_ms, csr } = self;
        format!("pollux enrolment 1\n{tenant}\n{enrolment}\n{device}\n{at_ms}\n{csr}")
    }
}
