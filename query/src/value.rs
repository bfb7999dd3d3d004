//! What expressions are made of while they are evaluated: mostly views into a twin's packed bytes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use pollux_twin::Value;
use pollux_twin::image::{Packed, PackedArray, PackedObject};
use pollux_twin::number::Number;

use crate::expr::Constant;
use crate::text;

/// A value under evaluation.
#[derive(Clone, Debug)]
pub(crate) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Double(f64),
    Str(Cow<'a, str>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Milliseconds.
    Duration(i64),
    Array(PackedArray<'a>),
    Object(PackedObject<'a>),
    /// A list that the expression made.
    List(Rc<Vec<Self>>),
}

impl<'a> From<Packed<'a>> for Val<'a> {
    fn from(packed: Packed<'a>) -> Self {
        match packed {
            Packed::Null => Self::Null,
            Packed::Bool(is) => Self::Bool(is),
            Packed::Int(int) => Self::Int(int),
            Packed::Uint(uint) => Self::Uint(uint),
            Packed::Float(float) => Self::Double(float),
            Packed::Str(text) => Self::text(text),
            Packed::Array(array) => Self::Array(array),
            Packed::Object(object) => Self::Object(object),
        }
    }
}

impl<'a> From<&'a Constant> for Val<'a> {
    fn from(constant: &'a Constant) -> Self {
        match constant {
            Constant::Null => Self::Null,
            Constant::Bool(is) => Self::Bool(*is),
            Constant::Int(int) => Self::Int(*int),
            Constant::Uint(uint) => Self::uint(*uint),
            Constant::Double(double) => Self::Double(*double),
            Constant::Str(text) => Self::text(text),
            Constant::Duration(ms) => Self::Duration(*ms),
            Constant::Time(ms) => Self::Time(*ms),
        }
    }
}

impl<'a> Val<'a> {
    pub(crate) const fn text(text: &'a str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }

    /// Integers that fit have one form.
    pub(crate) fn uint(uint: u64) -> Self {
        i64::try_from(uint).map_or(Self::Uint(uint), Self::Int)
    }

    /// A member by name.
    pub(crate) fn member(&self, name: &str) -> Option<Self> {
        match self {
            Self::Object(object) => object.find(name).map(Into::into),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub(crate) fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::Array(array) => Some(array.iter().map(Into::into).collect()),
            Self::List(list) => Some(list.to_vec()),
            _ => None,
        }
    }

    /// As what a twin holds; times and durations as text.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(*is),
            Self::Int(int) => Value::Int(*int),
            Self::Uint(uint) => Value::Uint(*uint),
            Self::Double(double) => Value::Float(*double),
            Self::Str(text) => Value::String(text.clone().into_owned()),
            Self::Time(ms) => Value::String(text::time(*ms)),
            Self::Duration(ms) => Value::String(text::duration(*ms)),
            Self::Array(array) => Packed::Array(*array).to_value(),
            Self::Object(object) => object.to_value(),
            Self::List(list) => Value::Array(list.iter().map(Self::to_value).collect()),
        }
    }

    /// Whether both are the same: numbers by what they are worth, all else only within its kind.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        if let Some(ordering) = self.compare(other) {
            return ordering == Ordering::Equal;
        }
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b.iter()).all(|((key, one), (other_key, other))| {
                        key == other_key && Self::from(one).equals(&other.into())
                    })
            }
            _ => match (self.items(), other.items()) {
                (Some(a), Some(b)) => {
                    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b))
                }
                _ => false,
            },
        }
    }

    /// Which comes first; `None` if they cannot be compared.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) | (Self::Duration(a), Self::Duration(b)) => {
                Some(a.cmp(b))
            }
            _ => self.number()?.compare(other.number()?),
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Int(int) => Some(Number::Whole(i128::from(*int))),
            Self::Uint(uint) => Some(Number::Whole(i128::from(*uint))),
            Self::Double(double) => Some(Number::Double(*double)),
            _ => None,
        }
    }
}
