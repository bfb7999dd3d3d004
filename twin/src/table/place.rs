//! Where a twin of the table is: packed, or unpacked because changes come in.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::image::{self, Flags, ImageError};
use crate::twin::Twin;

/// Two words, as there are very many.
#[derive(Debug)]
pub(super) enum Place {
    /// At rest; its checksum was compared when it came from outside.
    Packed(Arc<[u8]>),
    Hot(Box<Hot>),
}

/// An unpacked twin, to which changes are applied in place.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) twin: Twin,
    /// Log index of its last change; zero for a twin that had none.
    pub(super) index: u64,
    /// Log index of the image that it was unpacked from.
    pub(super) unpacked: u64,
    /// Its image, unless it changed since.
    pub(super) image: Option<Arc<[u8]>>,
    pub(super) flags: Flags,
    /// What it weighs in the cache.
    pub(super) bytes: usize,
    /// Changed since the cache last looked at it.
    pub(super) used: bool,
}

impl Hot {
    /// A twin that nobody spoke of in this lineage.
    pub(super) fn absent(floor: u64) -> Self {
        Self {
            twin: Twin::absent_above(floor),
            index: 0,
            unpacked: 0,
            image: None,
            flags: Flags::default(),
            bytes: 0,
            used: true,
        }
    }

    fn unpack(image: &Arc<[u8]>) -> Result<Self, ImageError> {
        let (twin, index) = image::unpack(image)?;
        Ok(Self {
            flags: Flags::of(&twin),
            twin,
            index,
            unpacked: index,
            bytes: image.len(),
            image: Some(Arc::clone(image)),
            used: true,
        })
    }

    /// Its image, which is kept until it changes.
    pub(super) fn pack(&mut self) -> Arc<[u8]> {
        let pack = || image::pack(&self.twin, self.index);
        Arc::clone(self.image.get_or_insert_with(pack))
    }
}

impl Place {
    /// Unpacks it, unless it is.
    pub(super) fn heat(&mut self) -> Result<&mut Hot, ImageError> {
        if let Self::Packed(image) = self {
            *self = Self::Hot(Box::new(Hot::unpack(image)?));
        }
        match self {
            Self::Hot(hot) => Ok(hot),
            Self::Packed(_) => unreachable!("it was just unpacked"),
        }
    }

    /// Its image, for a reader.
    pub(super) fn image(&self) -> Arc<[u8]> {
        match self {
            Self::Packed(image) => Arc::clone(image),
            Self::Hot(hot) => match &hot.image {
                Some(image) => Arc::clone(image),
                None => image::pack(&hot.twin, hot.index),
            },
        }
    }

    /// Its image, which a hot twin keeps until it changes.
    pub(super) fn pack(&mut self) -> Arc<[u8]> {
        match self {
            Self::Packed(image) => Arc::clone(image),
            Self::Hot(hot) => hot.pack(),
        }
    }

    /// What the twin is.
    pub(super) fn flags(&self) -> Result<Flags, ImageError> {
        match self {
            Self::Packed(image) => image::header(image).map(|header| header.flags),
            Self::Hot(hot) => Ok(hot.flags),
        }
    }

    /// The twin, unpacked for someone to keep.
    pub(super) fn twin(&self) -> Result<Twin, ImageError> {
        match self {
            Self::Packed(image) => image::unpack(image).map(|(twin, _)| twin),
            Self::Hot(hot) => Ok(hot.twin.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_two_words() {
        assert_eq!(size_of::<super::Place>(), 2 * size_of::<usize>());
    }
}
