//! One life of a node, from a start to a crash. Owns the word that it is over: what a dead node's tasks
//! still do must reach neither the network, nor the disk, nor a caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// One life of one node; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) node: u64,
    /// Which of its lives, from 1.
    pub(super) number: u64,
    over: Arc<AtomicBool>,
}

impl Life {
    pub(super) fn new(node: u64, number: u64) -> Self {
        Self { node, number, over: Arc::default() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    pub(super) fn end(&self) {
        self.over.store(true, SeqCst);
    }
}
