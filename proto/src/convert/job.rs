//! Jobs as JSON, as HTTP takes and shows them, the command line prints them and the cluster keeps what one is about.
//! Whether a job makes sense is its service's decision.

use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Rejection, Value};

use super::call::wrong;
use super::json;
use crate::json_view::object;
use crate::v1;
use crate::v1::job_spec::{Action, Whose};

/// What a job is about takes these members.
const MEMBERS: &str = "prefix, filter, devices; tags, desired, command or artifact; await, rate_per_s, batch, canary, \
     abort_above_percent, start_at_ms, timeout_ms, retries, retry_after_ms and keep_ms";

/// What a job is about, as JSON; what has its default is left out.
pub fn job_spec_json(spec: &v1::JobSpec, limits: &JsonLimits) -> Result<Value, Rejection> {
    let mut out = Object::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    match &spec.whose {
        Some(Whose::Fleet(fleet)) => {
            set("prefix", fleet.prefix.as_str().into());
            set("filter", fleet.filter.as_str().into());
        }
        Some(Whose::Devices(listed)) => {
            let devices = listed.devices.iter().map(|device| device.as_str().into());
            set("devices", Value::Array(devices.collect()));
        }
        None => {}
    }
    match &spec.action {
        Some(Action::TagsJson(text)) => {
            set("tags", json("tags_json", text, limits)?);
        }
        Some(Action::DesiredJson(text)) => {
            set("desired", json("desired_json", text, limits)?);
        }
        Some(Action::Command(command)) => {
            let payload = match command.payload_json.as_str() {
                "" => Value::Null,
                text => json("payload_json", text, limits)?,
            };
            let members = [
                ("name", command.name.as_str().into()),
                ("payload", payload),
                ("connected_only", command.connected_only.into()),
            ];
            set("command", object(members));
        }
        Some(Action::Artifact(artifact)) => {
            set("artifact", artifact_json(artifact));
        }
        None => {}
    }
    if spec.r#await() == v1::JobAwait::Written {
        set("await", "written".into());
    }
    if let Some(percent) = spec.abort_above_percent {
        set("abort_above_percent", u64::from(percent).into());
    }
    let numbers = [
        ("rate_per_s", u64::from(spec.rate_per_s)),
        ("batch", u64::from(spec.batch)),
        ("canary", u64::from(spec.canary)),
        ("start_at_ms", spec.start_at_ms),
        ("timeout_ms", spec.timeout_ms),
        ("retries", u64::from(spec.retries)),
        ("retry_after_ms", spec.retry_after_ms),
        ("keep_ms", spec.keep_ms),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        set(name, number.into());
    }
    Ok(out.into())
}

/// What a job is about, from JSON.
pub fn job_spec_from_json(value: Value) -> Result<v1::JobSpec, Rejection> {
    let mut given = members("job", value)?;
    let whose = match (list(&mut given)?, text(&mut given, "prefix")?, text(&mut given, "filter")?)
    {
        (Some(devices), None, None) => Some(Whose::Devices(v1::JobDevices { devices })),
        (Some(_), ..) => {
            return Err(wrong("devices: takes either devices, or prefix and filter"));
        }
        (None, None, None) => None,
        (None, prefix, filter) => Some(Whose::Fleet(v1::JobFleet {
            prefix: prefix.unwrap_or_default(),
            filter: filter.unwrap_or_default(),
        })),
    };
    let actions = ["tags", "desired", "command", "artifact"].map(|name| given.remove(name));
    let action = match actions {
        [None, None, None, None] => None,
        [Some(tags), None, None, None] => Some(Action::TagsJson(tags.to_json())),
        [None, Some(desired), None, None] => Some(Action::DesiredJson(desired.to_json())),
        [None, None, Some(command), None] => Some(Action::Command(command_from(command)?)),
        [None, None, None, Some(artifact)] => Some(Action::Artifact(artifact_from(artifact)?)),
        _ => return Err(wrong("action: takes one of tags, desired, command and artifact")),
    };
    let awaited = match text(&mut given, "await")?.as_deref() {
        None => v1::JobAwait::Unspecified,
        Some("applied") => v1::JobAwait::Applied,
        Some("written") => v1::JobAwait::Written,
        Some(_) => return Err(wrong("await: takes applied or written")),
    };
    let small = |given: &mut Object, name: &str| {
        let number = number(given, name)?;
        let too_many = |_| wrong(&format!("{name}: takes at most {}", u32::MAX));
        number.map(|number| u32::try_from(number).map_err(too_many)).transpose()
    };
    let rate = small(&mut given, "rate_per_s")?;
    // Whoever writes it means that nothing should go, and not all at once.
    if rate == Some(0) {
        return Err(wrong("rate_per_s: takes more than 0; leave it out for no limit"));
    }
    let spec = v1::JobSpec {
        whose,
        action,
        r#await: awaited.into(),
        rate_per_s: rate.unwrap_or_default(),
        batch: small(&mut given, "batch")?.unwrap_or_default(),
        canary: small(&mut given, "canary")?.unwrap_or_default(),
        abort_above_percent: small(&mut given, "abort_above_percent")?,
        start_at_ms: number(&mut given, "start_at_ms")?.unwrap_or_default(),
        timeout_ms: number(&mut given, "timeout_ms")?.unwrap_or_default(),
        retries: small(&mut given, "retries")?.unwrap_or_default(),
        retry_after_ms: number(&mut given, "retry_after_ms")?.unwrap_or_default(),
        keep_ms: number(&mut given, "keep_ms")?.unwrap_or_default(),
    };
    no_more("job", &given, MEMBERS)?;
    Ok(spec)
}

/// What a job says of its artifact.
fn artifact_json(artifact: &v1::JobArtifact) -> Value {
    let texts = [
        ("name", &artifact.name),
        ("version", &artifact.version),
        ("at", &artifact.at),
        ("sha256", &artifact.sha256),
        ("signature", &artifact.signature),
        ("key", &artifact.key),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let size = (artifact.size > 0).then(|| ("size", artifact.size.into()));
    object(texts.map(|(name, text)| (name, text.as_str().into())).chain(size))
}

fn artifact_from(value: Value) -> Result<v1::JobArtifact, Rejection> {
    let mut given = members("artifact", value)?;
    let mut get = |name| Ok::<_, Rejection>(text(&mut given, name)?.unwrap_or_default());
    let artifact = v1::JobArtifact {
        name: get("name")?,
        version: get("version")?,
        at: get("at")?,
        sha256: get("sha256")?,
        signature: get("signature")?,
        key: get("key")?,
        size: number(&mut given, "size")?.unwrap_or_default(),
    };
    no_more("artifact", &given, "name, version and at")?;
    Ok(artifact)
}

/// A job as JSON.
pub fn job_json(job: &v1::Job, limits: &JsonLimits) -> Value {
    // What the cluster keeps was read before.
    let spec = job.spec.as_ref().and_then(|spec| job_spec_json(spec, limits).ok());
    let totals = job.totals.unwrap_or_default();
    let totals = [
        ("devices", totals.devices),
        ("waiting", totals.waiting),
        ("under_way", totals.under_way),
        ("done", totals.done),
        ("failed", totals.failed),
        ("unknown", totals.unknown),
        ("cancelled", totals.cancelled),
    ];
    let times = [("started_at_ms", job.started_at_ms), ("ended_at_ms", job.ended_at_ms)];
    let known = [
        ("tenant", job.tenant.as_str().into()),
        ("name", job.name.as_str().into()),
        ("spec", spec.unwrap_or_else(Value::object)),
        ("state", job_state_name(job.state()).into()),
        ("totals", object(totals.map(|(name, count)| (name, count.into())))),
        ("created_by", job.created_by.as_str().into()),
        ("created_at_ms", job.created_at_ms.into()),
    ];
    let times = times.into_iter().filter(|(_, ms)| *ms > 0).map(|(name, ms)| (name, ms.into()));
    let reason = (!job.reason.is_empty()).then(|| ("reason", job.reason.as_str().into()));
    object(known.into_iter().chain(times).chain(reason))
}

/// A device of a job as JSON.
pub fn job_device_json(one: &v1::JobDevice) -> Value {
    let known = [
        ("device", one.device.as_str().into()),
        ("state", job_device_state_name(one.state()).into()),
        ("attempts", u64::from(one.attempts).into()),
    ];
    let numbers = [("at_ms", one.at_ms), ("number", one.number)];
    let numbers = numbers.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name, n.into()));
    let reason = (!one.reason.is_empty()).then(|| ("reason", one.reason.as_str().into()));
    object(known.into_iter().chain(numbers).chain(reason))
}

/// The name of a job's state.
pub const fn job_state_name(state: v1::JobState) -> &'static str {
    match state {
        v1::JobState::Unspecified => "unspecified",
        v1::JobState::Scheduled => "scheduled",
        v1::JobState::Selecting => "selecting",
        v1::JobState::Running => "running",
        v1::JobState::Paused => "paused",
        v1::JobState::Aborting => "aborting",
        v1::JobState::Cancelling => "cancelling",
        v1::JobState::Finished => "finished",
        v1::JobState::Aborted => "aborted",
        v1::JobState::Cancelled => "cancelled",
    }
}

/// Whether a job in that state is over.
pub const fn job_is_over(state: v1::JobState) -> bool {
    matches!(state, v1::JobState::Finished | v1::JobState::Aborted | v1::JobState::Cancelled)
}

/// The names of the states of a job's devices.
pub const JOB_DEVICE_STATES: [(&str, v1::JobDeviceState); 6] = [
    ("waiting", v1::JobDeviceState::Waiting),
    ("under_way", v1::JobDeviceState::UnderWay),
    ("done", v1::JobDeviceState::Done),
    ("failed", v1::JobDeviceState::Failed),
    ("unknown", v1::JobDeviceState::Unknown),
    ("cancelled", v1::JobDeviceState::Cancelled),
];

/// The name of the state of a job's device.
pub fn job_device_state_name(state: v1::JobDeviceState) -> &'static str {
    let named = JOB_DEVICE_STATES.into_iter().find(|(_, one)| *one == state);
    named.map_or("unspecified", |(name, _)| name)
}

/// The state of a job's device of that name.
pub fn job_device_state_named(name: &str) -> Option<v1::JobDeviceState> {
    JOB_DEVICE_STATES.into_iter().find(|(one, _)| *one == name).map(|(_, state)| state)
}

fn command_from(value: Value) -> Result<v1::JobCommand, Rejection> {
    let mut given = members("command", value)?;
    let name = text(&mut given, "name")?.unwrap_or_default();
    let payload = given.remove("payload").unwrap_or_default();
    let connected_only = match given.remove("connected_only") {
        None => false,
        Some(Value::Bool(only)) => only,
        Some(_) => return Err(wrong("connected_only: takes true or false")),
    };
    no_more("command", &given, "name, payload and connected_only")?;
    Ok(v1::JobCommand { name, payload_json: payload.to_json(), connected_only })
}

fn members(what: &str, value: Value) -> Result<Object, Rejection> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(wrong(&format!("{what}: takes an object"))),
    }
}

fn list(given: &mut Object) -> Result<Option<Vec<String>>, Rejection> {
    let refused = || wrong("devices: takes a list of names");
    let items = match given.remove("devices") {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(refused()),
    };
    let name = |item| match item {
        Value::String(name) => Ok(name),
        _ => Err(refused()),
    };
    items.into_iter().map(name).collect::<Result<_, _>>().map(Some)
}

fn text(given: &mut Object, name: &str) -> Result<Option<String>, Rejection> {
    match given.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("{name}: takes a string"))),
    }
}

fn number(given: &mut Object, name: &str) -> Result<Option<u64>, Rejection> {
    match given.remove(name) {
        None => Ok(None),
        Some(Value::Int(number)) if number >= 0 => Ok(Some(number.unsigned_abs())),
        Some(Value::Uint(number)) => Ok(Some(number)),
        Some(_) => Err(wrong(&format!("{name}: takes a whole number"))),
    }
}

fn no_more(whose: &str, given: &Object, right: &str) -> Result<(), Rejection> {
    match given.keys().next() {
        None => Ok(()),
        Some(name) => Err(wrong(&format!("{whose} has no member {name:?}; it takes {right}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<v1::JobSpec, Rejection> {
        job_spec_from_json(Value::from_json(text, &JsonLimits::default()).unwrap())
    }

    #[test]
    fn what_a_job_is_about_comes_back() {
        for text in [
            r#"{"batch":100,"canary":5,"desired":{"a":[1,{"b":null}]},"filter":"tags.a == 1","prefix":"p"}"#,
            r#"{"abort_above_percent":0,"command":{"connected_only":true,"name":"reboot","payload":{"n":1}},"devices":["a","b"],"retries":3}"#,
            r#"{"await":"written","keep_ms":18446744073709551615,"tags":{}}"#,
            r#"{"artifact":{"at":"a.b","key":"k","name":"fw","sha256":"00","size":9,"version":"2"},"devices":["a"]}"#,
        ] {
            let spec = read(text).unwrap();
            let shown = job_spec_json(&spec, &JsonLimits::default()).unwrap();
            assert_eq!(shown.to_json(), text);
        }
    }

    #[test]
    fn what_makes_no_job_is_told() {
        for (text, said) in [
            ("[]", "takes an object"),
            (r#"{"tags":{},"desired":{}}"#, "takes one of tags, desired, command and artifact"),
            (r#"{"devices":["a"],"prefix":"b"}"#, "either devices, or prefix"),
            (r#"{"devices":"a"}"#, "a list of names"),
            (r#"{"rate_per_s":-1}"#, "rate_per_s: takes a whole number"),
            (r#"{"rate_per_s":0}"#, "rate_per_s: takes more than 0; leave it out for no limit"),
            (r#"{"batch":4294967296}"#, "at most 4294967295"),
            (r#"{"await":"never"}"#, "applied or written"),
            (r#"{"speed":1}"#, "no member \"speed\""),
            (r#"{"command":{"nam":"x"}}"#, "no member \"nam\""),
            (r#"{"artifact":{"nam":"x"}}"#, "no member \"nam\""),
            (r#"{"artifact":{"name":7}}"#, "name: takes"),
        ] {
            let refused = format!("{:?}", read(text).unwrap_err());
            assert!(refused.contains(&said.replace('"', "\\\"")), "{text}: {refused}");
        }
    }
}
