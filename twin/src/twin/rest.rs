//! A twin that rests: an actor whose device is connected but silent keeps its document as few bytes,
//! and unpacks it when something comes.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Document, Twin};

impl Twin {
    /// Packs the document in place, to a fraction of its size in memory. Changes nothing that
    /// anyone sees: the next input or change unpacks it. For twins that are let be for seconds.
    pub fn rest(&mut self) {
        if self.local.resting.is_some() {
            return;
        }
        self.local.resting = Some(self.document.to_bytes().into_boxed_slice());
        self.document = Document::default();
        self.keys.shrink_to_fit();
        self.entry_keys.shrink_to_fit();
        self.commands.shrink_to_fit();
        self.session.refused.shrink_to_fit();
        self.local.waiting.shrink_to_fit();
    }

    /// Whether the document is packed.
    pub const fn is_resting(&self) -> bool {
        self.local.resting.is_some()
    }

    pub(super) fn wake(&mut self) {
        if let Some(bytes) = self.local.resting.take() {
            self.document = unpack(&bytes);
        }
    }

    /// The document, unpacked for the moment if it rests.
    pub(super) fn document(&self) -> Cow<'_, Document> {
        match &self.local.resting {
            Some(bytes) => Cow::Owned(unpack(bytes)),
            None => Cow::Borrowed(&self.document),
        }
    }

    /// The bytes of the document in an image.
    pub(crate) fn document_bytes(&self) -> Vec<u8> {
        let resting = self.local.resting.as_deref();
        resting.map_or_else(|| self.document.to_bytes(), <[u8]>::to_vec)
    }
}

fn unpack(bytes: &[u8]) -> Document {
    Document::read(bytes).expect("`rest` wrote these bytes to memory")
}
