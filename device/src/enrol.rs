//! How a device that nobody registered comes to credentials of its own. Owns the proof and the call to a node's device
//! endpoint; by HTTP or gRPC (`pollux.v1.Enrolments.Provision`) the same is asked by whatever client the device has.
//!
//! ```no_run
//! use pollux_device::enrol::{DeviceKey, Enrolment};
//! use pollux_device::{Device, Endpoint, Options, Trust};
//!
//! # async fn begin() -> Result<(), Box<dyn std::error::Error>> {
//! # let own_key = [7; 32];
//! // What was put into the device when it was made: its key, and the CA of the nodes.
//! let (key, trust) = (DeviceKey::new(own_key), Trust::from_pem(&std::fs::read("server-ca.pem")?)?);
//! let nodes = ["a.pollux.example:7701", "b.pollux.example:7701"];
//! let endpoint = Endpoint::open()?;
//! let enrolled =
//!     Enrolment::by_key(nodes, "spring", "pump-7", &key, &trust).certificate().enrol(&endpoint).await?;
//! // To be kept: `enrolled.certificate` and `enrolled.key`, from which `Identity::from_pem` makes this again.
//! let options = Options::new(nodes, "pump-7", enrolled.identity(&trust)?);
//! let device = Device::connect(&endpoint, options).await?;
//! # Ok(())
//! # }
//! ```

mod ask;

use std::fmt;

use pollux_proto::enrol::{Claim, key_text};
use pollux_proto::hex::hex;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::tls13::OkmBlock;

pub use ask::{Enrolled, Enrolment};

/// A device's own key for an enrolment.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey([u8; 32]);

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}

impl DeviceKey {
    /// The key that was put into the device.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The key of a device, from that of the enrolment, which belongs where devices are made and not in them.
    pub fn derive(enrolment: &[u8; 32], tenant: &str, device: &str) -> Self {
        Self(hmac(enrolment, key_text(tenant, device).as_bytes()))
    }

    /// The key itself, to be put into the device.
    pub const fn reveal(&self) -> [u8; 32] {
        self.0
    }

    /// What proves it, as 64 hexadecimal digits. `at_ms` is the time of now, newer than in any proof before; `csr` a
    /// certificate signing request in PEM, or empty for a token.
    pub fn claim(
        &self,
        tenant: &str,
        enrolment: &str,
        device: &str,
        at_ms: u64,
        csr: &str,
    ) -> String {
        hex(&self.prove(&Claim { tenant, enrolment, device, at_ms, csr }))
    }

    fn prove(&self, claim: &Claim<'_>) -> [u8; 32] {
        hmac(&self.0, claim.text().as_bytes())
    }
}

fn hmac(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("it is a suite of TLS 1.3");
    let tag = suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), bytes);
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_device_and_one_moment() {
        let (key, other) =
            (DeviceKey::derive(&[7; 32], "acme", "a"), DeviceKey::derive(&[7; 32], "acme", "b"));
        assert_ne!(key, other);
        assert_eq!(key, DeviceKey::new(key.reveal()));

        let claim = |at_ms| key.claim("acme", "spring", "a", at_ms, "");
        assert_eq!((claim(5), claim(5).len()), (claim(5), 64));
        assert_ne!(claim(5), claim(6));
        assert!(!format!("{key:?}").contains(&hex(&key.reveal())));
    }
}
