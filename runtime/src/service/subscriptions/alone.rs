//! A consumer that has a subscription alone: events out up to a bound, acknowledgements in, and what was acknowledged
//! remembered now and then. It never blocks on that: the newest acknowledgement stands for those before it.

use std::collections::VecDeque;

use pollux_proto::convert;
use pollux_twin::Rejection;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::desk::{Desk, Watching};
use super::super::limits::{ACKNOWLEDGE_EVERY, CONSUMED_AHEAD, PASSED_MAX};
use super::consume::Next;
use super::{End, Kept, Record, parsed};
use crate::access::Caller;
use crate::router::WatchItem;

/// A consumer's turn.
pub(in crate::service) struct Alone {
    desk: Desk,
    caller: Caller,
    kept: Kept,
    items: mpsc::Receiver<Result<WatchItem, Rejection>>,
    /// Positions that went out and were not acknowledged, each with the number of its event.
    out: VecDeque<(u64, String)>,
    sent: u64,
    /// Number of the last event that was acknowledged.
    done: u64,
    unacknowledged_max: u64,
    /// Acknowledged and not remembered yet.
    due: Option<String>,
    tick: Interval,
}

impl Alone {
    /// Takes the subscription over and goes on where it stands.
    pub(super) async fn open(
        desk: &Desk,
        caller: &Caller,
        (tenant, name): (&str, &str),
        unacknowledged_max: u64,
    ) -> Result<Self, Rejection> {
        // Who cannot watch now takes nothing from who can.
        let read = desk.subscription(caller, tenant, name).await?.record;
        let mut watching = desk.watch(caller, &convert::watch(&read.watch())?).await?;
        let kept = desk.take_over(caller, tenant, name).await?;
        if kept.record.watch() != read.watch() {
            drop(watching);
            watching = desk.watch(caller, &convert::watch(&kept.record.watch())?).await?;
        }
        let mut tick = interval(ACKNOWLEDGE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            desk: desk.clone(),
            caller: caller.clone(),
            kept,
            items: items(watching),
            out: VecDeque::new(),
            sent: 0,
            done: 0,
            unacknowledged_max,
            due: None,
            tick,
        })
    }

    /// See [`Consumption::next`](super::Consumption::next).
    pub(super) async fn next(&mut self) -> Next {
        let full = self.is_full();
        tokio::select! {
            item = self.items.recv(), if !full => match item {
                Some(Ok(item)) => Next::Event(Box::new(item), None),
                Some(Err(rejection)) => Next::Over(rejection),
                None => Next::Over(Rejection::NotOwner),
            },
            _ = self.tick.tick() => Next::Keep,
        }
    }

    /// See [`Consumption::due`](super::Consumption::due).
    pub(super) async fn due(&mut self) {
        self.tick.tick().await;
    }

    /// An event goes out with this position, which may be empty.
    pub(super) fn sent(&mut self, position: &str) {
        self.sent += 1;
        if !position.is_empty() {
            self.out.push_back((self.sent, position.to_owned()));
        }
    }

    /// A place goes out that is no event: it may be acknowledged, and need not be.
    pub(super) fn passed(&mut self, position: &str) {
        self.out.push_back((self.sent, position.to_owned()));
        let idle = self.out.iter().filter(|(number, _)| *number == self.sent).count();
        if idle > PASSED_MAX {
            self.out.remove(self.out.len() - idle);
        }
    }

    /// The consumer has done an event, and all before it.
    pub(super) fn acknowledged(&mut self, position: String) -> Result<(), End> {
        let at = self.out.iter().position(|(_, out)| *out == position).ok_or(End::NotAnEvent)?;
        if let Some((number, _)) = self.out.drain(..=at).next_back() {
            self.done = number;
        }
        self.due = Some(position);
        Ok(())
    }

    /// Remembers what was acknowledged, and sees whether the turn is still this consumer's.
    pub(super) async fn keep(&mut self) -> Result<(), End> {
        let (turn, due) = (self.kept.record.turn, self.due.take());
        let Record { tenant, name, .. } = self.kept.record.clone();
        if let Some(position) = &due {
            let mut record = self.kept.record.clone();
            // By another way the consumer may have acknowledged more already.
            if record.advance(&parsed(position)?)? {
                match self.desk.write_record(&record, self.kept.version).await {
                    Ok(version) => {
                        self.kept = Kept { record, version };
                        return Ok(());
                    }
                    Err(Rejection::VersionMismatch { .. }) => {}
                    Err(other) => {
                        self.due = due;
                        return Err(other.into());
                    }
                }
            }
        }
        // Others acknowledge too, from beside their streams: only another turn ends this one.
        self.kept = self.desk.subscription(&self.caller, &tenant, &name).await?;
        if self.kept.record.turn != turn {
            return Err(End::TakenOver);
        }
        if let Some(position) = &due {
            let (kept, position) = (self.kept.clone(), parsed(position)?);
            self.kept = self.desk.remember(&self.caller, kept, (&position, "")).await?;
        }
        if self.kept.record.turn == turn { Ok(()) } else { Err(End::TakenOver) }
    }

    fn is_full(&self) -> bool {
        self.sent - self.done >= self.unacknowledged_max && !self.out.is_empty()
    }
}

/// The items of a watch, which must not be left in the middle of one.
fn items(mut watching: Watching) -> mpsc::Receiver<Result<WatchItem, Rejection>> {
    let (sender, items) = mpsc::channel(CONSUMED_AHEAD);
    tokio::spawn(async move {
        loop {
            let item = tokio::select! {
                item = watching.next() => item,
                () = sender.closed() => return,
            };
            let Some(item) = item else { return };
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    items
}
