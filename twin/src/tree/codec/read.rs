//! Reading values and sections from bytes that may be anything.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::node::Node;
use super::super::text::Text;
use super::super::{Member, Stamp, Tree, members_len};
use super::{DEPTH_READ_MAX, tag};
use crate::time::Time;
use crate::value::{Object, Value};

/// The bytes are not what a writer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadError;

/// Places made ahead for what a count announces: a lie costs no more than this.
const CAPACITY_MAX: usize = 256;

type Result<T> = core::result::Result<T, ReadError>;

/// Reads from the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Fails if anything is left.
    pub(crate) const fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(ReadError) }
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ReadError)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(ReadError)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        let mut uint = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(ReadError);
            }
            uint |= bits << shift;
            if byte < 0x80 {
                return Ok(uint);
            }
        }
        Err(ReadError)
    }

    pub(crate) fn option(&mut self) -> Result<Option<u64>> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.uint().map(Some),
            _ => Err(ReadError),
        }
    }

    /// A count of things that take at least `bytes_min` bytes each, so never beyond what is there.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let count = usize::try_from(self.uint()?).map_err(|_| ReadError)?;
        if count.saturating_mul(bytes_min) > self.rest.len() { Err(ReadError) } else { Ok(count) }
    }

    pub(crate) fn str(&mut self) -> Result<&'a str> {
        let len = self.count(1)?;
        self.text(len)
    }

    /// A string's bytes, for who only compares them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }

    pub(super) fn text(&mut self, len: usize) -> Result<&'a str> {
        core::str::from_utf8(self.take(len)?).map_err(|_| ReadError)
    }

    pub(crate) fn value(&mut self) -> Result<Value> {
        let first = self.byte()?;
        self.value_of(first, DEPTH_READ_MAX)
    }

    pub(super) fn value_of(&mut self, first: u8, depth_left: usize) -> Result<Value> {
        Ok(match first {
            tag::NULL => Value::Null,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::INT => Value::Int(i64::try_from(self.uint()?).map_err(|_| ReadError)?),
            tag::NEGATIVE => Value::Int(!i64::try_from(self.uint()?).map_err(|_| ReadError)?),
            tag::UINT => Value::Uint(self.uint()?),
            tag::FLOAT => {
                let bytes = self.take(8)?.try_into().map_err(|_| ReadError)?;
                Value::Float(f64::from_le_bytes(bytes))
            }
            tag::FLOAT_SHORT => {
                let bytes = self.take(4)?.try_into().map_err(|_| ReadError)?;
                Value::Float(f32::from_le_bytes(bytes).into())
            }
            tag::STRING => Value::String(self.str()?.into()),
            tag::ARRAY => {
                let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
                let count = self.count(1)?;
                let mut items = Vec::with_capacity(count.min(CAPACITY_MAX));
                for _ in 0..count {
                    let first = self.byte()?;
                    items.push(self.value_of(first, depth_left)?);
                }
                Value::Array(items)
            }
            tag::OBJECT => {
                let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
                let mut members = Object::new();
                for _ in 0..self.count(2)? {
                    let key = String::from(self.str()?);
                    let first = self.byte()?;
                    members.insert(key, self.value_of(first, depth_left)?);
                }
                Value::Object(members)
            }
            tag::INT_SHORT.. => Value::Int((first & 0x7f).into()),
            tag::STRING_SHORT.. => Value::String(self.text((first & 0x3f).into())?.into()),
            _ => return Err(ReadError),
        })
    }

    pub(crate) fn tree(&mut self, base_ms: u64) -> Result<Tree> {
        let count = self.count(2)?;
        let mut stamps = Vec::with_capacity(count.min(CAPACITY_MAX));
        for _ in 0..count {
            let at = base_ms.wrapping_sub(self.uint()?);
            let observed = self.option()?.map(|zigzag| at.wrapping_add(unzigzag(zigzag)));
            let observed_at = observed.map(Time::from_ms);
            stamps.push(Stamp { at: Time::from_ms(at), observed_at });
        }
        let members = self.members(&stamps, DEPTH_READ_MAX)?;
        let json_len = members_len(&members);
        Ok(Tree { members, json_len })
    }

    fn members(&mut self, stamps: &[Stamp], depth_left: usize) -> Result<Vec<Member>> {
        let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
        let count = self.count(2)?;
        let mut members: Vec<Member> = Vec::with_capacity(count.min(CAPACITY_MAX));
        for _ in 0..count {
            let key = Text::from(self.str()?);
            if members.last().is_some_and(|last| last.key.as_bytes() >= key.as_bytes()) {
                return Err(ReadError);
            }
            let node = match self.byte()? {
                tag::OBJECT => Node::Object(self.members(stamps, depth_left)?.into()),
                tag::STRING => Node::Text(self.str()?.into()),
                first @ tag::STRING_SHORT..tag::INT_SHORT => {
                    Node::Text(self.text((first & 0x3f).into())?.into())
                }
                first => Node::from_leaf(self.value_of(first, depth_left)?),
            };
            let stamp = match &node {
                Node::Object(members) if !members.is_empty() => Stamp::default(),
                _ => {
                    let index = usize::try_from(self.uint()?).map_err(|_| ReadError)?;
                    *stamps.get(index).ok_or(ReadError)?
                }
            };
            members.push(Member { key, stamp, node });
        }
        Ok(members)
    }
}

/// Undoes the writer's `zigzag`.
const fn unzigzag(zigzag: u64) -> u64 {
    (zigzag >> 1) ^ if zigzag & 1 == 1 { u64::MAX } else { 0 }
}
