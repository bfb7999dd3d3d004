//! Frames as rkyv bytes: writing into a buffer that is already there, and reading with checks.
//! Length prefixes are `framing`'s business.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroUsize;

use bytes::BytesMut;
use rkyv::api::low::{LowDeserializer, LowSerializer, LowValidator};
use rkyv::api::{access_with_context, deserialize_using};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Source, Trace};
use rkyv::ser::allocator::{Arena, ArenaHandle};
use rkyv::ser::{Positional, Serializer, Writer};
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use crate::device::check::Check;
use crate::device::error::FrameError;
use crate::device::frame::{Datagram, DeviceFrame, NodeFrame};
use crate::limits::{ARCHIVE_DEPTH_MAX, VALUE_DEPTH_MAX};

/// What travels: [`DeviceFrame`], [`NodeFrame`] and [`Datagram`], and the frames of
/// [`peer`](crate::peer).
pub trait Wire:
    Sized
    + Check
    + Archive<
        Archived: Portable
                      + Deserialize<Self, LowDeserializer<Wrong>>
                      + for<'a> CheckBytes<LowValidator<'a, Wrong>>,
    > + for<'a, 'b> Serialize<LowSerializer<Append<'a>, ArenaHandle<'b>, Wrong>>
{
}

impl Wire for DeviceFrame {}
impl Wire for NodeFrame {}
impl Wire for Datagram {}

thread_local! {
    /// Scratch for lists while they are written; one a thread, since a connection must stay small.
    static ARENA: RefCell<Arena> = RefCell::new(Arena::with_capacity(Arena::DEFAULT_CAPACITY));
}

/// Appends a frame's bytes, without a length. On an error `out` is as it was.
pub(crate) fn write<W: Wire>(frame: &W, out: &mut BytesMut) -> Result<(), FrameError> {
    frame.check()?;
    let start = out.len();
    let written = ARENA.with_borrow_mut(|arena| {
        let mut serializer = Serializer::new(Append { out, start }, arena.acquire(), ());
        rkyv::api::serialize_using::<_, Wrong>(frame, &mut serializer).map(|_| ())
    });
    written.map_err(|wrong| {
        out.truncate(start);
        wrong.into()
    })
}

/// Checks bytes and makes the frame they stand for. Nothing is read before it was checked, and
/// recursion is bounded (safety rule 26).
pub(crate) fn read<W: Wire>(bytes: &[u8]) -> Result<W, FrameError> {
    const DEPTH: NonZeroUsize = NonZeroUsize::new(ARCHIVE_DEPTH_MAX).expect("not zero");
    let checker = ArchiveValidator::with_max_depth(bytes, Some(DEPTH));
    let archived =
        access_with_context::<W::Archived, _, Wrong>(bytes, &mut Validator::new(checker, ()))?;
    let frame: W = deserialize_using::<W, _, Wrong>(archived, &mut ())?;
    frame.check()?;
    Ok(frame)
}

/// Writes at the end of a shared buffer, counting positions from where this frame begins.
#[derive(Debug)]
pub struct Append<'a> {
    out: &'a mut BytesMut,
    start: usize,
}

impl Positional for Append<'_> {
    fn pos(&self) -> usize {
        self.out.len() - self.start
    }
}

impl<E> Writer<E> for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// What rkyv found wrong, without an allocation: only whether it was the depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    too_deep: bool,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.too_deep { "nested too deep" } else { "not an archive" })
    }
}

impl std::error::Error for Wrong {}

impl Wrong {
    /// rkyv keeps the type private; the test of 10,000 levels holds its name.
    fn of<T>() -> Self {
        Self { too_deep: type_name::<T>().ends_with("ExceededMaximumSubtreeDepth") }
    }
}

impl Trace for Wrong {
    fn trace<R>(self, _trace: R) -> Self
    where
        R: fmt::Debug + fmt::Display + Send + Sync + 'static,
    {
        Self { too_deep: self.too_deep || Self::of::<R>().too_deep }
    }
}

impl Source for Wrong {
    fn new<T: std::error::Error + Send + Sync + 'static>(_source: T) -> Self {
        Self::of::<T>()
    }
}

impl From<Wrong> for FrameError {
    fn from(wrong: Wrong) -> Self {
        if wrong.too_deep { Self::TooDeep { max: VALUE_DEPTH_MAX } } else { Self::NotAFrame }
    }
}
