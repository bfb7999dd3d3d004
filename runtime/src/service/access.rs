//! Principals, tokens, policies and the audit, as both doors have them done: what is asked is read here, and what the
//! cluster agrees on is told.

use std::sync::Arc;

use pollux_cluster::access::{
    Access, Action, Change, Decision, Effect, Filtered, On, Path, Policy, Principal, Selector,
    Subject, Token,
};
use pollux_proto::{convert, v1};
use pollux_query::{ExpressionError, Filter};
use pollux_twin::id::DEFAULT_TENANT;
use pollux_twin::input::Request;
use pollux_twin::output::Answer as Answered;
use pollux_twin::registration::RegistryRequest;
use pollux_twin::twin::facts_of;
use pollux_twin::{Rejection, TwinKey};

use super::desk::{Desk, unexpected};
use super::limits::{
    ACCESS_TOKEN_MS, ACCESS_TOKEN_MS_MAX, ACCESS_TOKEN_MS_MIN, AUDIT_PAGE, AUDIT_PAGE_MAX,
};
use crate::access::{Caller, Known, Secret};
use crate::cluster::ControlFault;

/// Why something about access was not done.
#[derive(Debug)]
pub(super) enum AccessFault {
    /// The caller may not, or what it asks makes no sense.
    Rejected(Rejection),
    /// There is no such thing.
    NotFound(String),
    /// Something stands in the way, and what.
    Refused(String),
    /// There is more of it than may be.
    TooLarge(String),
    /// The disk has no room for it.
    NoSpace(String),
    /// The cluster refuses, or does not answer.
    Control(ControlFault),
}

impl From<Rejection> for AccessFault {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<ControlFault> for AccessFault {
    fn from(fault: ControlFault) -> Self {
        Self::Control(fault)
    }
}

/// What came of it.
pub(super) type Answer<T> = Result<T, AccessFault>;

fn invalid(reason: impl ToString) -> AccessFault {
    AccessFault::Rejected(Rejection::Invalid { reason: reason.to_string() })
}

impl Desk {
    /// Who the caller is.
    pub(super) fn who_am_i(&self, caller: &Caller) -> v1::WhoAmIResponse {
        v1::WhoAmIResponse {
            principal: caller.name.to_string(),
            via: caller.proof.to_string(),
            enforced: self.doorman.is_enforced(),
            until_ms: caller.until_ms.unwrap_or(0),
        }
    }

    /// Adds a principal, or changes one.
    pub(super) async fn put_principal(
        &self,
        caller: &Caller,
        asked: Option<v1::Principal>,
    ) -> Answer<()> {
        self.may(caller, Action::AccessAdmin)?;
        let asked = asked.ok_or_else(|| invalid("principal: none given"))?;
        let subject =
            |one: v1::PrincipalSubject| Subject { issuer: one.issuer, subject: one.subject };
        let subjects = asked.subjects.into_iter().map(subject).collect();
        let principal = Principal { note: asked.note, subjects, added_ms: 0 };
        self.change(caller, Change::PutPrincipal { name: asked.name, principal }).await
    }

    /// Takes a principal away.
    pub(super) async fn remove_principal(&self, caller: &Caller, name: String) -> Answer<()> {
        self.may(caller, Action::AccessAdmin)?;
        let removed = self.change(caller, Change::RemovePrincipal { name: name.clone() }).await;
        self.found(removed, |access| access.principals.contains_key(&name), "principal", &name)
    }

    /// All principals.
    pub(super) fn list_principals(&self, caller: &Caller) -> Answer<v1::ListPrincipalsResponse> {
        self.may(caller, Action::AccessRead)?;
        let meta = self.control.meta();
        let principals = meta.access.principals.iter();
        let principals = principals.map(|(name, one)| principal(&meta.access, name, one)).collect();
        Ok(v1::ListPrincipalsResponse { principals })
    }

    /// Makes a token.
    pub(super) async fn issue_token(
        &self,
        caller: &Caller,
        asked: v1::IssueTokenRequest,
    ) -> Answer<v1::IssueTokenResponse> {
        self.may(caller, Action::AccessAdmin)?;
        let good_for_ms = match asked.good_for_ms {
            0 => ACCESS_TOKEN_MS,
            ms => ms,
        };
        if !(ACCESS_TOKEN_MS_MIN..=ACCESS_TOKEN_MS_MAX).contains(&good_for_ms) {
            return Err(invalid(format!(
                "good_for_ms: it takes {ACCESS_TOKEN_MS_MIN} to {ACCESS_TOKEN_MS_MAX}"
            )));
        }
        let made = Secret::random(Some(rand::random()));
        let secret = made.map_err(|fault| ControlFault::NoAnswer(fault.to_string()))?;
        let id = secret.id.unwrap_or_default();
        let issued_ms = self.clock.wall().ms;
        let expires_ms = issued_ms.saturating_add(good_for_ms);
        let v1::IssueTokenRequest { principal, note, .. } = asked;
        let token = Token { principal, hash: secret.hash(), issued_ms, expires_ms, note };
        let owner = token.principal.clone();
        let issued = self.change(caller, Change::IssueToken { id, token }).await;
        self.found(issued, |access| access.principals.contains_key(&owner), "principal", &owner)?;
        Ok(v1::IssueTokenResponse { token: secret.reveal(), id: format!("{id:016x}"), expires_ms })
    }

    /// Makes a token worth nothing.
    pub(super) async fn revoke_token(&self, caller: &Caller, text: String) -> Answer<()> {
        self.may(caller, Action::AccessAdmin)?;
        let id = u64::from_str_radix(&text, 16);
        let id = id.map_err(|_| invalid("id: takes the 16 hexadecimal digits of a token's id"))?;
        let revoked = self.change(caller, Change::RevokeToken { id }).await;
        self.found(revoked, |access| access.tokens.contains_key(&id), "token", &text)
    }

    /// Adds a policy, or replaces one.
    pub(super) async fn put_policy(
        &self,
        caller: &Caller,
        asked: Option<v1::Policy>,
    ) -> Answer<()> {
        self.may(caller, Action::AccessAdmin)?;
        let asked = asked.ok_or_else(|| invalid("policy: none given"))?;
        let on = asked.on.iter().map(|text| text.parse::<Selector>());
        let sections = asked.sections.iter().map(|text| text.parse::<Path>());
        let policy = Policy {
            effect: if asked.deny { Effect::Deny } else { Effect::Allow },
            principals: asked.principals,
            actions: asked.actions,
            on: on.collect::<Result<_, _>>().map_err(invalid)?,
            sections: sections.collect::<Result<_, _>>().map_err(invalid)?,
        };
        let (name, filter) = (asked.name, asked.filter);
        let change = match filter.as_str() {
            "" => Change::PutPolicy { name, policy },
            _ => {
                check_filter(&filter)?;
                Change::PutFilteredPolicy(Box::new(Filtered { name, policy, filter }))
            }
        };
        self.change(caller, change).await
    }

    /// Takes a policy away.
    pub(super) async fn remove_policy(&self, caller: &Caller, name: String) -> Answer<()> {
        self.may(caller, Action::AccessAdmin)?;
        let removed = self.change(caller, Change::RemovePolicy { name: name.clone() }).await;
        self.found(removed, |access| access.policies.contains_key(&name), "policy", &name)
    }

    /// All policies.
    pub(super) fn list_policies(&self, caller: &Caller) -> Answer<v1::ListPoliciesResponse> {
        self.may(caller, Action::AccessRead)?;
        let meta = self.control.meta();
        let policies = meta.access.policies.iter();
        let policies = policies.map(|(name, one)| policy(&meta.access, name, one)).collect();
        Ok(v1::ListPoliciesResponse { policies })
    }

    /// What would be decided.
    pub(super) async fn check(
        &self,
        caller: &Caller,
        asked: &v1::CheckRequest,
    ) -> Answer<v1::CheckResponse> {
        self.may(caller, Action::AccessRead)?;
        let action = Action::of(&asked.action).ok_or_else(|| {
            let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
            invalid(format!(
                "action: there is no {:?}; there are {}",
                asked.action,
                names.join(", ")
            ))
        })?;
        let paths = match asked.section.as_str() {
            "" => Vec::new(),
            text => vec![text.parse::<Path>().map_err(invalid)?],
        };
        let of_cluster = action.is_of_cluster() || asked.on.is_empty();
        if of_cluster != action.is_of_cluster() {
            return Err(invalid(format!("on: {} is done to twins: name some", action.name())));
        }
        let selector = match asked.on.as_str() {
            "" | "*" => Selector::All,
            name if name.contains('/') => name.parse().map_err(invalid)?,
            name => format!("{DEFAULT_TENANT}/{name}").parse().map_err(invalid)?,
        };
        let on = match &selector {
            _ if of_cluster => On::Cluster,
            Selector::All => return Err(invalid("on: name a tenant, as `tenant/*`")),
            Selector::Fleet { tenant, prefix } => On::Fleet { tenant, prefix },
            Selector::Twin { tenant, device } if paths.is_empty() => On::Twin { tenant, device },
            Selector::Twin { tenant, device } => On::Parts { tenant, device, paths: &paths },
        };
        let (policies, who) = (self.doorman.policies(), asked.principal.as_str());
        let decision = match (&selector, asked.filter.as_str()) {
            (Selector::Twin { .. }, _) | (_, "") => {
                policies.decide(who, action, on, Known::Nothing)
            }
            (Selector::Fleet { tenant, .. }, filter) => {
                let filter = self.with_groups(tenant, filter)?;
                Filter::parse(&filter).map_err(|error| invalid(format!("filter: {error}")))?;
                policies.decide(who, action, on, Known::Filter(&filter))
            }
            (Selector::All, _) => return Err(invalid("filter: the cluster has none")),
        };
        let decision = match (&decision, &selector) {
            (Decision::Depends { .. }, Selector::Twin { tenant, device }) => {
                let key = convert::key(tenant, device)?;
                match self.facts(&key).await? {
                    Some(image) => policies.decide(who, action, on, Known::Twin(&key, &image)),
                    None => {
                        let why = format!("{decision}, and there is no {key}");
                        return Ok(v1::CheckResponse { allowed: false, why });
                    }
                }
            }
            _ => decision,
        };
        Ok(v1::CheckResponse { allowed: decision.is_allowed(), why: decision.to_string() })
    }

    /// What the policies say of a twin as it is now; one that is not there has no tags and no groups.
    pub(super) async fn decide_by_twin(
        &self,
        principal: &str,
        action: Action,
        key: &TwinKey,
    ) -> Result<Decision, Rejection> {
        let image = self.facts(key).await?.unwrap_or_else(|| facts_of(None, &[]));
        let on = On::Twin { tenant: key.tenant(), device: key.device() };
        Ok(self.doorman.policies().decide(principal, action, on, Known::Twin(key, &image)))
    }

    /// What the filters of policies are asked of, of a twin as it is now; nothing if it is not there.
    async fn facts(&self, key: &TwinKey) -> Result<Option<Arc<[u8]>>, Rejection> {
        let entry = Request::Registry(Box::new(RegistryRequest::Get));
        let tags = match self.call_own(key.clone(), Request::Get).await {
            Ok(Answered::Twin(view)) => view.tags.value,
            Ok(other) => return Err(unexpected(&other)),
            Err(Rejection::NotFound) => return Ok(None),
            Err(rejection) => return Err(rejection),
        };
        let groups = match self.call_own(key.clone(), entry).await {
            Ok(Answered::Registration(entry)) => entry.groups,
            Ok(other) => return Err(unexpected(&other)),
            Err(Rejection::NotFound) => Vec::new(),
            Err(rejection) => return Err(rejection),
        };
        Ok(Some(facts_of(Some(&tags), &groups)))
    }

    /// What was changed, the newest first.
    pub(super) fn audit(
        &self,
        caller: &Caller,
        asked: &v1::AuditRequest,
    ) -> Answer<v1::AuditResponse> {
        self.may(caller, Action::AccessRead)?;
        let limit = match asked.limit {
            0 => AUDIT_PAGE,
            limit => (limit as usize).min(AUDIT_PAGE_MAX),
        };
        let before = if asked.before == 0 { u64::MAX } else { asked.before };
        let meta = self.control.meta();
        let newest = meta.access.audit.iter().rev().filter(|entry| entry.number < before);
        let entries = newest.take(limit).map(|entry| v1::AuditEntry {
            number: entry.number,
            at_ms: entry.at_ms,
            node: entry.node,
            who: entry.who.clone(),
            via: entry.via.clone(),
            from: entry.from.clone(),
            what: entry.what.clone(),
            on: entry.on.clone(),
            result: entry.result.clone(),
        });
        Ok(v1::AuditResponse { entries: entries.collect() })
    }

    fn may(&self, caller: &Caller, action: Action) -> Answer<()> {
        let allowed = self.doorman.check(caller, action, On::Cluster);
        if let Err(rejection) = &allowed {
            let from = caller.from.map(|from| from.to_string()).unwrap_or_default();
            tracing::info!(
                target: "pollux::audit",
                who = &*caller.name, via = %caller.proof, from, what = action.name(),
                result = super::desk::reason(rejection),
                "refused"
            );
        }
        Ok(allowed?)
    }

    async fn change(&self, caller: &Caller, change: Change) -> Answer<()> {
        let what = match &change {
            Change::PutPrincipal { .. } => "principal put",
            Change::RemovePrincipal { .. } => "principal remove",
            Change::IssueToken { .. } => "token issue",
            Change::RevokeToken { .. } => "token revoke",
            Change::PutPolicy { .. } | Change::PutFilteredPolicy(_) => "policy put",
            Change::RemovePolicy { .. } => "policy remove",
            Change::Fleet(_) => "fleet",
            Change::Begin { .. } | Change::End { .. } => "note",
        };
        let changed = self.control.change_access(caller, change).await;
        let from = caller.from.map(|from| from.to_string()).unwrap_or_default();
        let result = changed.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
        tracing::info!(
            target: "pollux::audit",
            who = &*caller.name, via = %caller.proof, from, what, result,
            "audited"
        );
        Ok(changed?)
    }

    /// A refusal of what is not there, as what it is.
    fn found(
        &self,
        result: Answer<()>,
        there: impl FnOnce(&Access) -> bool,
        what: &str,
        name: &str,
    ) -> Answer<()> {
        match result {
            Err(AccessFault::Control(ControlFault::Refused(_)))
                if !there(&self.control.meta().access) =>
            {
                Err(AccessFault::NotFound(format!("there is no {what} {name:?}")))
            }
            result => result,
        }
    }
}

/// Whether a policy can have a filter: groups that are made of filters themselves are no part of it, as those may ask for
/// anything, and change without the policy.
fn check_filter(filter: &str) -> Answer<()> {
    let wrong = |error: ExpressionError| invalid(format!("filter: {error}"));
    let group = |name: &str| -> Result<String, String> {
        let put_in = pollux_query::put_in(name);
        Err(format!("a policy asks for a group that devices are put in, as {put_in}"))
    };
    pollux_query::write_out(filter, group).map_err(wrong)?;
    Filter::parse_for_rights(filter).map(drop).map_err(wrong)
}

fn principal(access: &Access, name: &str, one: &Principal) -> v1::Principal {
    let subject = |one: &Subject| v1::PrincipalSubject {
        issuer: one.issuer.clone(),
        subject: one.subject.clone(),
    };
    let token = |(id, token): (u64, &Token)| v1::PrincipalToken {
        id: format!("{id:016x}"),
        issued_ms: token.issued_ms,
        expires_ms: token.expires_ms,
        note: token.note.clone(),
    };
    v1::Principal {
        name: name.to_owned(),
        note: one.note.clone(),
        subjects: one.subjects.iter().map(subject).collect(),
        added_ms: one.added_ms,
        tokens: access.tokens_of(name).map(token).collect(),
    }
}

fn policy(access: &Access, name: &str, one: &Policy) -> v1::Policy {
    v1::Policy {
        name: name.to_owned(),
        deny: one.effect == Effect::Deny,
        principals: one.principals.clone(),
        actions: one.actions.clone(),
        on: one.on.iter().map(ToString::to_string).collect(),
        sections: one.sections.iter().map(ToString::to_string).collect(),
        filter: access.filters.get(name).cloned().unwrap_or_default(),
    }
}
