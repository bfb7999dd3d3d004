//! Groups in filters: `group("pumps")` stands for the twins of a group, whatever says which they are. It is written
//! out before a filter is compiled, so that whoever is asked needs to know no groups.

use crate::error::ExpressionError;
use crate::limits::EXPRESSION_BYTES_MAX;

/// A filter with what each `group("name")` in it stands for, as `named` says; the others are as they were.
///
/// # Errors
/// Where `group` is written otherwise, or `named` knows no such group and says so.
pub fn write_out(
    source: &str,
    named: impl Fn(&str) -> Result<String, String>,
) -> Result<String, ExpressionError> {
    let fits = |text: &str| {
        let wrong = || {
            let message =
                format!("longer than {EXPRESSION_BYTES_MAX} bytes, with its groups written out");
            ExpressionError { line: 1, column: 1, message }
        };
        (text.len() <= EXPRESSION_BYTES_MAX).then_some(()).ok_or_else(wrong)
    };
    fits(source)?;
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    let mut after_dot = false;
    while at < source.len() {
        let token = Token::first(&source[at..]);
        let text = &source[at..at + token.len()];
        match token {
            Token::Name(_) if text == "group" && !after_dot => {
                let wrong = |message: String| located(source, at, message);
                let (name, length) = argument(&source[at + text.len()..])
                    .ok_or_else(|| wrong("`group` is written so: group(\"pumps\")".into()))?;
                // A twin that lacks what is asked for is not in it: a plain no, which `!` makes a yes.
                out.push_str("holds(");
                out.push_str(&named(name).map_err(wrong)?);
                // What the group's filter ends with may be a comment.
                out.push_str("\n)");
                fits(&out)?;
                at += text.len() + length;
            }
            _ => {
                out.push_str(text);
                at += text.len();
            }
        }
        after_dot = text.ends_with('.') || (after_dot && text.trim().is_empty());
    }
    Ok(out)
}

/// What stands for a group that devices are put in.
pub fn put_in(name: &str) -> String {
    format!("\"{name}\" in groups")
}

/// As much of the grammar as tells names from texts, by the bytes of each.
enum Token {
    Name(usize),
    Other(usize),
}

impl Token {
    fn first(rest: &str) -> Self {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let Some(first) = rest.chars().next() else { return Self::Other(0) };
        if let Some(length) = text(rest) {
            return Self::Other(length);
        }
        if rest.starts_with("//") {
            return Self::Other(rest.find('\n').unwrap_or(rest.len()));
        }
        if !is_of_name(first) {
            return Self::Other(first.len_utf8());
        }
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        // What stands before a text says how it is to be read.
        let prefix = rest[..end].to_ascii_lowercase();
        if ["r", "b", "rb", "br"].contains(&prefix.as_str())
            && let Some(length) = literal(&rest[end..], prefix.contains('r'))
        {
            return Self::Other(end + length);
        }
        Self::Name(end)
    }

    const fn len(&self) -> usize {
        match self {
            Self::Name(length) | Self::Other(length) => *length,
        }
    }
}

fn text(rest: &str) -> Option<usize> {
    literal(rest, false)
}

/// How long the text is that stands here, with its quotes; one that does not end goes to the end.
fn literal(rest: &str, raw: bool) -> Option<usize> {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote))?;
    let mut at = quote.len();
    while at < rest.len() {
        if rest[at..].starts_with(quote) {
            return Some(at + quote.len());
        }
        let mut chars = rest[at..].chars();
        let first = chars.next().map_or(1, char::len_utf8);
        let escaped = rest[at..].starts_with('\\') && !raw;
        at += first + if escaped { chars.next().map_or(0, char::len_utf8) } else { 0 };
    }
    Some(rest.len())
}

/// The name in `("name")`, and how long that is.
fn argument(rest: &str) -> Option<(&str, usize)> {
    let inner = rest.trim_start().strip_prefix('(')?.trim_start();
    let length = text(inner)?;
    let name = &inner[1..length.checked_sub(1)?.max(1)];
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let end = inner[length..].trim_start().strip_prefix(')')?;
    (plain && !name.is_empty()).then_some((name, rest.len() - end.len()))
}

fn located(source: &str, at: usize, message: String) -> ExpressionError {
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    ExpressionError { line, column, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let named = |name: &str| match name {
            "pumps" => Ok(put_in(name)),
            "north" => Ok("tags.site == \"north\" || false".to_owned()),
            _ => Err(format!("there is no group {name:?}")),
        };
        let written = write_out(source, named).unwrap_or_else(|error| error.to_string());
        assert_eq!(written.replace("\n)", ")"), expected, "{source}");
    }

    #[test]
    fn groups_are_written_out_and_all_else_stays() {
        check(r#"group("pumps")"#, r#"holds("pumps" in groups)"#);
        check(r"!group( 'pumps' ) && x", r#"!holds("pumps" in groups) && x"#);
        check(r#"group("north") && a"#, r#"holds(tags.site == "north" || false) && a"#);
        for same in [
            "",
            "tags.group == 1",
            "tags . group == 1",
            r#""group(\"pumps\")" == id"#,
            r#"r"\" == "group('pumps')""#,
            "'''it's group(\"pumps\")''' == id",
            "groups.size() > 0 && mygroup",
            "true // group(\"x\")\n && ä",
            r#""without end group("#,
        ] {
            check(same, same);
        }
    }

    #[test]
    fn what_a_group_ends_with_and_how_long_it_is_spoils_nothing() {
        let noted = write_out("group(\"x\") && true", |_| Ok("false // ever".into())).unwrap();
        assert_eq!(noted, "holds(false // ever\n) && true");
        let many = "group(\"x\") || ".repeat(100);
        let long = write_out(&many, |_| Ok("a".repeat(2_000))).unwrap_err();
        assert!(long.to_string().contains("written out"), "{long}");
        assert!(write_out(&many.repeat(4), |_| unreachable!("it is not read")).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        check("true &&\n  group(\"x\")", "line 2, column 3: there is no group \"x\"");
        for bad in
            ["group", "group()", "group(1)", "group(\"\")", "group(\"a\" + id)", "group(\"a b\")"]
        {
            check(bad, "line 1, column 1: `group` is written so: group(\"pumps\")");
        }
    }
}
