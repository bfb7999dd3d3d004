//! Values and sections as few bytes: what an image holds, and what a request's fingerprint hashes.
//!
//! A value begins with one byte: small integers and the length of short strings lie in that byte.
//! Lengths and integers are LEB128. The times of a section are listed once, in the order of their
//! first use, so that the same content has the same bytes whatever its history. Reading trusts
//! nothing: lengths are checked against what is there, and depth is bounded.

mod packed;
mod read;
mod write;

pub use packed::{Packed, PackedArray, PackedObject};
pub(crate) use packed::{plain, section};
pub(crate) use read::{ReadError, Reader};
pub(crate) use write::{write_option, write_str, write_tree, write_uint, write_value};

/// First bytes of values; the ranges hold a number themselves.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    /// LEB128 of the integer follows.
    pub(super) const INT: u8 = 3;
    /// LEB128 of `-1 - integer` follows.
    pub(super) const NEGATIVE: u8 = 4;
    /// LEB128 of an integer above `i64::MAX` follows.
    pub(super) const UINT: u8 = 5;
    /// Eight bytes, little endian.
    pub(super) const FLOAT: u8 = 6;
    /// Four bytes, for floats that they hold exactly.
    pub(super) const FLOAT_SHORT: u8 = 7;
    pub(super) const STRING: u8 = 8;
    pub(super) const ARRAY: u8 = 9;
    pub(super) const OBJECT: u8 = 10;
    /// Strings of 0 to 63 bytes.
    pub(super) const STRING_SHORT: u8 = 0x40;
    /// Integers 0 to 127.
    pub(super) const INT_SHORT: u8 = 0x80;
}

/// Deepest nesting that is read: what any limits let in, with a margin, and far from the end of any
/// stack.
pub(crate) const DEPTH_READ_MAX: usize = crate::limits::DEPTH_CEILING + 4;
