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
