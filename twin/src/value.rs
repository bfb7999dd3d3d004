//! JSON-like data with exact 64-bit integers: what sections, telemetry and commands are made of.
//!
//! Reading and writing JSON text is in `json`; merging in `patch`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

/// A value. Integers are exact to 64 bits, floats are finite, objects have unique ordered keys.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[rkyv(
    serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rkyv::rancor::Source),
    deserialize_bounds(__D::Error: rkyv::rancor::Source),
    bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source))
)]
#[expect(clippy::use_self, reason = "rkyv's derive would take `Self` for the archived type")]
pub enum Value {
    /// Nothing; in a merge patch, "remove this".
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer that fits 64 bits with sign: every integer in range has this form.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// A number with a fraction or an exponent; never NaN or infinite.
    Float(f64),
    /// UTF-8 text.
    String(String),
    /// A list; merge patches replace it whole.
    Array(#[rkyv(omit_bounds)] Vec<Value>),
    /// Members by name.
    Object(#[rkyv(omit_bounds)] Object),
}

/// The members of an object, by name.
pub type Object = BTreeMap<String, Value>;

impl Value {
    /// An empty object.
    pub const fn object() -> Self {
        Self::Object(Object::new())
    }
}

impl Value {
    /// The members, if it is an object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Uint(number) => Some(*number),
            _ => None,
        }
    }

    /// The member of that name, if it is an object that has one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<u64> for Value {
    fn from(uint: u64) -> Self {
        i64::try_from(uint).map_or(Self::Uint(uint), Self::Int)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Object> for Value {
    fn from(members: Object) -> Self {
        Self::Object(members)
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
}
