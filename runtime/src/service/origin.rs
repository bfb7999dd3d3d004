//! Who calls, and how long they wait: read the same way at both doors.

use std::time::Duration;

use pollux_twin::Rejection;
use pollux_twin::input::Request;
use pollux_twin::limits::TEXT_BYTES_MAX;

use super::limits::{CALL_TIME_MAX, COMMAND_WAIT_MARGIN, COMMAND_WAIT_MAX};

/// The header, or metadata entry, that names the caller.
pub(super) const CALLER: &str = "pollux-caller";

/// The name of a caller that gives none.
const ANONYMOUS: &str = "anonymous";

/// By this name a twin tells that the device itself changed it.
const DEVICE: &str = "device";

/// The caller's name.
pub(super) fn caller(given: Option<&[u8]>) -> Result<String, Rejection> {
    let Some(name) = given else { return Ok(ANONYMOUS.to_owned()) };
    let invalid = |what: String| Err(Rejection::Invalid { reason: format!("{CALLER}: {what}") });
    if name.is_empty() || name.len() > TEXT_BYTES_MAX {
        return invalid(format!("has {} bytes; it takes 1 to {TEXT_BYTES_MAX}", name.len()));
    }
    if let Some(at) = name.iter().position(|byte| !byte.is_ascii_graphic()) {
        return invalid(format!(
            "has a character at byte {at} that is not allowed; use printable ASCII without spaces"
        ));
    }
    if name == DEVICE.as_bytes() {
        return invalid(
            "`device` means the device itself; use the name of your service".to_owned(),
        );
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// How long to wait for the answer of a request, if the caller waits for at most `patience`.
pub(super) fn timeout(request: &Request, patience: Option<Duration>) -> Duration {
    let own = match request {
        Request::Command { deadline_ms, wait: true, .. } => {
            (Duration::from_millis(*deadline_ms) + COMMAND_WAIT_MARGIN).min(COMMAND_WAIT_MAX)
        }
        _ => CALL_TIME_MAX,
    };
    patience.map_or(own, |patience| patience.min(own))
}

/// The time in a `grpc-timeout` entry: up to eight digits and a unit. What is malformed is not
/// there, as the gRPC specification leaves it to the server.
pub(super) fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers() {
        assert_eq!(caller(None), Ok("anonymous".to_owned()));
        assert_eq!(caller(Some(b"billing/eu")), Ok("billing/eu".to_owned()));
        for bad in [&b""[..], b"two words", b"device", "ä".as_bytes(), &[b'x'; 257]] {
            assert!(matches!(caller(Some(bad)), Err(Rejection::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn timeouts_of_grpc() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "1", "123456789m", "+1m", "1x", ""] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_shorter_patience_counts() {
        let wait = Request::Command {
            name: "n".to_owned(),
            payload: pollux_twin::Value::Null,
            deadline_ms: 5_000,
            queue: false,
            wait: true,
        };
        assert_eq!(timeout(&wait, None), Duration::from_secs(7));
        assert_eq!(timeout(&Request::Get, None), CALL_TIME_MAX);
        assert_eq!(timeout(&wait, Some(Duration::from_secs(1))), Duration::from_secs(1));
    }
}
