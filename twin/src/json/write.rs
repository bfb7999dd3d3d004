//! Writes a value as JSON text, without white space, keys in order; and measures that text
//! without writing it.

use alloc::string::String;
use core::fmt::{self, Write};

use crate::value::Value;

impl Value {
    /// The value as JSON text. Floats keep a point or an exponent, so that they stay floats.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        write_value(&mut text, self).expect("writing to a string does not fail");
        text
    }

    /// Bytes of the JSON text.
    pub fn json_len(&self) -> usize {
        value_len(self)
    }
}

impl fmt::Display for Value {
    /// The value as JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self)
    }
}

fn write_value(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(true) => out.write_str("true"),
        Value::Bool(false) => out.write_str("false"),
        Value::Int(int) => write!(out, "{int}"),
        Value::Uint(uint) => write!(out, "{uint}"),
        Value::Float(float) => write!(out, "{float:?}"),
        Value::String(string) => write_string(out, string),
        Value::Array(items) => {
            out.write_char('[')?;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                write_value(out, item)?;
            }
            out.write_char(']')
        }
        Value::Object(members) => {
            out.write_char('{')?;
            for (i, (key, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                write_string(out, key)?;
                out.write_char(':')?;
                write_value(out, value)?;
            }
            out.write_char('}')
        }
    }
}

fn write_string(out: &mut impl Write, string: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut start = 0;
    for (at, byte) in string.bytes().enumerate() {
        if escape_len(byte) == 1 {
            continue;
        }
        out.write_str(&string[start..at])?;
        start = at + 1;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            8 => out.write_str("\\b")?,
            9 => out.write_str("\\t")?,
            10 => out.write_str("\\n")?,
            12 => out.write_str("\\f")?,
            13 => out.write_str("\\r")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
    }
    out.write_str(&string[start..])?;
    out.write_char('"')
}

const fn escape_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 8 | 9 | 10 | 12 | 13 => 2,
        0..=31 => 6,
        _ => 1,
    }
}

/// Bytes of a string as JSON, quotes included.
pub(crate) fn string_len(utf8: &[u8]) -> usize {
    2 + utf8.iter().map(|byte| escape_len(*byte)).sum::<usize>()
}

/// Bytes of a value as JSON.
pub(crate) fn value_len(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Int(int) => usize::from(*int < 0) + digits(int.unsigned_abs()),
        Value::Uint(uint) => digits(*uint),
        Value::Float(float) => {
            let mut counter = Counter(0);
            write!(counter, "{float:?}").expect("counting does not fail");
            counter.0
        }
        Value::String(string) => string_len(string.as_bytes()),
        Value::Array(items) => list_len(items.iter().map(value_len)),
        Value::Object(members) => list_len(
            members.iter().map(|(key, value)| string_len(key.as_bytes()) + 1 + value_len(value)),
        ),
    }
}

/// Two brackets, the items, and a comma between each two.
pub(crate) fn list_len(items: impl Iterator<Item = usize>) -> usize {
    items.fold(1, |sum, item| sum + item + 1).max(2)
}

const fn digits(uint: u64) -> usize {
    match uint.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
