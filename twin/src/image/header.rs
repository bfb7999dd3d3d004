//! The head of an image: what can be told of a twin without unpacking it.

use super::ImageError;
use crate::twin::{Life, Twin};

/// The newest form, for twins that can be brought back: there are some from level 4 on.
pub(super) const VERSION: u8 = 4;
/// The form of others of which the registry knows something: there are some from level 4 on.
pub(super) const VERSION_REGISTERED: u8 = 3;
/// The form of others with keys that nodes made: there are some from level 3 on.
pub(super) const VERSION_KEYED: u8 = 2;
/// The form of all others.
pub(super) const VERSION_FIRST: u8 = 1;
/// Version byte, checksum, index, flags.
pub(super) const HEADER_LEN: usize = 1 + 4 + 8 + 1;

/// What an image says before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Checksum of everything else in the image.
    pub checksum: u32,
    /// The log index of the last change in it.
    pub index: u64,
    /// What the twin is.
    pub flags: Flags,
}

/// What a twin is, in a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub(super) u8);

impl Flags {
    const ALIVE: u8 = 1;
    const CONNECTED: u8 = 2;
    const WAKEFUL: u8 = 4;
    const QUARANTINED: u8 = 8;
    const BURIED: u8 = 16;

    /// What this twin is.
    pub fn of(twin: &Twin) -> Self {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        Self(
            flag(twin.life() == Life::Alive, Self::ALIVE)
                | flag(twin.session().is_some(), Self::CONNECTED)
                | flag(twin.wants_wake(), Self::WAKEFUL)
                | flag(twin.is_quarantined(), Self::QUARANTINED)
                | flag(twin.restorable_until().is_some(), Self::BURIED),
        )
    }

    /// Neither absent nor deleted.
    pub const fn is_alive(self) -> bool {
        self.0 & Self::ALIVE != 0
    }

    /// It has a session, as the log knows it.
    pub const fn is_connected(self) -> bool {
        self.0 & Self::CONNECTED != 0
    }

    /// A new owner must activate it at once: see [`Twin::wants_wake`].
    pub const fn is_wakeful(self) -> bool {
        self.0 & Self::WAKEFUL != 0
    }

    /// It broke an invariant and was set aside.
    pub const fn is_quarantined(self) -> bool {
        self.0 & Self::QUARANTINED != 0
    }

    /// What was deleted is kept beside it: see [`Twin::restorable_until`].
    pub const fn has_buried(self) -> bool {
        self.0 & Self::BURIED != 0
    }
}

/// Reads the head of an image, without comparing the checksum.
pub fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    match bytes.first() {
        Some(&(VERSION_FIRST..=VERSION)) => {}
        Some(&found) => return Err(ImageError::Version { found }),
        None => return Err(ImageError::Short),
    }
    let (head, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ImageError::Short)?;
    let [_, a, b, c, d, index @ .., flags] = *head;
    Ok(Header {
        checksum: u32::from_le_bytes([a, b, c, d]),
        index: u64::from_le_bytes(index),
        flags: Flags(flags),
    })
}
