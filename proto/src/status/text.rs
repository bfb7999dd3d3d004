//! Rejections as sentences for people: lower case, no full stop, what was wrong and what would be
//! right.

use pollux_twin::Rejection;
use pollux_twin::change::Section;
use pollux_twin::limits::KEY_BYTES_MAX;
use pollux_twin::rejection::Violation;

use crate::enrol::NO_AUTHORITY;

/// The sentence for people. May change; machines read the row's `reason`.
pub fn message(rejection: &Rejection) -> String {
    use Rejection as R;
    let fixed = match rejection {
        R::VersionMismatch { section, expected, actual } => {
            let what = section.map_or("the twin", Section::name);
            return format!(
                "{what} has version {actual}, not the expected {expected}; \
                 read it again and decide anew"
            );
        }
        R::TooLarge { bytes, max } => {
            return format!(
                "the section or value would have {bytes} bytes as JSON; at most {max} are allowed"
            );
        }
        R::TooDeep { max } => {
            return format!("value nests too deep; at most {max} levels are allowed");
        }
        R::BadKey { key } => {
            return format!(
                "key {key:?} is empty or longer than limits.key_bytes_max, unless configured otherwise \
                 {KEY_BYTES_MAX} bytes; use another name"
            );
        }
        R::TooMany { what, max } => return format!("too many {what}; at most {max} are allowed"),
        R::Invalid { reason } | R::Unauthenticated { reason } => return reason.clone(),
        R::Forbidden { action, on } => {
            return format!(
                "you may not {action} on {on}; ask whoever runs the cluster for a policy that allows it"
            );
        }
        R::OutOfOrder { expected } => {
            return format!("number is not the next one; send again from {expected}");
        }
        R::Overloaded { retry_after_ms } => {
            return format!("too busy, nothing was done; try again in {retry_after_ms} ms");
        }
        R::TookTooLong { max_ms } => return took_too_long(*max_ms),
        R::NotRegistered
        | R::Disabled { .. }
        | R::BadCredential { .. }
        | R::UnknownCredential { .. }
        | R::LevelTooLow { .. }
        | R::SchemaViolated(_)
        | R::UnknownType { .. }
        | R::UnknownGroup { .. }
        | R::NotEnrolled { .. } => return of_registry(rejection),
        R::NotFound => "there is no such twin, or it was deleted",
        R::NotAnObject => "a section must be a JSON object",
        R::DeviceOffline => {
            "the device is not connected; set queue to keep the command until it is"
        }
        R::UnknownCommand => "no command of that id is known; those long over are forgotten",
        R::CommandOver => {
            "the command is over or being delivered; only a waiting one can be cancelled"
        }
        R::KeyReused => {
            "the idempotency key was used for another request; use a new key for each request"
        }
        R::SessionOver => "the session is over; connect again",
        R::OutOfSpace => "the node is short of disk space and takes no writes; reads go on",
        R::Quarantined => "the twin broke an invariant and was set aside until someone looks",
        R::NotOwner => "this node does not own the twin's shard now; ask again",
        R::Behind => "this replica is not as fresh as asked; ask again, or without `stale`",
        R::Unknown => {
            "no answer came in time, it may have taken effect or not; \
             ask again with the same idempotency key"
        }
    };
    fixed.to_owned()
}

fn took_too_long(max_ms: u64) -> String {
    format!(
        "a node was not done with the query after {max_ms} ms; ask of fewer twins, or by a path that has an index \
         (`query.indexes`)"
    )
}

/// The sentence of a refusal by the registry.
fn of_registry(rejection: &Rejection) -> String {
    use Rejection as R;
    match rejection {
        R::Disabled { reason } if !reason.is_empty() => {
            format!("the device is disabled ({reason}); enable it to let it in")
        }
        R::Disabled { .. } => "the device is disabled; enable it to let it in".to_owned(),
        R::BadCredential { expired: Some(name) } => {
            format!("credential {name:?} of the device has expired; give it another")
        }
        R::BadCredential { expired: None } => {
            "what the device shows is no credential of its own; give it one, or show another"
                .to_owned()
        }
        R::UnknownCredential { name } => {
            format!("the device has no credential {name:?}; read its entry for those it has")
        }
        R::LevelTooLow { level, needed } => format!(
            "the cluster runs at level {level}, and this needs level {needed}; upgrade all nodes, then run \
             `pollux cluster upgrade --finish`"
        ),
        R::SchemaViolated(violation) => {
            let Violation { of_type, version, part, at, wrong } = &**violation;
            let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
            format!("{part}{at} is not as type {of_type:?} (version {version}) has it: {wrong}")
        }
        R::UnknownType { name } => {
            format!("there is no device type {name:?}; `pollux type list` shows those there are")
        }
        R::UnknownGroup { name } => format!(
            "there is no group {name:?} that devices are put in; `pollux group list` shows those there are"
        ),
        R::NotEnrolled { why } => format!("the device is not enrolled: {}", not_enrolled(why)),
        _ => "the device is not registered, and only those that are may come; register it first"
            .to_owned(),
    }
}

/// Why an enrolment does not bring a device.
fn not_enrolled(why: &str) -> &str {
    match why {
        "wrong_proof" => "there is no such enrolment, or the proof was not made with its key",
        "wrong_time" => "its clock is more than five minutes off the node's; set it and try again",
        "disabled" => "the enrolment is disabled",
        "expired" => "the enrolment has expired",
        "wrong_name" => "the enrolment is for devices with other names",
        "exhausted" => "the enrolment was used for as many devices as it may",
        "taken" => {
            "a device of this name is there that the enrolment did not bring; delete it, or use another name"
        }
        "replayed" => "the proof was used before; make a new one with the time of now",
        NO_AUTHORITY => {
            "this node cannot sign certificates: ask the node that has the key of the device CA, or for a token"
        }
        other => other,
    }
}
