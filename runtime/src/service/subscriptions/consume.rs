//! A consumer of a subscription, as the doors see it: alone, or one of those that share.

use futures_util::{Stream, StreamExt};
use pollux_proto::position::Place;
use pollux_proto::v1;
use pollux_twin::{Rejection, ShardId};
use tokio::sync::mpsc;

use super::super::desk::Desk;
use super::alone::Alone;
use super::shared::Sharing;
use crate::access::Caller;
use crate::router::WatchItem;

/// Why a consumer's stream ends.
#[derive(Debug)]
pub(in crate::service) enum End {
    /// Another consumer has the subscription, or its name in it, or it is gone.
    TakenOver,
    /// It was not heard of for too long, and what it held is others'.
    Forgotten,
    /// What was acknowledged is no position of an event that came.
    NotAnEvent,
    /// Not here, not now.
    Refused(Rejection),
}

impl From<Rejection> for End {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::VersionMismatch { .. } | Rejection::NotFound => Self::TakenOver,
            other => Self::Refused(other),
        }
    }
}

/// What is to be done next.
pub(super) enum Next {
    /// An event for the consumer; of a shared subscription, where it stands.
    Event(Box<WatchItem>, Option<Stands>),
    /// What the consumer holds is this now.
    Sharing(v1::Sharing),
    /// Time to [keep](Consumption::keep) the turn.
    Keep,
    /// The node stops, or the consumer may no longer watch.
    Over(Rejection),
}

/// What a door is to write for the consumer.
pub(in crate::service) enum Tells {
    /// An event; of a shared subscription, of this shard.
    Event(Box<WatchItem>, Option<ShardId>),
    /// What the consumer holds now.
    Sharing(v1::Sharing),
}

/// What is expected of the consumer once something has gone out.
pub(in crate::service) enum Expects {
    /// To acknowledge it in its stream, by this position, which may be empty.
    Acknowledgement(String),
    /// To acknowledge it from beside its stream, if at all.
    Beside,
    /// Nothing: it is no event, and its position may be acknowledged.
    Place(String),
    /// Nothing, and there is no position.
    Nothing,
}

/// Where an event of a shared subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) shard: ShardId,
    /// None within a picture.
    pub(super) place: Option<Place>,
    /// Of which watch of the shard it came.
    pub(super) watch: Option<u64>,
}

/// A consumer's turn.
pub(in crate::service) enum Consumption {
    Alone(Box<Alone>),
    Shared(Box<Sharing>),
}

impl Consumption {
    /// Takes the subscription over and goes on where it stands; if it is shared, as one of its consumers, of this name
    /// or a new one.
    pub(in crate::service) async fn open(
        desk: &Desk,
        caller: &Caller,
        (tenant, name): (&str, &str),
        consumer: &str,
        most: u64,
    ) -> Result<Self, Rejection> {
        let record = desk.where_it_stands(caller, tenant, name).await?;
        if record.consumers.is_none() && consumer.is_empty() {
            let alone = Alone::open(desk, caller, (tenant, name), most).await?;
            return Ok(Self::Alone(Box::new(alone)));
        }
        let sharing = Sharing::open(desk, caller, (tenant, name), consumer, most).await?;
        Ok(Self::Shared(Box::new(sharing)))
    }

    /// Tells events at the pace of who takes them; for as long as that takes, what is acknowledged is heard and the turn
    /// kept. `write` says how something goes out, if it does, and what is expected then.
    pub(in crate::service) async fn drive<T>(
        &mut self,
        events: &mpsc::Sender<T>,
        mut acknowledged: impl Stream<Item = Result<String, End>> + Unpin,
        write: impl Fn(Tells) -> Option<(T, Expects)>,
    ) -> Result<(), End> {
        let mut waits: Option<(T, Expects, Option<Stands>)> = None;
        loop {
            let has_one = waits.is_some();
            let may_go = has_one && self.is_sure();
            let next = async {
                if has_one {
                    self.due().await;
                    return Next::Keep;
                }
                self.next().await
            };
            let (told, stands) = tokio::select! {
                () = events.closed() => return Ok(()),
                position = acknowledged.next() => {
                    let Some(position) = position else { return Ok(()) };
                    self.acknowledged(position?)?;
                    continue;
                }
                room = events.reserve(), if may_go => {
                    let (Ok(room), Some((written, expects, stands))) = (room, waits.take()) else {
                        return Ok(());
                    };
                    if self.tells(stands) {
                        self.goes_out(expects, stands);
                        room.send(written);
                    }
                    continue;
                }
                next = next => match next {
                    Next::Event(item, stands) => {
                        (Tells::Event(item, stands.map(|stands| stands.shard)), stands)
                    }
                    Next::Sharing(sharing) => (Tells::Sharing(sharing), None),
                    Next::Keep => {
                        self.keep().await?;
                        continue;
                    }
                    Next::Over(rejection) => return Err(End::Refused(rejection)),
                },
            };
            waits = write(told).map(|(written, expects)| (written, expects, stands));
        }
    }

    fn goes_out(&mut self, expects: Expects, stands: Option<Stands>) {
        match expects {
            Expects::Acknowledgement(position) => self.sent(&position, stands),
            Expects::Beside => self.told(stands),
            Expects::Place(position) => self.passed(&position, stands),
            Expects::Nothing => {}
        }
    }

    /// What comes next. May be dropped at any time: what was not told comes with the next call.
    async fn next(&mut self) -> Next {
        match self {
            Self::Alone(one) => one.next().await,
            Self::Shared(one) => one.next().await,
        }
    }

    /// Waits until it is time to [keep](Self::keep) the turn, while there is no room for what would come next.
    async fn due(&mut self) {
        match self {
            Self::Alone(one) => one.due().await,
            Self::Shared(one) => one.due().await,
        }
    }

    /// Whether events may go out now: a consumer that shares has to be sure that it still holds what it tells.
    fn is_sure(&self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Shared(one) => one.is_sure(),
        }
    }

    /// Whether an event that waited for room is still this consumer's to tell; if not, it comes again to who holds its
    /// shard.
    fn tells(&self, stands: Option<Stands>) -> bool {
        match (self, stands) {
            (Self::Shared(one), Some(stands)) => one.tells(stands),
            _ => true,
        }
    }

    /// An event goes out that is to be acknowledged, with this position, which may be empty.
    fn sent(&mut self, position: &str, stands: Option<Stands>) {
        match (self, stands) {
            (Self::Alone(one), _) => one.sent(position),
            (Self::Shared(one), Some(stands)) => one.sent(position, stands),
            (Self::Shared(_), None) => {}
        }
    }

    /// An event goes out that is acknowledged from beside the stream, if at all.
    fn told(&mut self, stands: Option<Stands>) {
        if let (Self::Shared(one), Some(stands)) = (self, stands) {
            one.told(stands);
        }
    }

    /// A place goes out that is no event: it may be acknowledged, and need not be.
    fn passed(&mut self, position: &str, stands: Option<Stands>) {
        match (self, stands) {
            (Self::Alone(one), _) => one.passed(position),
            (Self::Shared(one), Some(stands)) => one.passed(position, stands),
            (Self::Shared(_), None) => {}
        }
    }

    /// The consumer has done an event, and all before it.
    fn acknowledged(&mut self, position: String) -> Result<(), End> {
        match self {
            Self::Alone(one) => one.acknowledged(position),
            Self::Shared(one) => one.acknowledged(&position),
        }
    }

    /// Remembers what was acknowledged, and sees whether the turn is still this consumer's.
    async fn keep(&mut self) -> Result<(), End> {
        match self {
            Self::Alone(one) => one.keep().await,
            Self::Shared(one) => one.keep().await,
        }
    }

    /// The consumer ends: what it acknowledged last is remembered, too.
    pub(in crate::service) async fn finish(&mut self) -> Result<(), End> {
        match self {
            Self::Alone(one) => one.keep().await,
            Self::Shared(one) => one.finish().await,
        }
    }
}
