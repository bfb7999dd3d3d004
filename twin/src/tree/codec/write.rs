//! Writing values and sections as bytes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::super::node::Node;
use super::super::{Member, Stamp, Tree};
use super::tag;
use crate::value::Value;

/// LEB128: seven bits a byte, lowest first.
pub(crate) fn write_uint(out: &mut Vec<u8>, mut uint: u64) {
    while uint >= 0x80 {
        out.push(0x80 | low7(uint));
        uint >>= 7;
    }
    out.push(low7(uint));
}

fn low7(uint: u64) -> u8 {
    u8::try_from(uint & 0x7f).expect("seven bits fit")
}

/// Zero for nothing, otherwise one more than the number.
pub(crate) fn write_option(out: &mut Vec<u8>, uint: Option<u64>) {
    match uint {
        None => out.push(0),
        Some(uint) => {
            out.push(1);
            write_uint(out, uint);
        }
    }
}

pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    write_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn write_len(out: &mut Vec<u8>, len: usize) {
    write_uint(out, u64::try_from(len).expect("a length fits 64 bits"));
}

pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Bool(false) => out.push(tag::FALSE),
        Value::Bool(true) => out.push(tag::TRUE),
        Value::Int(int) => match u64::try_from(*int) {
            Ok(uint) if uint < 0x80 => out.push(tag::INT_SHORT | low7(uint)),
            Ok(uint) => {
                out.push(tag::INT);
                write_uint(out, uint);
            }
            Err(_) => {
                out.push(tag::NEGATIVE);
                write_uint(out, (!*int).unsigned_abs());
            }
        },
        Value::Uint(uint) => {
            out.push(tag::UINT);
            write_uint(out, *uint);
        }
        Value::Float(float) => write_float(out, *float),
        Value::String(text) => write_text(out, text.as_bytes()),
        Value::Array(items) => write_array(out, items),
        Value::Object(members) => {
            out.push(tag::OBJECT);
            write_len(out, members.len());
            for (key, value) in members {
                write_str(out, key);
                write_value(out, value);
            }
        }
    }
}

fn write_text(out: &mut Vec<u8>, utf8: &[u8]) {
    match u8::try_from(utf8.len()) {
        Ok(len) if len < 0x40 => out.push(tag::STRING_SHORT | len),
        _ => {
            out.push(tag::STRING);
            write_len(out, utf8.len());
        }
    }
    out.extend_from_slice(utf8);
}

fn write_array(out: &mut Vec<u8>, items: &[Value]) {
    out.push(tag::ARRAY);
    write_len(out, items.len());
    items.iter().for_each(|item| write_value(out, item));
}

fn write_float(out: &mut Vec<u8>, float: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "the line below asks whether it was exact")]
    let short = float as f32;
    if f64::from(short).to_bits() == float.to_bits() {
        out.push(tag::FLOAT_SHORT);
        out.extend_from_slice(&short.to_le_bytes());
    } else {
        out.push(tag::FLOAT);
        out.extend_from_slice(&float.to_le_bytes());
    }
}

/// Writes a section's content: its times, newest-first use in document order, then its members.
pub(crate) fn write_tree(out: &mut Vec<u8>, tree: &Tree, base_ms: u64) {
    let mut stamps = Stamps::default();
    let mut body = Vec::with_capacity(tree.json_len);
    write_members(&mut body, &tree.members, &mut stamps);
    write_len(out, stamps.ordered.len());
    for stamp in &stamps.ordered {
        // Wrapping, so that any two times have a difference; the reader undoes it.
        write_uint(out, base_ms.wrapping_sub(stamp.at.ms));
        write_option(out, stamp.observed_at.map(|time| zigzag(time.ms.wrapping_sub(stamp.at.ms))));
    }
    out.extend_from_slice(&body);
}

/// Small differences of either sign become small numbers.
const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ if difference >> 63 == 1 { u64::MAX } else { 0 }
}

#[derive(Default)]
struct Stamps {
    ordered: Vec<Stamp>,
    index: BTreeMap<Stamp, u64>,
    last: Option<(Stamp, u64)>,
}

impl Stamps {
    fn index_of(&mut self, stamp: Stamp) -> u64 {
        if let Some((last, index)) = self.last
            && last == stamp
        {
            return index;
        }
        let index = *self.index.entry(stamp).or_insert_with(|| {
            self.ordered.push(stamp);
            u64::try_from(self.ordered.len() - 1).expect("a count fits 64 bits")
        });
        self.last = Some((stamp, index));
        index
    }
}

fn write_members(out: &mut Vec<u8>, members: &[Member], stamps: &mut Stamps) {
    write_len(out, members.len());
    for member in members {
        write_len(out, member.key.as_bytes().len());
        out.extend_from_slice(member.key.as_bytes());
        match &member.node {
            Node::Text(text) => write_text(out, text.as_bytes()),
            Node::Array(items) => write_array(out, items),
            Node::Object(members) => {
                out.push(tag::OBJECT);
                write_members(out, members, stamps);
                if !members.is_empty() {
                    continue;
                }
            }
            scalar => write_value(out, &scalar.scalar_value()),
        }
        write_uint(out, stamps.index_of(member.stamp));
    }
}
