//! Names of tenants and devices, and the shard that a device belongs to.
//!
//! The hash and the slots are part of the cluster's data on disk: known-answer tests below hold
//! them. Who owns a shard is cluster/'s business.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;

use rkyv::rancor::{Fallible, Source};
use rkyv::ser::Writer;
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

use crate::limits::ID_BYTES_MAX;

/// Slots that the hash space is cut into; a shard is a range of slots, which keeps splits possible.
pub const SLOTS: u16 = 4096;

/// The tenant that devices belong to until someone makes another.
pub const DEFAULT_TENANT: &str = "default";

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Nothing given.
    Empty,
    /// More than [`ID_BYTES_MAX`] bytes.
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// A character outside printable ASCII, or one of `/ + # $`.
    Character {
        /// Byte offset of the character.
        at: usize,
    },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "id is empty; it takes 1 to {ID_BYTES_MAX} bytes"),
            Self::TooLong { bytes } => {
                write!(f, "id has {bytes} bytes; at most {ID_BYTES_MAX} are allowed")
            }
            Self::Character { at } => write!(
                f,
                "id has a character at byte {at} that is not allowed; \
                 use printable ASCII without spaces and without / + # $"
            ),
        }
    }
}

impl core::error::Error for IdError {}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len() });
    }
    match text.bytes().position(|b| !b.is_ascii_graphic() || b"/+#$".contains(&b)) {
        Some(at) => Err(IdError::Character { at }),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the text: 1 to [`ID_BYTES_MAX`] bytes of printable ASCII without `/ + # $`.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Who devices belong to.
    TenantId
);
name_type!(
    /// A device's name within its tenant.
    DeviceId
);

/// The name of one twin: tenant and device, kept as one text `tenant/device`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinKey(Arc<str>);

impl TwinKey {
    /// The key of a device of a tenant.
    pub fn new(tenant: &TenantId, device: &DeviceId) -> Self {
        let mut text = String::with_capacity(tenant.0.len() + 1 + device.0.len());
        text.push_str(&tenant.0);
        text.push('/');
        text.push_str(&device.0);
        Self(text.into())
    }

    /// Parses `tenant/device`, or `device` alone for the default tenant.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::check(text)?;
        Ok(Self(if text.contains('/') {
            text.into()
        } else {
            format!("{DEFAULT_TENANT}/{text}").into()
        }))
    }

    /// Whether a text can be parsed.
    pub(crate) fn check(text: &str) -> Result<(), IdError> {
        let (tenant, device) = text.split_once('/').unwrap_or((DEFAULT_TENANT, text));
        check(tenant)?;
        check(device)
    }

    /// `tenant/device`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tenant's part.
    pub fn tenant(&self) -> &str {
        self.0.split_once('/').map_or("", |(tenant, _)| tenant)
    }

    /// The device's part.
    pub fn device(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, device)| device)
    }

    /// The slot of the hash space that this twin lies in: the top 12 bits of XXH3-64 of the key.
    pub fn slot(&self) -> u16 {
        let hash = xxhash_rust::xxh3::xxh3_64(self.0.as_bytes());
        u16::try_from(hash >> 52).expect("12 bits fit into 16")
    }

    /// The shard of this twin in a cluster that was created with `shards` shards.
    pub fn shard(&self, shards: u16) -> ShardId {
        debug_assert!(shards > 0 && shards <= SLOTS, "shard count is checked where it is read");
        let shard = u32::from(self.slot()) * u32::from(shards) / u32::from(SLOTS);
        ShardId(u16::try_from(shard).expect("less than the shard count"))
    }
}

/// Lookups by text: the order of keys is the order of their texts.
impl Borrow<str> for TwinKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Archived as plain text, so that writing an entry copies no key before it is encoded.
impl Archive for TwinKey {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedString::resolve_from_str(&self.0, resolver, out);
    }
}

impl<S: Fallible<Error: Source> + Writer + ?Sized> Serialize<S> for TwinKey {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        ArchivedString::serialize_from_str(&self.0, serializer)
    }
}

impl<D: Fallible<Error: Source> + ?Sized> Deserialize<TwinKey, D> for ArchivedString {
    fn deserialize(&self, _: &mut D) -> Result<TwinKey, D::Error> {
        TwinKey::parse(self.as_str()).map_err(Source::new)
    }
}

impl fmt::Debug for TwinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TwinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fixed slice of the device ids: the unit of ownership and of moving.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
