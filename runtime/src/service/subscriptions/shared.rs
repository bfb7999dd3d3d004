//! A consumer of a subscription that several share: it takes the events of the shards that it holds. What it holds
//! and when it gives up some of it decides `sharer`; this reads and writes the record, and counts what is out.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use pollux_proto::convert;
use pollux_proto::position::{Place, Position};
use pollux_proto::v1;
use pollux_twin::{Rejection, ShardId};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::super::desk::Desk;
use super::super::limits::{
    ACKNOWLEDGE_EVERY, PASSED_MAX, SHARER_BEATS_EVERY, SHARER_SURE, SHARER_WAITS, SHARERS_MAX,
    SHARING_RETRY_MS, SUBSCRIPTION_TRIES,
};
use super::consume::{Next, Stands};
use super::parts::Parts;
use super::sharer::{Beat, Gone, Sharer, pace};
use super::{End, Kept, Record, give_way, not_shared};
use crate::access::Caller;
use crate::own;
use crate::router::WatchItem;

/// A position that went out.
struct Out {
    /// Number of its event, or of the one before it.
    number: u64,
    position: String,
    shard: ShardId,
    place: Place,
    is_event: bool,
}

/// See the module.
pub(in crate::service) struct Sharing {
    desk: Desk,
    caller: Caller,
    /// The record as it was read or written last.
    record: Record,
    sharer: Sharer,
    parts: Parts,
    out: VecDeque<Out>,
    sent: u64,
    done: u64,
    unacknowledged_max: u64,
    /// What the consumer knows that it holds, of how many consumers.
    known: Option<(BTreeSet<ShardId>, usize)>,
    /// When it said last that it is there.
    beat_at: Duration,
    tick: Interval,
    stage: Stage,
}

/// Whether it is one of those that share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There was no room for it, from this time on.
    Waits(Duration),
    Shares,
    Left,
}

impl Sharing {
    /// Comes to those that share.
    pub(super) async fn open(
        desk: &Desk,
        caller: &Caller,
        (tenant, name): (&str, &str),
        consumer: &str,
        unacknowledged_max: u64,
    ) -> Result<Self, Rejection> {
        let consumer = match consumer {
            "" => format!("{:016x}", rand::random::<u64>()),
            named => own::checked(named)?.to_owned(),
        };
        // Who cannot watch now takes nothing from who can.
        let parts = Parts::new(desk, caller)?;
        for tries in 0..SUBSCRIPTION_TRIES {
            give_way(tries).await;
            let beat_at = desk.clock.elapsed();
            let Kept { mut record, version } = desk.subscription(caller, tenant, name).await?;
            let all = desk.router.shards_of(&record.scope()?).collect();
            let turn = u64::from(rand::random::<u32>());
            let sharer = Sharer::new(consumer.clone(), turn, desk.router.lineage(), all);
            let Some(consumers) = &mut record.consumers else { return Err(not_shared()) };
            // Without room it waits for those that are gone to be known to be.
            let (stage, written) = if sharer.join(consumers) {
                (Stage::Shares, desk.write_record(&record, version).await)
            } else {
                (Stage::Waits(beat_at), Ok(version))
            };
            match written {
                Err(Rejection::VersionMismatch { .. }) => {}
                Err(other) => return Err(other),
                Ok(_) => {
                    let mut sharing = Self {
                        desk: desk.clone(),
                        caller: caller.clone(),
                        record: record.clone(),
                        sharer,
                        parts,
                        out: VecDeque::new(),
                        sent: 0,
                        done: 0,
                        unacknowledged_max,
                        known: None,
                        beat_at,
                        tick: interval(ACKNOWLEDGE_EVERY),
                        stage,
                    };
                    sharing.adopt(record)?;
                    return Ok(sharing);
                }
            }
        }
        // Many come at once. It is no mismatch of the caller's.
        Err(Rejection::Overloaded { retry_after_ms: SHARING_RETRY_MS })
    }

    /// See [`Consumption::next`](super::Consumption::next).
    pub(super) async fn next(&mut self) -> Next {
        if let Some(sharing) = self.news() {
            return Next::Sharing(sharing);
        }
        let waits = self.sent - self.done >= self.unacknowledged_max && !self.out.is_empty();
        let sure = self.sure();
        tokio::select! {
            biased;
            () = due(&mut self.tick, sure) => Next::Keep,
            (shard, item) = self.parts.next(), if !waits && !sure.is_zero() => match item {
                // It stood still at that very moment. What came comes again once it is sure.
                Ok(_) if !self.is_sure() => {
                    self.parts.close(shard);
                    Next::Keep
                }
                Ok(item) => self.placed(shard, item),
                Err(rejection) => Next::Over(rejection),
            }
        }
    }

    /// See [`Consumption::due`](super::Consumption::due).
    pub(super) async fn due(&mut self) {
        let sure = self.sure();
        due(&mut self.tick, sure).await;
    }

    /// Whether what it held when it last said that it is there is no other's.
    pub(super) fn is_sure(&self) -> bool {
        !self.sure().is_zero()
    }

    /// Whether the watch goes on of which an event came; another of that shard begins before it.
    pub(super) fn tells(&self, stands: Stands) -> bool {
        self.parts.number(stands.shard) == stands.watch
    }

    /// For how long it is sure.
    fn sure(&self) -> Duration {
        (self.beat_at + SHARER_SURE).saturating_sub(self.desk.clock.elapsed())
    }

    /// An item with the position of all that was told.
    fn placed(&self, shard: ShardId, mut item: WatchItem) -> Next {
        let mut stands = Stands { shard, place: None, watch: self.parts.number(shard) };
        if let WatchItem::Change { position, .. }
        | WatchItem::PictureDone { position }
        | WatchItem::Progress { position } = &mut item
        {
            let own = position.parse::<Position>().ok();
            stands.place = own.and_then(|own| own.shards.get(&shard).copied());
            if let Some(place) = stands.place {
                *position = self.sharer.position(shard, place).to_string();
            }
        }
        Next::Event(Box::new(item), Some(stands))
    }

    /// An event of a shard goes out with this position, which may be empty.
    pub(super) fn sent(&mut self, position: &str, stands: Stands) {
        self.sent += 1;
        self.told(stands);
        self.goes_out(position, stands, true);
    }

    /// An event of a shard goes out.
    pub(super) fn told(&mut self, stands: Stands) {
        self.sharer.told(stands.shard, stands.place);
    }

    /// A place goes out that is no event.
    pub(super) fn passed(&mut self, position: &str, stands: Stands) {
        if let Some(place) = stands.place {
            self.sharer.passed(stands.shard, place);
        }
        self.goes_out(position, stands, false);
        let idle = self.out.iter().rev().take_while(|out| !out.is_event).count();
        if idle > PASSED_MAX {
            self.out.remove(self.out.len() - idle);
        }
    }

    fn goes_out(&mut self, position: &str, Stands { shard, place, .. }: Stands, is_event: bool) {
        if let Some(place) = place {
            let (number, position) = (self.sent, position.to_owned());
            self.out.push_back(Out { number, position, shard, place, is_event });
        }
    }

    /// The consumer has done an event, and all before it.
    pub(super) fn acknowledged(&mut self, position: &str) -> Result<(), End> {
        let at = self.out.iter().position(|out| out.position == position);
        for out in self.out.drain(..=at.ok_or(End::NotAnEvent)?) {
            self.done = out.number;
            self.sharer.acknowledged(out.shard, out.place);
        }
        Ok(())
    }

    /// Remembers what was acknowledged, says that it is there, and sees what it holds now.
    pub(super) async fn keep(&mut self) -> Result<(), End> {
        if let Stage::Waits(since) = self.stage {
            return self.come(since).await;
        }
        let mut is_first = true;
        for tries in 0..SUBSCRIPTION_TRIES {
            give_way(tries).await;
            let began = self.desk.clock.elapsed();
            let Kept { record, version } = self.read().await?;
            if std::mem::take(&mut is_first) {
                self.sharer.look(began, &record);
            }
            let is_due = began.saturating_sub(self.beat_at) >= SHARER_BEATS_EVERY;
            let beat = if is_due { Beat::Due } else { Beat::NotYet };
            let Some(next) = self.sharer.decide(&record, beat)? else {
                return Ok(self.adopt(record)?);
            };
            match self.desk.write_record(&next, version).await {
                Ok(_) => {
                    self.beat_at = began;
                    return Ok(self.adopt(next)?);
                }
                Err(Rejection::VersionMismatch { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        // Another look comes soon.
        Ok(())
    }

    /// Comes to those that share, if there is room now.
    async fn come(&mut self, since: Duration) -> Result<(), End> {
        let began = self.desk.clock.elapsed();
        let Kept { mut record, version } = self.read().await?;
        self.sharer.look(began, &record);
        let Some(consumers) = &mut record.consumers else { return Err(not_shared().into()) };
        if self.sharer.join(consumers) {
            match self.desk.write_record(&record, version).await {
                Ok(_) => self.stage = Stage::Shares,
                // Another look comes soon.
                Err(Rejection::VersionMismatch { .. }) => return Ok(()),
                Err(other) => return Err(other.into()),
            }
        } else if began.saturating_sub(since) >= SHARER_WAITS {
            let max = u32::try_from(SHARERS_MAX).unwrap_or(u32::MAX);
            let what = "consumers of a subscription".to_owned();
            return Err(End::Refused(Rejection::TooMany { what, max }));
        }
        self.beat_at = began;
        Ok(self.adopt(record)?)
    }

    /// Leaves those that share.
    pub(super) async fn finish(&mut self) -> Result<(), End> {
        if std::mem::replace(&mut self.stage, Stage::Left) != Stage::Shares {
            return Ok(());
        }
        let desk = self.desk.clone();
        leave(&desk, &self.caller, &self.record, &self.sharer).await
    }

    async fn read(&self) -> Result<Kept, Rejection> {
        self.desk.subscription(&self.caller, &self.record.tenant, &self.record.name).await
    }

    fn adopt(&mut self, record: Record) -> Result<(), Rejection> {
        self.sharer.adopt(&record);
        let consumers = record.consumers.as_ref().map_or(0, |all| all.0.len());
        let pace = pace(consumers);
        if self.tick.period() != pace || self.known.is_none() {
            self.tick = interval(pace);
            self.tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.tick.reset();
        }
        let tells = self.sharer.tells();
        let lineage = self.desk.router.lineage();
        let asked = |shard| {
            let after = tells.get(&shard).copied().flatten();
            convert::watch(&record.watch_part(lineage, shard, after))
        };
        self.parts.watch(&tells.keys().copied().collect(), &record, asked)?;
        self.record = record;
        Ok(())
    }

    /// What it holds now, if the consumer does not know it.
    fn news(&mut self) -> Option<v1::Sharing> {
        let consumers = self.record.consumers.as_ref().map_or(0, |all| all.0.len());
        let now = Some((self.sharer.holds(), consumers));
        if now == self.known {
            return None;
        }
        let (shards, _) = self.known.insert(now?);
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Some(v1::Sharing {
            consumer: self.sharer.name.clone(),
            shards: shards.iter().map(|shard| u32::from(shard.0)).collect(),
            of: number(self.sharer.shards()),
            consumers: number(consumers),
        })
    }
}

impl Drop for Sharing {
    /// Where its stream is dropped, as HTTP's are, what it holds goes to the others as soon as if it had said so.
    fn drop(&mut self) {
        if self.stage != Stage::Shares {
            return;
        }
        let (desk, caller) = (self.desk.clone(), self.caller.clone());
        let (record, sharer) = (self.record.clone(), self.sharer.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { leave(&desk, &caller, &record, &sharer).await });
        }
    }
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::TakenOver => Self::TakenOver,
            Gone::Forgotten => Self::Forgotten,
        }
    }
}

/// Waits for the next look, or until others may hold what it held before.
async fn due(tick: &mut Interval, sure: Duration) {
    tokio::select! {
        _ = tick.tick() => {}
        () = sleep(sure), if !sure.is_zero() => {}
    }
}

async fn leave(desk: &Desk, caller: &Caller, of: &Record, sharer: &Sharer) -> Result<(), End> {
    for tries in 0..SUBSCRIPTION_TRIES {
        give_way(tries).await;
        let Kept { record, version } = desk.subscription(caller, &of.tenant, &of.name).await?;
        match desk.write_record(&sharer.leave(&record)?, version).await {
            Err(Rejection::VersionMismatch { .. }) => {}
            written => return written.map(drop).map_err(End::from),
        }
    }
    Err(End::Refused(Rejection::Overloaded { retry_after_ms: SHARING_RETRY_MS }))
}
