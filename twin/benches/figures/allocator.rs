//! The system's allocator, with a count of the bytes in use. For measuring only.
#![expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static IN_USE: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Counting;

/// Bytes that are allocated, each rounded up to 16 as allocators do at least.
pub(crate) fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

fn rounded(size: usize) -> usize {
    size.next_multiple_of(16)
}

// SAFETY: both calls go to the system's allocator unchanged; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(rounded(layout.size()), Relaxed);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(rounded(layout.size()), Relaxed);
        // SAFETY: the block came from `alloc` above, which is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}
