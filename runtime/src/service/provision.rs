//! A device that nobody registered asks for credentials of its own. Owns the order of checks: nothing of an enrolment
//! is told to whoever has not shown that it has a key of it, and each proof counts once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pollux_cluster::fleet::Enrolment;
use pollux_cluster::{fingerprint, hmac_sha256, sha256};
use pollux_proto::enrol::{Claim, NO_AUTHORITY, key_text};
use pollux_proto::hex::hex;
use pollux_proto::{convert, v1};
use pollux_twin::input::Request;
use pollux_twin::registration::{OfType, Proof, Registration, RegistryRequest};
use pollux_twin::{Rejection, Time, TwinKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use subtle::ConstantTimeEq;

use super::access::Answer;
use super::desk::Desk;
use super::limits::{CALL_TIME_MAX, PROVISION_BURST, PROVISION_PER_S, PROVISION_SKEW_MS};
use crate::cluster::ControlFault;
use crate::fault::Fault;
use crate::pki::{self, Authority, DEVICE_CA, Looked, PKI_DIR, Part, What};
use crate::router::Call;
use crate::session::Rate;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// What a node has for devices that ask for credentials.
pub(super) struct Provisioning {
    dir: PathBuf,
    held: RwLock<Arc<Held>>,
    rate: Mutex<Rate>,
}

/// What is in its data directory.
struct Held {
    /// The CA that signs devices' certificates.
    authority: Authority,
    /// The certificate by which devices know nodes.
    server_ca: String,
}

impl Held {
    fn open(dir: &Path, now: Time) -> Result<Self, Fault> {
        let authority = pki::device_authority(&dir.join(PKI_DIR), now)?;
        // One that has its own certificate for devices has no server CA, and devices know by what.
        let server_ca = std::fs::read_to_string(pki::server_ca_path(dir)).unwrap_or_default();
        Ok(Self { authority, server_ca })
    }

    fn is(&self, other: &Self) -> bool {
        self.authority.certificate() == other.authority.certificate()
            && self.authority.may_issue() == other.authority.may_issue()
            && self.server_ca == other.server_ca
    }
}

impl Provisioning {
    /// What is in a data directory.
    pub(super) fn open(data_dir: &Path, now: Time) -> Result<Arc<Self>, Fault> {
        let held = RwLock::new(Arc::new(Held::open(data_dir, now)?));
        let rate = Mutex::new(Rate::new(PROVISION_PER_S, PROVISION_BURST, 0));
        Ok(Arc::new(Self { dir: data_dir.to_owned(), held, rate }))
    }

    fn take(&self, now_ms: u64) -> Result<(), Rejection> {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(now_ms).map_err(|retry_after_ms| Rejection::Overloaded { retry_after_ms })
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part for Provisioning {
    fn name(&self) -> &'static str {
        "enrolments"
    }

    fn look(&self, now: Time) -> Result<Looked, Fault> {
        // A CA that is gone is missed, not made again.
        pki::certificate_of(&self.dir.join(PKI_DIR).join(format!("{DEVICE_CA}.pem")))?;
        let found = Held::open(&self.dir, now)?;
        if self.held().is(&found) {
            return Ok(Looked::Same);
        }
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(Looked::Taken)
    }

    fn shown(&self) -> Vec<(What, CertificateDer<'static>)> {
        Vec::new()
    }
}

/// What a device gets.
struct Issued {
    proof: Proof,
    token: String,
    certificate: String,
    expires: Option<Time>,
}

impl Desk {
    /// Gives a device what it may have.
    pub(super) async fn provision(
        &self,
        mut asked: v1::ProvisionRequest,
        shown: &[CertificateDer<'static>],
    ) -> Answer<v1::ProvisionResponse> {
        let clock = self.clock;
        let key = convert::key(&asked.tenant, &asked.device)?;
        let meta = self.control.meta();
        let known = meta.fleet.enrolment(key.tenant(), &asked.enrolment);
        let claim = Claim {
            tenant: key.tenant(),
            enrolment: &asked.enrolment,
            device: key.device(),
            at_ms: asked.at_ms,
            csr: &asked.csr_pem,
        };
        // One that is not there takes as long as one of another key.
        let enrolment = known.cloned().unwrap_or_default();
        let claimed = meta.fleet.claimed(key.tenant(), &asked.enrolment);
        let proven = proves(&enrolment, &claim, &asked.hmac_sha256);
        // Whose devices come by a certificate takes no key, and the other way round.
        let proven = match claimed {
            None => proven,
            Some(claimed) => pki::vouches(claimed, shown, clock.wall()),
        };
        if !proven {
            return Err(refused("wrong_proof").into());
        }
        let by_claim = claimed.is_some();
        // Who has no key takes no turn of those who have.
        self.provisioning.take(clock.elapsed_ms())?;
        // The enrolment may be gone without this node having heard of it.
        self.doorman.hears()?;
        let now = clock.wall();
        if by_claim {
            // TLS has seen to it that this is not a repetition.
            asked.at_ms = now.ms;
        }
        if asked.at_ms.abs_diff(now.ms) > PROVISION_SKEW_MS {
            return Err(refused("wrong_time").into());
        }
        if let Some(why) = enrolment.refuses(key.device(), now.ms) {
            return Err(refused(why).into());
        }
        let came = self.came_by(&key, &asked.enrolment).await?;
        let issued = self.issue(&key, &asked.csr_pem, enrolment.terms.days, now)?;
        let (expires, proof) = (issued.expires, issued.proof);
        let enrol = self.enrolling(&asked, &enrolment, (proof, expires), by_claim)?;
        let enrol = self.call_of(&key, &asked.enrolment, enrol)?;
        // What cannot be is refused before it counts.
        if !came {
            self.count(&key, &asked.enrolment).await?;
        }
        self.registered(enrol).await?;
        tracing::info!(
            target: "pollux::audit", device = %key, enrolment = asked.enrolment, "device enrolled"
        );
        Ok(v1::ProvisionResponse {
            tenant: key.tenant().to_owned(),
            device: key.device().to_owned(),
            token: issued.token,
            certificate_pem: issued.certificate,
            expires_at_ms: expires.map_or(0, |end| end.ms),
            server_ca_pem: self.provisioning.held().server_ca.clone(),
        })
    }

    /// A certificate over the key of its request, or a token.
    fn issue(&self, key: &TwinKey, csr: &str, days: u32, now: Time) -> Result<Issued, Rejection> {
        let until = |days: u32| now.plus_ms(u64::from(days) * DAY_MS);
        if csr.is_empty() {
            let token = hex(&rand::random::<[u8; 32]>());
            let proof = Proof::Token(sha256(token.as_bytes()));
            let expires = (days > 0).then(|| until(days));
            return Ok(Issued { proof, token, certificate: String::new(), expires });
        }
        let days = if days > 0 { days } else { pki::DEVICE_DAYS };
        let held = self.provisioning.held();
        if !held.authority.may_issue() {
            return Err(refused(NO_AUTHORITY));
        }
        let wrong = |error: &dyn std::fmt::Display| Rejection::Invalid {
            reason: format!("csr_pem: {error}; send a PKCS #10 request in PEM, signed by its key"),
        };
        let certificate =
            held.authority.sign_device(key, csr, now, days).map_err(|error| wrong(&error))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes());
        let proof = Proof::Certificate(fingerprint(&der.map_err(|error| wrong(&error))?));
        Ok(Issued { proof, token: String::new(), certificate, expires: Some(until(days)) })
    }

    /// Whether the device has come by this enrolment before. One that is there by anything else is refused: whoever has
    /// the key of an enrolment must not become a device that it did not bring.
    async fn came_by(&self, key: &TwinKey, name: &str) -> Result<bool, Rejection> {
        let get = self.call_of(key, name, RegistryRequest::Get)?;
        let entry = match self.registered(get).await {
            Ok(entry) => entry,
            Err(Rejection::NotFound) => return Ok(false),
            Err(rejection) => return Err(rejection),
        };
        match &entry.enrolled {
            Some(before) if before.by == name => Ok(true),
            _ => Err(refused("taken")),
        }
    }

    /// Counts a device; refuses the one that is too many. One that tries again soon counts once.
    async fn count(&self, key: &TwinKey, name: &str) -> Answer<()> {
        let digest = sha256(format!("{name}\n{}", key.device()).as_bytes());
        let id = digest.iter().take(16).fold(0, |id, byte| (id << 8) | u128::from(*byte));
        match self.control.count_enrolled(key.tenant(), name, id).await {
            Ok(()) => Ok(()),
            Err(ControlFault::Refused(_)) => Err(refused("exhausted").into()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// What the registry is asked.
    fn enrolling(
        &self,
        asked: &v1::ProvisionRequest,
        enrolment: &Enrolment,
        (proof, expires): (Proof, Option<Time>),
        by_claim: bool,
    ) -> Result<RegistryRequest, Rejection> {
        let terms = &enrolment.terms;
        let tags = match terms.tags.as_str() {
            "" => None,
            text => Some(convert::json("tags", text, &self.json)?),
        };
        let of_type = OfType { name: terms.of_type.clone(), version: 0 };
        Ok(RegistryRequest::Enrol {
            enrolment: asked.enrolment.clone(),
            // Others of its batch have the same certificate, and must not become it.
            unmet: by_claim,
            at: Time::from_ms(asked.at_ms),
            proof,
            expires,
            tags,
            of_type: Some(of_type).filter(|of_type| !of_type.name.is_empty()),
            groups: terms.groups.clone(),
        })
    }

    /// A call to the twin on behalf of the enrolment, if what it names is there.
    fn call_of(
        &self,
        key: &TwinKey,
        enrolment: &str,
        asked: RegistryRequest,
    ) -> Result<Call, Rejection> {
        if crate::own::is_reserved(key) {
            return Err(refused("wrong_name"));
        }
        let mut call = Call {
            key: key.clone(),
            caller: format!("enrolment {enrolment}"),
            idempotency_key: None,
            request: Request::Registry(Box::new(asked)),
            timeout: CALL_TIME_MAX,
        };
        self.name_in(&mut call)?;
        Ok(call)
    }

    async fn registered(&self, call: Call) -> Result<Registration, Rejection> {
        match self.router.call(call).await? {
            pollux_twin::output::Answer::Registration(entry) => Ok(*entry),
            other => Err(super::desk::unexpected(&other)),
        }
    }
}

/// Whether a claim was made by who has the key of the device. Takes as long whatever is wrong.
fn proves(enrolment: &Enrolment, claim: &Claim<'_>, shown: &str) -> bool {
    let nobody = [0; 32];
    let key = enrolment.key.as_ref().map_or(&nobody, |key| &key.0);
    let own = hmac_sha256(key, key_text(claim.tenant, claim.device).as_bytes());
    let right = hmac_sha256(&own, claim.text().as_bytes());
    let shown = convert::digest("hmac_sha256", shown).unwrap_or_default();
    bool::from(right.ct_eq(&shown)) && enrolment.key.is_some()
}

fn refused(why: &str) -> Rejection {
    Rejection::NotEnrolled { why: why.to_owned() }
}
