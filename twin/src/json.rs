//! JSON text in and out, without loss: exact 64-bit integers, floats that round-trip, bounded size
//! and depth. Reading is in `read`, writing in `write`. What a value may be in a twin beyond
//! being JSON (key length, object size) is the machine's business.

mod read;
mod write;

use core::fmt;

use crate::limits::{DEPTH_MAX, SECTION_BYTES_MAX};
pub(crate) use write::{list_len, string_len, value_len};

/// Bounds while reading JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Bytes of the text.
    pub bytes_max: usize,
    /// Arrays and objects within each other; `[]` has depth 1.
    pub depth_max: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        // White space may double a section before it is measured in its own form.
        Self { bytes_max: 2 * SECTION_BYTES_MAX, depth_max: DEPTH_MAX }
    }
}

/// Why a text is not JSON that a twin can keep, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset of the trouble.
    pub at: usize,
    /// What the trouble is.
    pub kind: JsonErrorKind,
}

/// The troubles a JSON text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// The text is longer than allowed.
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// It nests deeper than allowed.
    TooDeep {
        /// Depth allowed.
        max: usize,
    },
    /// It is not UTF-8.
    NotUtf8,
    /// It ends within a value.
    Ends,
    /// Something else was expected here.
    Unexpected {
        /// What would be right.
        expected: &'static str,
    },
    /// Something follows the value.
    Trailing,
    /// An object names a key twice.
    DuplicateKey,
    /// An escape that JSON does not have.
    BadEscape,
    /// Half of a surrogate pair: no Unicode text.
    LoneSurrogate,
    /// A control character that is not escaped.
    ControlCharacter,
    /// A number that JSON does not allow, such as `01`, `1.` or `+1`.
    BadNumber,
    /// An integer beyond 64 bits or a float beyond the finite range.
    NumberRange,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read json at byte {}: ", self.at)?;
        match self.kind {
            JsonErrorKind::TooLarge { max } => write!(f, "text is longer than {max} bytes"),
            JsonErrorKind::TooDeep { max } => write!(f, "nested deeper than {max}"),
            JsonErrorKind::NotUtf8 => f.write_str("not UTF-8"),
            JsonErrorKind::Ends => f.write_str("text ends within a value"),
            JsonErrorKind::Unexpected { expected } => write!(f, "expected {expected}"),
            JsonErrorKind::Trailing => f.write_str("text goes on after the value"),
            JsonErrorKind::DuplicateKey => f.write_str("key occurs twice in one object"),
            JsonErrorKind::BadEscape => {
                f.write_str(r#"unknown escape; use one of \" \\ \/ \b \f \n \r \t \uXXXX"#)
            }
            JsonErrorKind::LoneSurrogate => {
                f.write_str("half a surrogate pair; escape both halves or write UTF-8")
            }
            JsonErrorKind::ControlCharacter => {
                f.write_str(r"control character in a string; escape it as \uXXXX")
            }
            JsonErrorKind::BadNumber => f.write_str("not a JSON number"),
            JsonErrorKind::NumberRange => {
                f.write_str("number does not fit 64 bits; send it as a string")
            }
        }
    }
}

impl core::error::Error for JsonError {}
