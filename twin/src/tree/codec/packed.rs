//! Looking into packed sections and values without unpacking them: what a query asks of very many
//! twins. Nothing is copied; what is not asked for is stepped over.

use super::read::{ReadError, Reader};
use super::{DEPTH_READ_MAX, tag};
use crate::value::{Object, Value};

type Result<T> = core::result::Result<T, ReadError>;

/// A value as it lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Packed<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// UTF-8 text.
    Str(&'a str),
    /// A list.
    Array(PackedArray<'a>),
    /// Members by name.
    Object(PackedObject<'a>),
}

/// The items of a packed list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedArray<'a> {
    count: usize,
    items: &'a [u8],
}

/// The members of a packed object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedObject<'a> {
    count: usize,
    members: &'a [u8],
    form: Form,
}

/// How members are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As in a section: each leaf is followed by the number of its time.
    Timed,
    /// As in a value.
    Plain,
}

impl<'a> Packed<'a> {
    /// A copy of its own.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(is),
            Self::Int(int) => Value::Int(int),
            Self::Uint(uint) => Value::Uint(uint),
            Self::Float(float) => Value::Float(float),
            Self::Str(text) => Value::String(text.into()),
            Self::Array(array) => Value::Array(array.iter().map(Self::to_value).collect()),
            Self::Object(object) => object.to_value(),
        }
    }

    /// The members, if it is an object.
    pub const fn as_object(self) -> Option<PackedObject<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'a> PackedArray<'a> {
    /// How many items there are.
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Its items, in order.
    pub fn iter(self) -> impl Iterator<Item = Packed<'a>> {
        let mut reader = Reader::new(self.items);
        // A list was stepped over, and so checked, when it was found.
        (0..self.count).map_while(move |_| packed(&mut reader, Form::Plain, DEPTH_READ_MAX).ok())
    }
}

impl<'a> PackedObject<'a> {
    /// How many members there are.
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Its members, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Packed<'a>)> {
        let mut reader = Reader::new(self.members);
        (0..self.count).map_while(move |_| {
            let key = reader.str().ok()?;
            let value = packed(&mut reader, self.form, DEPTH_READ_MAX).ok()?;
            step_over_time(&mut reader, self.form, value).ok()?;
            Some((key, value))
        })
    }

    /// The member of this name.
    pub fn find(self, name: &str) -> Option<Packed<'a>> {
        let mut reader = Reader::new(self.members);
        for _ in 0..self.count {
            let key = reader.bytes().ok()?;
            // Members are in the order of their names.
            match key.cmp(name.as_bytes()) {
                core::cmp::Ordering::Equal => {
                    return packed(&mut reader, self.form, DEPTH_READ_MAX).ok();
                }
                core::cmp::Ordering::Greater => return None,
                core::cmp::Ordering::Less => step_over_member(&mut reader, self.form).ok()?,
            }
        }
        None
    }

    /// A copy of its own.
    pub fn to_value(self) -> Value {
        let members = self.iter().map(|(key, value)| (key.into(), value.to_value()));
        Value::Object(members.collect::<Object>())
    }
}

/// A section's content: its times are stepped over.
pub(crate) fn section<'a>(reader: &mut Reader<'a>) -> Result<PackedObject<'a>> {
    for _ in 0..reader.count(2)? {
        reader.uint()?;
        reader.option()?;
    }
    object(reader, Form::Timed, DEPTH_READ_MAX)
}

/// The next plain value.
pub(crate) fn plain<'a>(reader: &mut Reader<'a>) -> Result<Packed<'a>> {
    packed(reader, Form::Plain, DEPTH_READ_MAX)
}

/// The next value; the reader then stands behind it.
fn packed<'a>(reader: &mut Reader<'a>, form: Form, depth_left: usize) -> Result<Packed<'a>> {
    let first = reader.byte()?;
    Ok(match first {
        tag::STRING => Packed::Str(reader.str()?),
        tag::ARRAY => {
            let count = reader.count(1)?;
            let items = reader.rest();
            step_over_items(reader, count, depth_left)?;
            Packed::Array(PackedArray { count, items: before(items, reader.rest()) })
        }
        tag::OBJECT => Packed::Object(object(reader, form, depth_left)?),
        tag::STRING_SHORT..tag::INT_SHORT => Packed::Str(reader.text((first & 0x3f).into())?),
        first => match reader.value_of(first, 0)? {
            Value::Bool(is) => Packed::Bool(is),
            Value::Int(int) => Packed::Int(int),
            Value::Uint(uint) => Packed::Uint(uint),
            Value::Float(float) => Packed::Float(float),
            _ => Packed::Null,
        },
    })
}

fn object<'a>(reader: &mut Reader<'a>, form: Form, depth_left: usize) -> Result<PackedObject<'a>> {
    let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
    let count = reader.count(2)?;
    let members = reader.rest();
    for _ in 0..count {
        reader.bytes()?;
        step_over(reader, form, depth_left)?;
    }
    Ok(PackedObject { count, members: before(members, reader.rest()), form })
}

/// What was read of `all` when `rest` is left.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> &'a [u8] {
    &all[..all.len() - rest.len()]
}

fn step_over_items(reader: &mut Reader<'_>, count: usize, depth_left: usize) -> Result<()> {
    let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
    (0..count).try_for_each(|_| step_over(reader, Form::Plain, depth_left))
}

fn step_over_member(reader: &mut Reader<'_>, form: Form) -> Result<()> {
    step_over(reader, form, DEPTH_READ_MAX)
}

/// Steps over a value and what follows it in a section.
fn step_over(reader: &mut Reader<'_>, form: Form, depth_left: usize) -> Result<()> {
    let first = reader.byte()?;
    match first {
        tag::NULL | tag::FALSE | tag::TRUE | tag::INT_SHORT.. => {}
        tag::INT | tag::NEGATIVE | tag::UINT => drop(reader.uint()?),
        tag::FLOAT => drop(reader.take(8)?),
        tag::FLOAT_SHORT => drop(reader.take(4)?),
        tag::STRING => drop(reader.bytes()?),
        tag::STRING_SHORT.. => drop(reader.take((first & 0x3f).into())?),
        tag::ARRAY => {
            let count = reader.count(1)?;
            step_over_items(reader, count, depth_left)?;
        }
        tag::OBJECT => {
            let depth_left = depth_left.checked_sub(1).ok_or(ReadError)?;
            let count = reader.count(2)?;
            for _ in 0..count {
                reader.bytes()?;
                step_over(reader, form, depth_left)?;
            }
            // Only what is a leaf has a time.
            if count > 0 {
                return Ok(());
            }
        }
        _ => return Err(ReadError),
    }
    if form == Form::Timed {
        reader.uint()?;
    }
    Ok(())
}

fn step_over_time(reader: &mut Reader<'_>, form: Form, value: Packed<'_>) -> Result<()> {
    let has_time = form == Form::Timed && value.as_object().is_none_or(PackedObject::is_empty);
    if has_time {
        reader.uint()?;
    }
    Ok(())
}
