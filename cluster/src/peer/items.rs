//! Streams of items, as their reader sees them. Owns what has come and was not read yet, and the credit
//! that bounds it; leaves the sending side to `served`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use pollux_proto::peer::PeerHead;

use super::link::Link;
use crate::limits::{PEER_FRAME_COST_BYTES, PEER_ITEM_BYTES_MAX, PEER_STREAM_CREDIT_BYTES};
use crate::network::CallFault;

/// What an item counts for against the credit.
pub(super) fn cost(item: &Bytes) -> i64 {
    i64::try_from(item.len() + PEER_FRAME_COST_BYTES).unwrap_or(i64::MAX)
}

/// Items on their way to the reader.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    items: VecDeque<Bytes>,
    /// What the sender may still send, as it knows it or will.
    credit: i64,
    /// Read, and not granted anew yet.
    read: i64,
    ended: Option<Option<CallFault>>,
    reader: Option<Waker>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let credit = i64::from(PEER_STREAM_CREDIT_BYTES);
        let (items, ended, reader) = (VecDeque::new(), None, None);
        Self { state: Mutex::new(State { items, credit, read: 0, ended, reader }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an item; false if the sender had no credit for it, or it is too large.
    pub(super) fn item(&self, item: Bytes) -> bool {
        let mut state = self.lock();
        if state.credit <= 0 || item.len() > PEER_ITEM_BYTES_MAX || state.ended.is_some() {
            return false;
        }
        state.credit -= cost(&item);
        state.items.push_back(item);
        wake(state);
        true
    }

    /// No more items come.
    pub(super) fn end(&self, fault: Option<CallFault>) {
        let mut state = self.lock();
        state.ended.get_or_insert(fault);
        wake(state);
    }

    /// The next item, and the credit to grant for what was read.
    fn poll(&self, context: &Context<'_>) -> Poll<Option<(Result<Bytes, CallFault>, u32)>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            state.read += cost(&item);
            let mut grant = 0;
            if state.read >= i64::from(PEER_STREAM_CREDIT_BYTES / 2) && state.ended.is_none() {
                grant = u32::try_from(state.read).unwrap_or(u32::MAX);
                state.credit += i64::from(grant);
                state.read -= i64::from(grant);
            }
            return Poll::Ready(Some((Ok(item), grant)));
        }
        match &mut state.ended {
            Some(fault) => Poll::Ready(fault.take().map(|fault| (Err(fault), 0))),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// A stream of items from a peer. It ends without a fault when all was said, and after a fault.
/// Dropped, it tells the other side that nobody reads any more.
pub struct Items {
    source: Source,
}

enum Source {
    Remote { link: Arc<Link>, id: u64, inbox: Arc<Inbox> },
    Local(BoxStream<'static, Result<Bytes, CallFault>>),
}

impl Items {
    pub(super) fn remote(link: Arc<Link>, id: u64, inbox: Arc<Inbox>) -> Self {
        Self { source: Source::Remote { link, id, inbox } }
    }

    /// A stream that comes from this node itself.
    #[must_use]
    pub fn local(items: BoxStream<'static, Result<Bytes, CallFault>>) -> Self {
        Self { source: Source::Local(items) }
    }
}

impl Stream for Items {
    type Item = Result<Bytes, CallFault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.source {
            Source::Local(items) => items.as_mut().poll_next(context),
            Source::Remote { link, id, inbox } => match inbox.poll(context) {
                Poll::Ready(Some((item, grant))) => {
                    if grant > 0 {
                        link.say(PeerHead::Credit { id: *id, bytes: grant });
                    }
                    Poll::Ready(Some(item))
                }
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if let Source::Remote { link, id, .. } = &self.source {
            link.give_up(*id);
        }
    }
}
