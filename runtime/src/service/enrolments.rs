//! Enrolments, as both doors have them done: by what devices that nobody registered come to credentials of their own.
//! What such a device asks is in `provision`.

use pollux_cluster::access::Action;
use pollux_cluster::fleet::{self, Change, Claimed, Enrolment, Key, Terms};
use pollux_cluster::meta::ARTIFACTS_LEVEL;
use pollux_proto::hex::hex;
use pollux_proto::{convert, v1};
use pollux_twin::limits::GROUPS_MAX;
use pollux_twin::registration::OfType;
use pollux_twin::{Rejection, Value};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::access::{AccessFault, Answer};
use super::desk::Desk;
use super::fleet::{known_group, known_type};
use crate::access::Caller;
use crate::pki;

impl Desk {
    /// Adds an enrolment, or changes it. A new one gets a key.
    pub(super) async fn put_enrolment(
        &self,
        caller: &Caller,
        asked: v1::PutEnrolmentRequest,
    ) -> Answer<v1::PutEnrolmentResponse> {
        let new_key = asked.new_key;
        let asked = asked.enrolment.unwrap_or_default();
        let tenant = self.may_manage(caller, &asked.tenant)?;
        let name = asked.name.clone();
        if !asked.tags_json.is_empty() {
            // Nobody may by an enrolment what is denied otherwise.
            self.may_on_all(caller, Action::TwinWrite, &tenant)?;
        }
        let claimed = claimed(&asked)?;
        let terms = self.terms(&tenant, asked)?;
        let key = Key(rand::random());
        let (of, called) = (tenant.clone(), name.clone());
        let offered = key.clone();
        let put = Change::PutEnrolment { tenant: of, name: called, terms, key: offered, new_key };
        self.change_fleet(caller, put).await?;
        let comes_by_key = claimed.is_none();
        // Also if it is the same here: this node may not have heard of another one. Below that level there is none.
        if claimed.is_some() || self.control.meta().level >= ARTIFACTS_LEVEL {
            let (tenant, name) = (tenant.clone(), name.clone());
            self.change_fleet(caller, Change::PutClaim { tenant, name, claimed }).await?;
        }
        let enrolment = Some(self.one_enrolment(&tenant, &name)?);
        // Whether it was taken the cluster has decided, of two that came at once too.
        let meta = self.control.meta();
        let taken = meta.fleet.enrolment(&tenant, &name).and_then(|one| one.key.as_ref());
        let is_taken = taken.is_some_and(|taken| taken.0 == key.0);
        // One whose devices come by a certificate has no use for it.
        let key = if is_taken && comes_by_key { hex(&key.0) } else { String::new() };
        Ok(v1::PutEnrolmentResponse { enrolment, key })
    }

    /// What devices become, if it can be.
    fn terms(&self, tenant: &str, asked: v1::Enrolment) -> Result<Terms, Rejection> {
        let meta = self.control.meta();
        if !asked.r#type.is_empty() {
            let mut named = OfType { name: asked.r#type.clone(), version: 0 };
            known_type(&meta.fleet, tenant, &mut named)?;
        }
        if asked.groups.len() > GROUPS_MAX {
            let reason = format!("groups: a device is in {GROUPS_MAX} at most");
            return Err(Rejection::Invalid { reason });
        }
        asked.groups.iter().try_for_each(|group| known_group(&meta.fleet, tenant, group))?;
        if !asked.tags_json.is_empty() {
            match convert::json("tags_json", &asked.tags_json, &self.json)? {
                Value::Object(_) => {}
                _ => return Err(Rejection::NotAnObject),
            }
        }
        Ok(Terms {
            prefix: asked.prefix,
            of_type: asked.r#type,
            groups: asked.groups,
            tags: asked.tags_json,
            expires_ms: asked.expires_at_ms,
            most: asked.most,
            days: asked.days,
            disabled: asked.disabled,
            note: asked.note,
        })
    }

    /// One enrolment.
    pub(super) fn get_enrolment(
        &self,
        caller: &Caller,
        asked: &v1::GetEnrolmentRequest,
    ) -> Answer<v1::Enrolment> {
        let tenant = self.may_manage(caller, &asked.tenant)?;
        self.one_enrolment(&tenant, &asked.name)
    }

    fn one_enrolment(&self, tenant: &str, name: &str) -> Answer<v1::Enrolment> {
        let meta = self.control.meta();
        let claimed = meta.fleet.claimed(tenant, name);
        let known = meta.fleet.enrolment(tenant, name);
        let known = known.map(|one| enrolment_of(tenant, name, (one, claimed)));
        known.ok_or_else(|| AccessFault::NotFound(format!("there is no enrolment {name:?}")))
    }

    /// All enrolments of a tenant.
    pub(super) fn list_enrolments(
        &self,
        caller: &Caller,
        asked: &v1::ListEnrolmentsRequest,
    ) -> Answer<v1::ListEnrolmentsResponse> {
        let tenant = self.may_manage(caller, &asked.tenant)?;
        let meta = self.control.meta();
        let all = fleet::of(&meta.fleet.enrolments, &tenant);
        let of =
            |(name, one)| enrolment_of(&tenant, name, (one, meta.fleet.claimed(&tenant, name)));
        let enrolments = all.map(of).collect();
        Ok(v1::ListEnrolmentsResponse { enrolments })
    }

    /// Takes an enrolment away; devices keep what they got by it.
    pub(super) async fn remove_enrolment(
        &self,
        caller: &Caller,
        asked: v1::RemoveEnrolmentRequest,
    ) -> Answer<v1::RemoveEnrolmentResponse> {
        let tenant = self.may_manage(caller, &asked.tenant)?;
        let name = asked.name;
        self.one_enrolment(&tenant, &name)?;
        self.change_fleet(caller, Change::RemoveEnrolment { tenant, name }).await?;
        Ok(v1::RemoveEnrolmentResponse {})
    }
}

/// An enrolment without its key.
fn enrolment_of(
    tenant: &str,
    name: &str,
    (one, claimed): (&Enrolment, Option<&Claimed>),
) -> v1::Enrolment {
    let terms = one.terms.clone();
    let (claim_ca_pem, claim_sha256) = match claimed {
        None => (String::new(), String::new()),
        Some(Claimed::By(ca)) => (pki::pem_of(ca), String::new()),
        Some(Claimed::Pinned(print)) => (String::new(), hex(print)),
    };
    v1::Enrolment {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        prefix: terms.prefix,
        r#type: terms.of_type,
        groups: terms.groups,
        tags_json: terms.tags,
        expires_at_ms: terms.expires_ms,
        most: terms.most,
        days: terms.days,
        disabled: terms.disabled,
        note: terms.note,
        enrolled: one.enrolled,
        at_ms: one.at_ms,
        by: one.by.clone(),
        claim_ca_pem,
        claim_sha256,
    }
}

/// By which certificates devices come, if that is asked for.
fn claimed(asked: &v1::Enrolment) -> Result<Option<Claimed>, Rejection> {
    let invalid = |reason: String| Rejection::Invalid { reason };
    match (asked.claim_ca_pem.as_str(), asked.claim_sha256.as_str()) {
        ("", "") => Ok(None),
        ("", print) => Ok(Some(Claimed::Pinned(convert::digest("claim_sha256", print)?))),
        (pem, "") => {
            let wrong = |error: &dyn std::fmt::Display| {
                invalid(format!("claim_ca: {error}; it takes a CA's certificate in PEM"))
            };
            let ca = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| wrong(&e))?;
            pki::must_be_ca(&ca).map_err(|error| wrong(&error))?;
            Ok(Some(Claimed::By(ca.to_vec())))
        }
        (_, _) => {
            Err(invalid("claim_ca and claim_sha256: an enrolment takes one of both".to_owned()))
        }
    }
}
