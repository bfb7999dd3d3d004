//! `Twins.Watch`: items of a watch as messages, pulled as fast as the caller takes them.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use pollux_proto::status::to_status;
use pollux_proto::v1::watch_response::Event;
use pollux_proto::{convert, v1};
use pollux_twin::Rejection;
use tonic::Status;

use super::super::desk::{Desk, Watching};
use crate::access::Caller;
use crate::router::WatchItem;
use crate::watch::{Committed, InBatches};

/// What a watch sends.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Opens a watch.
pub(super) async fn open(
    desk: &Desk,
    caller: &Caller,
    request: &v1::WatchRequest,
) -> Result<Events, Rejection> {
    let asked = convert::watch(request)?;
    let mut watching = desk.watch(caller, &asked).await?;
    if request.batch {
        watching.in_batches(InBatches::clone(&desk.in_batches));
    }
    let start = if request.tell_start { watching.start().and_then(response) } else { None };
    Ok(Box::pin(stream::iter(start.map(Ok)).chain(stream::unfold(Some(watching), next))))
}

type Next = Option<(Result<v1::WatchResponse, Status>, Option<Watching>)>;

async fn next(watching: Option<Watching>) -> Next {
    let mut watching = watching?;
    loop {
        let item = match watching.next().await {
            Some(Ok(item)) => item,
            Some(Err(rejection)) => return Some((Err(to_status(&rejection)), None)),
            // The node stops: another one, or this one later, goes on from the last position.
            None => return Some((Err(to_status(&Rejection::NotOwner)), None)),
        };
        if let Some(response) = response(item) {
            return Some((Ok(response), Some(watching)));
        }
    }
}

/// An item as a message; `None` for a change that only marks a number or a key as used.
pub(super) fn response(item: WatchItem) -> Option<v1::WatchResponse> {
    let (position, event) = match item {
        WatchItem::Picture { key, view } => {
            (String::new(), Event::Twin(convert::twin_to_v1(&key, &view)))
        }
        WatchItem::PictureDone { position } => {
            (position, Event::PictureComplete(v1::PictureComplete {}))
        }
        WatchItem::Reset { reason: _ } => (String::new(), Event::PositionLost(v1::PositionLost {})),
        WatchItem::Change { what, fit, position } => {
            let Committed { key, change, versions, .. } = &*what;
            (position, Event::Changed(convert::changed(key, *versions, change, fit.as_ref())?))
        }
        WatchItem::Changes { changes, position } => {
            (position, Event::Changes(v1::Changes { changes }))
        }
        WatchItem::Telemetry { live, left_out } => {
            (String::new(), Event::Telemetry(convert::telemetry_heard(&live, left_out)))
        }
        WatchItem::Progress { position } => (position, Event::Progress(v1::Progress {})),
    };
    Some(v1::WatchResponse { position, event: Some(event), shard: None })
}
