//! Entity tags (RFC 9110): a section's is its version; a twin's is its version and a checksum of
//! the document, since telemetry and presence change without a version.

use axum::http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use super::problem::Problem;

/// The tag of a section.
pub(super) fn of_section(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits and quotes are a header value")
}

/// The tag of a twin's document.
pub(super) fn of_twin(version: u64, document: &str) -> HeaderValue {
    let sum = crc32c::crc32c(document.as_bytes());
    HeaderValue::from_str(&format!("\"{version}-{sum:08x}\""))
        .expect("digits, a dash and quotes are a header value")
}

/// Whether the caller has this already (`If-None-Match`).
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter();
    known.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes()
    })
}

/// The version that a write expects: that of `If-Match`, or none yet with `If-None-Match: *`.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if headers.contains_key(IF_MATCH) && headers.contains_key(IF_NONE_MATCH) {
        let detail =
            "if-match and if-none-match: a write has a version or has none; send one of them";
        return Err(Problem::invalid(detail));
    }
    if let Some(value) = headers.get(IF_MATCH) {
        let one = headers.get_all(IF_MATCH).iter().count() == 1;
        let version = value.to_str().ok().filter(|_| one).and_then(version);
        return version.map(Some).ok_or_else(|| {
            Problem::invalid(
                "if-match: takes one tag as an answer gave it in etag, such as \"5\" (with quotes)",
            )
        });
    }
    match headers.get(IF_NONE_MATCH) {
        None => Ok(None),
        Some(value) if value == "*" => Ok(Some(0)),
        Some(_) => Err(Problem::invalid("if-none-match: a write takes only *")),
    }
}

/// The version in a tag.
fn version(tag: &str) -> Option<u64> {
    // Proxies that compress weaken a tag; the version in it stays what it is.
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let digits = tag.split_once('-').map_or(tag, |(version, _)| version);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    }

    #[test]
    fn expectations() {
        assert_eq!(expected(&HeaderMap::new()).unwrap(), None);
        assert_eq!(expected(&headers("if-match", "\"5\"")).unwrap(), Some(5));
        assert_eq!(expected(&headers("if-match", "W/\"5\"")).unwrap(), Some(5));
        assert_eq!(expected(&headers("if-match", "\"5-0badcafe\"")).unwrap(), Some(5));
        assert_eq!(expected(&headers("if-none-match", "*")).unwrap(), Some(0));
        for bad in ["5", "*", "\"x\"", "\"5\", \"6\"", "\"\"", "\"+5\""] {
            assert!(expected(&headers("if-match", bad)).is_err(), "{bad}");
        }
        assert!(expected(&headers("if-none-match", "\"5\"")).is_err());
        let mut both = headers("if-match", "\"5\"");
        both.extend(headers("if-none-match", "*"));
        assert!(expected(&both).is_err(), "they contradict each other");
    }

    #[test]
    fn knowledge() {
        let tag = of_twin(7, "{}");
        assert!(is_known(&headers("if-none-match", "*"), &tag));
        assert!(!is_known(&headers("if-none-match", "\"7\""), &tag));
        assert!(is_known(&headers("if-none-match", "\"1\", W/\"5\""), &of_section(5)));
    }
}
