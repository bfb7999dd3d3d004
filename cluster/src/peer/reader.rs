//! Reads one lane and sees to what is asked. Never waits for anything but the next bytes: what would have
//! to wait is refused, so that answers behind it arrive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use pollux_proto::device::FrameError;
use pollux_proto::peer::{PeerDecoder, PeerFault, PeerFrame, PeerHead, PeerLane};
use quinn::RecvStream;

use super::items;
use super::link::{CloseCode, Link};
use super::served::{Credit, NotServed};
use super::site::{Counts, fault_in, fault_out};
use crate::ids::GroupId;
use crate::limits::{
    PEER_FRAME_COST_BYTES, PEER_ITEM_BYTES_MAX, PEER_MESSAGE_BYTES_MAX, PEER_READ_BYTES,
};
use crate::network::CallFault;

/// Reads until the connection ends, or closes it over something malformed.
pub(super) async fn read(link: Arc<Link>, lane: PeerLane, mut recv: RecvStream) {
    let mut decoder = PeerDecoder::new();
    while let Ok(Some(chunk)) = recv.read_chunk(PEER_READ_BYTES, true).await {
        decoder.push(&chunk.bytes);
        if let Err(error) = take_all(&link, lane, &mut decoder) {
            tracing::warn!(peer = %link.peer(), ?lane, %error, "closing: the peer sent nonsense");
            link.close(CloseCode::Malformed, error.to_string().as_bytes());
            return;
        }
    }
}

fn take_all(link: &Arc<Link>, lane: PeerLane, decoder: &mut PeerDecoder) -> Result<(), FrameError> {
    let mut frames = 0;
    while let Some(frame) = decoder.poll()? {
        take(link, lane, frame)?;
        frames += 1;
    }
    Counts::add(&link.site.counts.frames_in, frames);
    Ok(())
}

fn take(link: &Arc<Link>, lane: PeerLane, frame: PeerFrame) -> Result<(), FrameError> {
    let PeerFrame { head, payload } = frame;
    match head {
        PeerHead::Answer { id, fault } => {
            let answer = fault.map_or(Ok(payload), |fault| Err(fault_in(fault)));
            link.pending.answered(id, answer);
            Ok(())
        }
        PeerHead::Call { id, group, ttl_ms } if lane != PeerLane::Application => {
            serve_call(link, lane, id, GroupId(group), ttl_ms, payload);
            Ok(())
        }
        _ if lane != PeerLane::Application => {
            Err(FrameError::Unexpected { found: "frame of the application", expected: "a call" })
        }
        PeerHead::Call { .. } => {
            Err(FrameError::Unexpected { found: "call", expected: "a frame of the application" })
        }
        PeerHead::Request { id, kind, deadline_ms } => {
            serve_request(link, id, kind, deadline_ms, payload)
        }
        PeerHead::Open { id, kind, credit } => serve_open(link, id, kind, credit, payload),
        PeerHead::Cancel { id } => {
            link.served.cancel(id);
            Ok(())
        }
        PeerHead::Credit { id, bytes } => {
            link.served.credit(id, bytes);
            Ok(())
        }
        PeerHead::Item { id } => match link.pending.inbox(id) {
            Some(inbox) if !inbox.item(payload) => Err(FrameError::Unexpected {
                found: "item beyond the credit",
                expected: "to wait until more is granted",
            }),
            // One that nobody reads any more was under way when that was told.
            _ => Ok(()),
        },
        PeerHead::End { id, fault } => {
            if let Some(inbox) = link.pending.inbox(id) {
                link.pending.give_up(id);
                inbox.end(fault.map(fault_in));
            }
            Ok(())
        }
    }
}

/// Permits of a lane's room that a call takes.
fn room(payload: &Bytes) -> u32 {
    u32::try_from(payload.len() + PEER_FRAME_COST_BYTES).unwrap_or(u32::MAX)
}

fn serve_call(
    link: &Arc<Link>,
    lane: PeerLane,
    id: u64,
    group: GroupId,
    ttl_ms: u32,
    payload: Bytes,
) {
    let not_taken = PeerHead::Answer { id, fault: Some(PeerFault::NotTaken) };
    let Some(inbound) = link.site.group(group) else {
        return link.say_on(lane, not_taken);
    };
    let room = Arc::clone(link.room(lane)).try_acquire_many_owned(room(&payload));
    let Ok(room) = room else {
        tracing::debug!(peer = %link.peer(), ?lane, "too many calls are under way");
        return link.say_on(lane, not_taken);
    };
    let link = Arc::clone(link);
    tokio::spawn(async move {
        let ttl = Duration::from_millis(ttl_ms.into());
        let answer = tokio::time::timeout(ttl, inbound.answer(payload)).await;
        answer_with(&link, lane, id, answer.unwrap_or(Err(CallFault::Timeout))).await;
        drop(room);
    });
}

async fn answer_with(link: &Link, lane: PeerLane, id: u64, answer: Result<Bytes, CallFault>) {
    let answer = answer.and_then(|payload| {
        let bytes = payload.len();
        if bytes > PEER_MESSAGE_BYTES_MAX {
            tracing::error!(bytes, "an answer to a peer is too large");
            return Err(CallFault::Failed);
        }
        Ok(payload)
    });
    let fault = answer.as_ref().err().map(|fault| fault_out(*fault));
    let head = PeerHead::Answer { id, fault };
    // Without a connection there is nobody to tell.
    let _gone = link.queue(lane).push(head, answer.unwrap_or_default()).await;
}

fn serve_request(
    link: &Arc<Link>,
    id: u64,
    kind: u16,
    deadline_ms: u32,
    payload: Bytes,
) -> Result<(), FrameError> {
    let lane = PeerLane::Application;
    let room = Arc::clone(link.room(lane)).try_acquire_many_owned(room(&payload));
    let (Some(service), Ok(room)) = (link.site.service(), room) else {
        link.say(PeerHead::Answer { id, fault: Some(PeerFault::NotTaken) });
        return Ok(());
    };
    let served = link.served.begin(id, None, || {
        let done = Done { link: Arc::clone(link), id };
        tokio::spawn(async move {
            let link = &done.link;
            let deadline = Duration::from_millis(deadline_ms.into());
            let work = service.call(link.peer(), kind, payload, deadline);
            let answer = tokio::time::timeout(deadline, work).await;
            answer_with(link, lane, id, answer.unwrap_or(Err(CallFault::Timeout))).await;
            drop(room);
        })
        .abort_handle()
    });
    let not_taken = PeerHead::Answer { id, fault: Some(PeerFault::NotTaken) };
    begun(link, served, not_taken)
}

fn serve_open(
    link: &Arc<Link>,
    id: u64,
    kind: u16,
    credit: u32,
    payload: Bytes,
) -> Result<(), FrameError> {
    let not_taken = PeerHead::End { id, fault: Some(PeerFault::NotTaken) };
    let Some(service) = link.site.service() else {
        link.say(not_taken);
        return Ok(());
    };
    let credit = Arc::new(Credit::new(credit));
    let served = link.served.begin(id, Some(Arc::clone(&credit)), || {
        let done = Done { link: Arc::clone(link), id };
        tokio::spawn(async move {
            let link = &done.link;
            let queue = link.queue(PeerLane::Application);
            let mut items = service.open(link.peer(), kind, payload);
            let mut fault = None;
            while let Some(item) = items.next().await {
                let item = item.and_then(|item| {
                    if item.len() <= PEER_ITEM_BYTES_MAX {
                        Ok(item)
                    } else {
                        Err(CallFault::Failed)
                    }
                });
                match item {
                    Ok(item) => {
                        credit.take(items::cost(&item)).await;
                        if queue.push(PeerHead::Item { id }, item).await.is_err() {
                            return;
                        }
                    }
                    Err(why) => {
                        fault = Some(fault_out(why));
                        break;
                    }
                }
            }
            let _gone = queue.push(PeerHead::End { id, fault }, Bytes::new()).await;
        })
        .abort_handle()
    });
    begun(link, served, not_taken)
}

fn begun(
    link: &Link,
    served: Result<(), NotServed>,
    not_taken: PeerHead,
) -> Result<(), FrameError> {
    match served {
        Ok(()) => Ok(()),
        Err(NotServed::Busy) => {
            link.say(not_taken);
            Ok(())
        }
        Err(NotServed::Doubled) => Err(FrameError::Unexpected {
            found: "number of a call that is still under way",
            expected: "a new number",
        }),
    }
}

/// Takes a task off the list, however it ends.
struct Done {
    link: Arc<Link>,
    id: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.link.served.done(self.id);
    }
}
