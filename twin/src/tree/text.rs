//! Keys and texts of a tree: most are short, and a short one lies where it is used.
//!
//! A twin of a few dozen leaves would otherwise make as many allocations, and pay more for them
//! than for what they hold.

use alloc::boxed::Box;

/// Bytes that fit beside a tag and a length into three words.
const SHORT_MAX: usize = 22;

/// UTF-8 text.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Short(u8, [u8; SHORT_MAX]),
    Long(Box<str>),
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Short(..) => {
                core::str::from_utf8(self.as_bytes()).expect("made of whole text, never cut")
            }
            Self::Long(text) => text,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(len, bytes)
            }
            _ => Self::Long(text.into()),
        }
    }
}
