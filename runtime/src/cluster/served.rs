//! What another node is told as a stream of items, whatever it opened.

use std::future::ready;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pollux_cluster::CallFault;

/// A stream of items for another node.
pub(crate) type Served = BoxStream<'static, Result<Bytes, CallFault>>;

/// One that is refused.
pub(crate) fn refused(fault: CallFault) -> Served {
    stream::once(ready(Err(fault))).boxed()
}
