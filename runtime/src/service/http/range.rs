//! Ranges of bytes (RFC 9110, 14): what of a representation a request wants.

use std::ops::Range;

use axum::http::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};

/// What of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: nothing else was asked, or nothing that is understood.
    Whole,
    /// These bytes.
    Some(Range<u64>),
    /// Bytes that it does not have.
    None,
}

/// What of a representation of so many bytes a request wants, if `tag` is what it means.
pub(super) fn wanted(headers: &HeaderMap, size: u64, tag: &HeaderValue) -> Part {
    let (Some(asked), true) = (headers.get(RANGE), headers.get_all(RANGE).iter().count() == 1)
    else {
        return Part::Whole;
    };
    // A time, or another tag than this very one, asks for all of what there is now.
    if headers.get(IF_RANGE).is_some_and(|known| known != tag) {
        return Part::Whole;
    }
    asked.to_str().ok().and_then(|text| parsed(text, size)).unwrap_or(Part::Whole)
}

/// One range; several are answered with all, as RFC 9110 allows.
fn parsed(text: &str, size: u64) -> Option<Part> {
    let (unit, ranges) = text.split_once('=')?;
    let (first, last) = ranges.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than any number is more than any size.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (first, last) {
        ("", count) => {
            let count = number(count)?;
            if count == 0 {
                return Some(Part::None);
            }
            size.saturating_sub(count)..size
        }
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.start < size { Part::Some(range) } else { Part::None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))])
    }

    #[test]
    fn ranges_as_the_standard_has_them() {
        let tag = HeaderValue::from_static("\"t\"");
        for (asked, part) in [
            ("bytes=0-499", Part::Some(0..500)),
            ("bytes=500-999", Part::Some(500..1000)),
            ("bytes=500-99999999999999999999999", Part::Some(500..1000)),
            ("bytes=-500", Part::Some(500..1000)),
            ("bytes=-5000", Part::Some(0..1000)),
            ("bytes=999-", Part::Some(999..1000)),
            ("Bytes=0-0", Part::Some(0..1)),
            ("bytes=1000-", Part::None),
            ("bytes=1000-2000", Part::None),
            ("bytes=-0", Part::None),
            ("bytes=5-1", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(wanted(&of(asked), 1000, &tag), part, "{asked}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 1000, &tag), Part::Whole);
        assert_eq!(wanted(&of("bytes=0-"), 0, &tag), Part::None);
    }

    #[test]
    fn another_tag_than_this_gets_all() {
        let tag = HeaderValue::from_static("\"t\"");
        let mut headers = of("bytes=1-2");
        headers.insert(IF_RANGE, HeaderValue::from_static("\"t\""));
        assert_eq!(wanted(&headers, 9, &tag), Part::Some(1..3));
        for other in ["\"u\"", "W/\"t\"", "Sat, 29 Oct 1994 19:43:31 GMT"] {
            headers.insert(IF_RANGE, HeaderValue::from_static(other));
            assert_eq!(wanted(&headers, 9, &tag), Part::Whole, "{other}");
        }
    }
}
