//! Devices that come to enrol at the device endpoint, in its words: what they get is decided where it is for the doors
//! for services.

use pollux_proto::device::RefusedReason;
use pollux_proto::device::enrolment::{Credential, Enrol, Enrolled};
use pollux_proto::hex::hex;
use pollux_proto::limits::RETRY_OWNER_MS;
use pollux_proto::{status, v1};
use pollux_twin::Rejection;
use rustls::pki_types::CertificateDer;

use super::access::AccessFault;
use super::desk::{Desk, reason};
use crate::cluster::ControlFault;

/// The way there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Enrolling(Desk);

impl Enrolling {
    pub(super) const fn new(desk: Desk) -> Self {
        Self(desk)
    }

    /// Gives a device what it may have; `shown` are the certificates whose key it has.
    pub(crate) async fn enrol(&self, asked: Enrol, shown: &[CertificateDer<'static>]) -> Enrolled {
        let asked = v1::ProvisionRequest {
            tenant: asked.tenant,
            enrolment: asked.enrolment,
            device: asked.device,
            at_ms: asked.at_ms,
            csr_pem: asked.csr.unwrap_or_default(),
            hmac_sha256: asked.hmac_sha256.map(|hmac| hex(&hmac)).unwrap_or_default(),
        };
        match self.0.provision(asked, shown).await {
            Ok(given) => told(given),
            Err(fault) => {
                if let AccessFault::Rejected(rejection) = &fault {
                    self.0.metrics.rejections_total.of(reason(rejection)).inc();
                }
                refused(fault)
            }
        }
    }
}

fn told(given: v1::ProvisionResponse) -> Enrolled {
    let credential = match given.token.is_empty() {
        true => Credential::Certificate(given.certificate_pem),
        false => Credential::Token(given.token),
    };
    let expires_at_ms = (given.expires_at_ms > 0).then_some(given.expires_at_ms);
    Enrolled::Given { credential, expires_at_ms, server_ca: given.server_ca_pem }
}

fn refused(fault: AccessFault) -> Enrolled {
    let (reason, message, retry_after_ms) = match fault {
        AccessFault::Rejected(rejection) => {
            let row = status::row(&rejection);
            let message = status::message(&rejection);
            let why = match rejection {
                Rejection::NotEnrolled { why } => Some(why),
                _ => None,
            };
            let (reason, retry_after_ms) = (row.refused, row.retry_after_ms);
            return Enrolled::Refused { reason, why, message, retry_after_ms };
        }
        AccessFault::Control(fault @ (ControlFault::NoAnswer(_) | ControlFault::NotYet(_))) => {
            (RefusedReason::Busy, fault.to_string(), Some(RETRY_OWNER_MS))
        }
        AccessFault::Control(fault) => (RefusedReason::Invalid, fault.to_string(), None),
        AccessFault::NotFound(message)
        | AccessFault::Refused(message)
        | AccessFault::TooLarge(message)
        | AccessFault::NoSpace(message) => (RefusedReason::Invalid, message, None),
    };
    Enrolled::Refused { reason, why: None, message, retry_after_ms }
}
