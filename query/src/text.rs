//! Times and durations as text.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::limits::DURATION_MS_MAX;

/// A time (milliseconds since the Unix epoch) by RFC 3339, to the millisecond, in UTC.
pub(crate) fn time(ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let text = at.ok().and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{ms}ms"))
}

/// The milliseconds since the Unix epoch of an RFC 3339 text.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A duration in seconds.
#[expect(clippy::cast_precision_loss, reason = "a text for people")]
pub(crate) fn duration(ms: i64) -> String {
    format!("{}s", ms as f64 / 1e3)
}

/// The milliseconds of a text such as `1h30m`, `-1.5s`, `250ms`. Days (`7d`) are 24 hours.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let ms = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * ms;
        rest = behind;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded in the same line")]
    (total <= DURATION_MS_MAX).then(|| (sign * total).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("1h30m", Some(5_400_000)),
            ("-1.5s", Some(-1_500)),
            ("250ms", Some(250)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("-", None),
            ("5", None),
            ("5x", None),
            ("h", None),
            ("1..5s", None),
            ("9999999999999999999999h", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_duration(text), ms, "{text}");
        }
        assert_eq!(duration(1_500), "1.5s");
    }

    #[test]
    fn times_come_back() {
        assert_eq!(parse_time("1970-01-01T00:00:01.500Z"), Some(1_500));
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(time(1_500), "1970-01-01T00:00:01.5Z");
        for text in ["", "yesterday", "1970-01-01", "1970-13-01T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
