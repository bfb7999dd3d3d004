//! One node of a tree: what a value is in memory, three words wide.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::text::Text;
use super::{Member, members_len, members_value};
use crate::index::Scalar;
use crate::json::{list_len, string_len, value_len};
use crate::value::Value;

/// A leaf, or an object of further members.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Text),
    /// Merge patches replace it whole, so it has no times within.
    Array(Box<[Value]>),
    /// Sorted by key. Boxed, so that objects, of which there are few, widen no leaf.
    #[expect(clippy::box_collection, reason = "one word instead of three keeps each node at three")]
    Object(Box<Vec<Member>>),
}

/// Three words, and a member seven: a twin has tens of them.
const _: () = assert!(size_of::<Node>() == 24 || size_of::<usize>() != 8);

impl Node {
    /// A leaf of a value that is no object.
    pub(super) fn leaf(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Array(items) => Self::Array(items.as_slice().into()),
            scalar => Self::scalar(scalar),
        }
    }

    fn scalar(value: &Value) -> Self {
        match value {
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Int(int) => Self::Int(*int),
            Value::Uint(uint) => Self::Uint(*uint),
            Value::Float(float) => Self::Float(*float),
            _ => Self::Null,
        }
    }

    /// The same, of a value that is given away.
    pub(super) fn from_leaf(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::Array(items.into()),
            other => Self::leaf(&other),
        }
    }

    /// Whether it is a leaf of this value.
    pub(super) fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Int(a), Value::Int(b)) => a == b,
            (Self::Uint(a), Value::Uint(b)) => a == b,
            (Self::Float(a), Value::Float(b)) => a == b,
            (Self::Text(a), Value::String(b)) => a.as_bytes() == b.as_bytes(),
            (Self::Array(a), Value::Array(b)) => **a == **b,
            _ => false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.as_str().into()),
            Self::Array(items) => Value::Array(items.to_vec()),
            Self::Object(members) => members_value(members),
            scalar => scalar.scalar_value(),
        }
    }

    /// The value of a number, a truth value or null.
    pub(super) const fn scalar_value(&self) -> Value {
        match self {
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(int) => Value::Int(*int),
            Self::Uint(uint) => Value::Uint(*uint),
            Self::Float(float) => Value::Float(*float),
            _ => Value::Null,
        }
    }

    /// As an index knows it; nothing for lists and objects.
    pub(super) fn to_scalar(&self) -> Option<Scalar> {
        Some(match self {
            Self::Null => Scalar::Null,
            Self::Bool(bool) => Scalar::Bool(*bool),
            Self::Int(int) => Scalar::Int(*int),
            Self::Uint(uint) => Scalar::Uint(*uint),
            Self::Float(float) => return Scalar::double(*float),
            Self::Text(text) => Scalar::text(text.as_str()),
            Self::Array(_) | Self::Object(_) => return None,
        })
    }

    /// Bytes as JSON text.
    pub(super) fn json_len(&self) -> usize {
        match self {
            Self::Text(text) => string_len(text.as_bytes()),
            Self::Array(items) => list_len(items.iter().map(value_len)),
            Self::Object(members) => members_len(members),
            scalar => value_len(&scalar.scalar_value()),
        }
    }
}
