//! What a job is about, checked: whom it selects, what it does to each, and its rules. Owns what is refused of it.

use pollux_proto::v1;
use pollux_proto::v1::job_spec::{Action as Asked, Whose as Selected};
use pollux_query::Filter;
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::limits::{COMMAND_BYTES_MAX, TEXT_BYTES_MAX};
use pollux_twin::{JsonLimits, Rejection, TwinKey, Value};

use super::limits::{
    KEEP_MS, KEEP_MS_MAX, NAMED_MAX, RATE_MAX, RETRIES_MAX, RETRY_AFTER_MS, RETRY_AFTER_MS_MAX,
    START_MS_MAX, TIMEOUT_MS, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN,
};
use super::machine::{Finish, Rules};
use crate::access::Narrowed;
use crate::router::Scope;

/// Whom a job selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// All of its tenant whose name begins so, and for which the filter holds.
    Fleet { prefix: String, filter: String },
    /// These, in order, each once.
    Named(Vec<TwinKey>),
}

impl Whose {
    /// The same for whoever made the job: a filter tells of twins what is in them, so it may ask for those alone that its
    /// maker may query.
    pub(crate) fn narrowed(
        &self,
        tenant: &str,
        narrow: impl FnOnce(&Scope, &str) -> Result<Narrowed, Rejection>,
    ) -> Result<Self, Rejection> {
        match self {
            Self::Fleet { prefix, filter } if !filter.is_empty() => {
                let (tenant, prefix) = (tenant.to_owned(), prefix.clone());
                let scope = Scope::Prefix { tenant, prefix: prefix.clone() };
                Ok(Self::Fleet { filter: narrow(&scope, filter)?.filter, prefix })
            }
            other => Ok(other.clone()),
        }
    }
}

/// What a job does to each device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Merge { section: Section, patch: Value },
    Command { name: String, payload: Value, connected_only: bool },
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) whose: Whose,
    pub(crate) action: Action,
    pub(crate) rules: Rules,
    /// 0: at once.
    pub(crate) start_at_ms: u64,
    pub(crate) keep_ms: u64,
}

impl Plan {
    /// Reads what a job of a tenant is about.
    pub(crate) fn read(
        tenant: &str,
        spec: &v1::JobSpec,
        limits: &JsonLimits,
    ) -> Result<Self, Rejection> {
        let whose = whose(tenant, spec)?;
        let action = action(spec, limits)?;
        let rules = rules(spec, &action)?;
        let keep_ms = or(spec.keep_ms, KEEP_MS);
        within("keep_ms", keep_ms, 1, KEEP_MS_MAX)?;
        Ok(Self { whose, action, rules, start_at_ms: spec.start_at_ms, keep_ms })
    }

    /// Whether it can be made at a time.
    pub(crate) fn check_start(&self, now_ms: u64) -> Result<(), Rejection> {
        let start_ms = self.start_at_ms;
        if start_ms == 0 || (now_ms..=now_ms + START_MS_MAX).contains(&start_ms) {
            return Ok(());
        }
        let when = if start_ms < now_ms { "is over" } else { "is more than a year ahead" };
        Err(wrong(format!(
            "start_at_ms: {start_ms} {when}, as it is {now_ms} now; leave it out to start at once"
        )))
    }

    /// The call that does it to one device.
    pub(crate) fn request(&self) -> Request {
        match &self.action {
            Action::Merge { section, patch } => Request::Patch {
                section: *section,
                patch: patch.clone(),
                whole: false,
                expected: None,
            },
            Action::Command { name, payload, connected_only } => Request::Command {
                name: name.clone(),
                payload: payload.clone(),
                deadline_ms: self.rules.timeout_ms,
                queue: !connected_only,
                wait: false,
            },
        }
    }
}

fn whose(tenant: &str, spec: &v1::JobSpec) -> Result<Whose, Rejection> {
    match &spec.whose {
        None => Err(wrong(
            "selector: none given; name devices, or a prefix (an empty one is the whole tenant)",
        )),
        Some(Selected::Fleet(fleet)) => {
            if !fleet.filter.is_empty() {
                let parsed = Filter::parse_for_changes(&fleet.filter);
                parsed.map_err(|error| wrong(format!("filter: {error}")))?;
            }
            Ok(Whose::Fleet { prefix: fleet.prefix.clone(), filter: fleet.filter.clone() })
        }
        Some(Selected::Devices(listed)) => {
            let count = listed.devices.len();
            if count == 0 {
                return Err(wrong("devices: none named; name at least one"));
            }
            if count > NAMED_MAX {
                return Err(wrong(format!(
                    "devices: {count} are named; it takes {NAMED_MAX}, for more use a prefix or a filter"
                )));
            }
            let key = |device: &String| {
                pollux_proto::convert::key(tenant, device).map_err(|rejection| match rejection {
                    Rejection::Invalid { reason } => wrong(format!("{device:?}: {reason}")),
                    other => other,
                })
            };
            let mut keys = listed.devices.iter().map(key).collect::<Result<Vec<_>, _>>()?;
            keys.sort_unstable();
            if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
                let device = twice[0].device();
                return Err(wrong(format!("devices: {device:?} is named twice; name each once")));
            }
            Ok(Whose::Named(keys))
        }
    }
}

fn action(spec: &v1::JobSpec, limits: &JsonLimits) -> Result<Action, Rejection> {
    let merge = |section: Section, field: &str, text: &str| {
        let patch = pollux_proto::convert::json(field, text, limits)?;
        match &patch {
            Value::Object(members) if members.is_empty() => {
                Err(wrong(format!("{field}: changes nothing; name what is to be set")))
            }
            Value::Object(_) => Ok(Action::Merge { section, patch }),
            _ => Err(wrong(format!("{field}: takes an object, as a section is one"))),
        }
    };
    match &spec.action {
        None => Err(wrong("action: none given; set tags, desired, command or artifact")),
        Some(Asked::Artifact(artifact)) => {
            let patch = super::artifact::patch(artifact)?;
            Ok(Action::Merge { section: Section::Desired, patch })
        }
        Some(Asked::TagsJson(text)) => merge(Section::Tags, "tags", text),
        Some(Asked::DesiredJson(text)) => merge(Section::Desired, "desired", text),
        Some(Asked::Command(command)) => {
            let name = command.name.clone();
            if name.is_empty() || name.len() > TEXT_BYTES_MAX {
                let bytes = name.len();
                return Err(wrong(format!(
                    "command name: has {bytes} bytes; it takes 1 to {TEXT_BYTES_MAX}"
                )));
            }
            let payload = match command.payload_json.as_str() {
                "" => Value::Null,
                text => pollux_proto::convert::json("payload", text, limits)?,
            };
            let bytes = payload.to_json().len();
            if bytes > COMMAND_BYTES_MAX {
                return Err(wrong(format!(
                    "payload: has {bytes} bytes as JSON; a command takes {COMMAND_BYTES_MAX}"
                )));
            }
            Ok(Action::Command { name, payload, connected_only: command.connected_only })
        }
    }
}

fn rules(spec: &v1::JobSpec, action: &Action) -> Result<Rules, Rejection> {
    let awaited = v1::JobAwait::try_from(spec.r#await)
        .map_err(|_| wrong("await: not known; use applied or written"))?;
    let finish = match (action, awaited) {
        (Action::Command { .. }, v1::JobAwait::Written) => {
            return Err(wrong("await: a command is done when it is answered; leave it out"));
        }
        (Action::Command { .. }, _) => Finish::Answered,
        (Action::Merge { section: Section::Desired, .. }, v1::JobAwait::Written) => Finish::Taken,
        (Action::Merge { section: Section::Desired, .. }, _) => Finish::Acknowledged,
        (Action::Merge { .. }, v1::JobAwait::Applied) => {
            return Err(wrong("await: devices never see tags; leave it out, or use written"));
        }
        (Action::Merge { .. }, _) => Finish::Taken,
    };
    within("rate_per_s", u64::from(spec.rate_per_s), 0, u64::from(RATE_MAX))?;
    if spec.batch > 0 && spec.canary > spec.batch {
        let (canary, batch) = (spec.canary, spec.batch);
        return Err(wrong(format!(
            "canary: {canary} devices are more than a batch of {batch}; use at most {batch}"
        )));
    }
    if let Some(percent) = spec.abort_above_percent.filter(|percent| *percent > 99) {
        return Err(wrong(format!(
            "abort_above_percent: {percent}; it takes 0 to 99, without it nothing aborts the job"
        )));
    }
    let timeout_ms = or(spec.timeout_ms, TIMEOUT_MS);
    within("timeout_ms", timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX)?;
    within("retries", u64::from(spec.retries), 0, u64::from(RETRIES_MAX))?;
    let retry_after_ms = or(spec.retry_after_ms, RETRY_AFTER_MS);
    within("retry_after_ms", retry_after_ms, 1, RETRY_AFTER_MS_MAX)?;
    if spec.retry_after_ms > 0 && spec.retries == 0 {
        return Err(wrong("retry_after_ms: nothing is tried again; set retries, too"));
    }
    Ok(Rules {
        finish,
        rate_per_s: spec.rate_per_s,
        batch: u64::from(spec.batch),
        canary: u64::from(spec.canary),
        abort_above_percent: spec.abort_above_percent.map(u64::from),
        timeout_ms,
        retries: spec.retries,
        retry_after_ms,
    })
}

const fn or(given: u64, default: u64) -> u64 {
    if given == 0 { default } else { given }
}

fn within(what: &str, given: u64, least: u64, most: u64) -> Result<(), Rejection> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(wrong(format!("{what}: {given}; it takes {least} to {most}")))
}

pub(super) fn wrong(reason: impl Into<String>) -> Rejection {
    Rejection::Invalid { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Plan, Rejection> {
        let limits = JsonLimits::default();
        let value = Value::from_json(json, &limits).unwrap();
        Plan::read("acme", &pollux_proto::convert::job_spec_from_json(value)?, &limits)
    }

    #[test]
    fn what_makes_sense_is_read() {
        let plan = read(r#"{"devices":["b","a"],"tags":{"n":1},"canary":1}"#).unwrap();
        let Whose::Named(keys) = plan.whose else { panic!("named") };
        let keys: Vec<_> = keys.iter().map(TwinKey::as_str).collect();
        assert_eq!(keys, ["acme/a", "acme/b"]);
        assert_eq!(plan.rules.finish, Finish::Taken);
        let plan = read(r#"{"prefix":"","filter":"tags.n > 1","desired":{"n":1}}"#).unwrap();
        assert_eq!(plan.rules.finish, Finish::Acknowledged);
        let plan = read(r#"{"prefix":"","command":{"name":"reboot"},"timeout_ms":5000}"#).unwrap();
        let Request::Command { deadline_ms: 5000, queue: true, wait: false, .. } = plan.request()
        else {
            panic!("{:?}", plan.request())
        };
    }

    #[test]
    fn what_makes_none_is_told() {
        for (json, said) in [
            (r#"{"tags":{"a":1}}"#, "selector: none given"),
            (r#"{"prefix":""}"#, "action: none given"),
            (r#"{"devices":[],"tags":{"a":1}}"#, "none named"),
            (r#"{"devices":["a","b","a"],"tags":{"a":1}}"#, "named twice"),
            (r#"{"devices":["a/b"],"tags":{"a":1}}"#, "device: id has a character"),
            (r#"{"prefix":"","tags":{}}"#, "changes nothing"),
            (r#"{"prefix":"","tags":[1]}"#, "takes an object"),
            (r#"{"prefix":"","filter":"tags.a >","tags":{"a":1}}"#, "filter: "),
            (r#"{"prefix":"","filter":"now > 5","tags":{"a":1}}"#, "filter: "),
            (r#"{"prefix":"","tags":{"a":1},"rate_per_s":100001}"#, "rate_per_s: 100001; it takes"),
            (r#"{"prefix":"","tags":{"a":1},"batch":5,"canary":6}"#, "more than a batch of 5"),
            (r#"{"prefix":"","tags":{"a":1},"abort_above_percent":100}"#, "it takes 0 to 99"),
            (r#"{"prefix":"","tags":{"a":1},"timeout_ms":5}"#, "timeout_ms: 5; it takes 1000 to"),
            (r#"{"prefix":"","command":{"name":"x"},"timeout_ms":604800001}"#, "to 604800000"),
            (r#"{"prefix":"","tags":{"a":1},"retries":11}"#, "retries: 11; it takes 0 to 10"),
            (r#"{"prefix":"","tags":{"a":1},"retry_after_ms":5}"#, "set retries, too"),
            (r#"{"prefix":"","tags":{"a":1},"await":"applied"}"#, "never see tags"),
            (r#"{"prefix":"","command":{"name":"x"},"await":"written"}"#, "when it is answered"),
            (r#"{"prefix":"","command":{"name":""}}"#, "command name: has 0 bytes"),
            (r#"{"prefix":"","tags":{"a":1},"keep_ms":99999999999999}"#, "keep_ms: "),
        ] {
            let refused = format!("{:?}", read(json).unwrap_err());
            assert!(refused.contains(said), "{json}: {refused}");
        }
        let plan = Plan { start_at_ms: 5, ..read(r#"{"prefix":"","tags":{"a":1}}"#).unwrap() };
        assert!(plan.check_start(6).is_err() && plan.check_start(5).is_ok());
        assert!(Plan { start_at_ms: u64::MAX, ..plan }.check_start(6).is_err());
    }
}
