//! A shard's replica on this node: the table, fed by the group's log, read by everyone. Carries
//! what the log says into the `Table` machine; decides nothing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use pollux_cluster::{Fault, Position};
use pollux_twin::index::Lookup;
use pollux_twin::table::{
    Event as Applied, Fault as TableFault, Fence, Header, Images, PictureFault, PictureId, States,
    Table,
};
use pollux_twin::twin::{Restorable, Twin, View};
use pollux_twin::{Entry, Life, Rejection, ShardId, Time, TwinKey};

use crate::checkpoint::StreamHead;
use crate::clock::Clock;
use crate::limits::STATES_KEPT_MS;
use crate::watch::{Committed, Cursor, Event, Hub};

/// What the table and its place in the log are; all that apply may touch.
struct State {
    table: Table,
    position: Option<Position>,
    membership: Bytes,
    /// Bytes of log applied since the newest checkpoint.
    log_bytes: u64,
    checkpointed: Option<Position>,
    /// How often another replica's state took the place of this one.
    replaced: u64,
    /// Until then changes are kept with the twin around them.
    states_until: Option<Duration>,
}

/// Shared by the group that applies, the shard that activates, readers and the checkpointer.
pub(crate) struct Replica {
    shard: ShardId,
    state: Mutex<State>,
    hub: Arc<Hub>,
    clock: Clock,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// Where a checkpoint's cut was made.
pub(crate) struct Cut {
    pub(crate) position: Position,
    pub(crate) membership: Bytes,
}

/// A picture of the table that was there when it was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PictureOf {
    id: PictureId,
    replaced: u64,
}

impl Replica {
    /// A replica from what its checkpoint holds.
    pub(crate) fn new(
        shard: ShardId,
        table: Table,
        position: Option<Position>,
        membership: Bytes,
        watch_bytes: usize,
    ) -> Arc<Self> {
        let index = position.map_or(0, |position| position.index);
        let state = State {
            table,
            position,
            membership,
            log_bytes: 0,
            checkpointed: position,
            replaced: 0,
            states_until: None,
        };
        let hub = Arc::new(Hub::new(index, watch_bytes));
        Arc::new(Self { shard, state: Mutex::new(state), hub, clock: Clock::new() })
    }

    pub(crate) const fn shard(&self) -> ShardId {
        self.shard
    }

    pub(crate) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    pub(crate) fn fence(&self) -> Fence {
        self.state().table.fence()
    }

    /// The shard's time at the newest entry applied.
    pub(crate) fn time(&self) -> Time {
        self.state().table.fence().time
    }

    /// When the newest opening was: what was last heard of before it may be gone.
    pub(crate) fn opened(&self) -> Time {
        self.state().table.opened()
    }

    /// A twin to be activated: unpacked, or absent.
    pub(crate) fn twin(&self, key: &TwinKey) -> Twin {
        let state = self.state();
        self.sound(state.table.twin(key)).unwrap_or_else(|| state.table.absent())
    }

    pub(crate) fn view(&self, key: &TwinKey) -> Option<View> {
        self.sound(self.state().table.view(key))
    }

    /// A living twin as it is applied, for one who asked for it.
    pub(crate) fn read(&self, key: &TwinKey) -> Result<View, Rejection> {
        let view = self.view(key).ok_or(Rejection::NotFound)?;
        if view.quarantined {
            return Err(Rejection::Quarantined);
        }
        if view.life == Life::Alive { Ok(view) } else { Err(Rejection::NotFound) }
    }

    pub(crate) fn keys_after(
        &self,
        after: Option<&TwinKey>,
        beginning: &str,
        most: usize,
    ) -> Vec<TwinKey> {
        self.sound(self.state().table.list(beginning, after, most))
    }

    /// Twins that can be brought back at this time, with what is known of them.
    pub(crate) fn restorable(
        &self,
        beginning: &str,
        after: Option<&TwinKey>,
        now: Time,
        most: usize,
    ) -> Vec<(TwinKey, Restorable)> {
        self.sound(self.state().table.restorable(beginning, after, now, most))
    }

    /// What a tenant has in this shard.
    pub(crate) fn tenant(&self, tenant: &str) -> pollux_twin::table::TenantCounts {
        self.state().table.tenant(tenant)
    }

    /// Whether a twin is there, and was not deleted.
    pub(crate) fn is_alive(&self, key: &TwinKey) -> bool {
        self.state().table.is_alive(key)
    }

    /// Twins that must be active in an open shard: connected, or with live commands.
    pub(crate) fn wakeful(&self) -> Vec<TwinKey> {
        self.state().table.wakeful().cloned().collect()
    }

    /// Twins that are to forget by now what they held before they were deleted.
    pub(crate) fn overdue(&self, now: Time, most: usize) -> Vec<TwinKey> {
        self.state().table.overdue(now).take(most).cloned().collect()
    }

    /// Log index applied, log index of the newest checkpoint, twins.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let state = self.state();
        let applied = state.position.map_or(0, |position| position.index);
        (
            applied,
            state.checkpointed.map_or(0, |position| position.index),
            state.table.counts().alive,
        )
    }

    /// About what the table takes up in memory.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.state().table.bytes() as u64
    }

    /// Bytes of log that a start would have to replay.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.state().log_bytes
    }

    /// Begins a cut of what has changed since the last one; `None` if nothing moved. Take its
    /// images with [`Self::take_cut`] until there are none, then [`Self::end_cut`].
    pub(crate) fn begin_cut(&self) -> Option<Cut> {
        let mut state = self.state();
        let position = state.position?;
        if Some(position) == state.checkpointed {
            return None;
        }
        state.log_bytes = 0;
        state.table.begin_cut();
        Some(Cut { position, membership: state.membership.clone() })
    }

    /// The next images of the cut, about `most` of them: applying goes on between the calls.
    pub(crate) fn take_cut(&self, most: usize) -> Vec<(TwinKey, Arc<[u8]>)> {
        self.state().table.take_cut(most)
    }

    /// Ends the cut: what it stands for.
    pub(crate) fn end_cut(&self) -> Header {
        self.state().table.end_cut()
    }

    /// The cut at this position is durable.
    pub(crate) fn set_checkpointed(&self, position: Position) {
        self.state().checkpointed = Some(position);
    }

    /// Begins a picture of all there is, and says what it stands for. Take its images with
    /// [`Self::take_picture`] until there are none, then [`Self::end_picture`].
    pub(crate) fn begin_picture(&self) -> Result<(PictureOf, StreamHead), Fault> {
        self.begin_picture_of(|_| None).map(|(picture, head, _)| (picture, head))
    }

    /// As [`Self::begin_picture`], of those twins alone that an index knows for what `few` asks, if it asks
    /// for anything.
    pub(crate) fn begin_picture_of(
        &self,
        few: impl FnOnce(&Table) -> Option<Lookup>,
    ) -> Result<(PictureOf, StreamHead, Option<Lookup>), Fault> {
        let mut state = self.state();
        let position = state.position.ok_or_else(|| no_picture("nothing was applied yet"))?;
        let head = StreamHead { shard: self.shard, position, fence: state.table.fence() };
        let few = few(&state.table);
        let id = match &few {
            None => state.table.begin_picture(),
            Some(lookup) => state.table.begin_picture_of(lookup),
        };
        let id = id.ok_or_else(|| no_picture("too many are under way"))?;
        Ok((PictureOf { id, replaced: state.replaced }, head, few))
    }

    /// The next images of a picture, about `bytes` of them: applying goes on between the calls.
    pub(crate) fn take_picture(
        &self,
        picture: PictureOf,
        bytes: usize,
    ) -> Result<Option<Images>, Fault> {
        let mut state = self.state();
        if state.replaced != picture.replaced {
            return Err(no_picture(PictureFault::Ended));
        }
        state.table.take_picture(picture.id, bytes).map_err(no_picture)
    }

    /// Ends a picture: what its images come to, if all were taken.
    pub(crate) fn end_picture(&self, picture: PictureOf) -> Option<Header> {
        let mut state = self.state();
        if state.replaced == picture.replaced { state.table.end_picture(picture.id) } else { None }
    }

    /// Another replica's state, which is durable here, takes the place of what there is. Whoever
    /// watches begins again, as nobody knows what changed in between.
    pub(crate) fn replace(&self, table: Table, position: Position, membership: Bytes) {
        let mut state = self.state();
        let position = Some(position);
        let new = State {
            table,
            position,
            membership,
            log_bytes: 0,
            checkpointed: position,
            replaced: state.replaced + 1,
            states_until: state.states_until,
        };
        let old = std::mem::replace(&mut *state, new);
        self.hub.begin_after(position.map_or(0, |position| position.index));
        drop(state);
        // A million images take their time to be freed.
        drop(old);
    }

    /// From now on, and for a while, changes are kept with the twin around them, for those who watch with a
    /// filter: all after the place that is returned, which watchers may have to wait for.
    pub(crate) fn keep_states(&self) -> Cursor {
        let mut state = self.state();
        state.states_until = Some(self.clock.elapsed() + Duration::from_millis(STATES_KEPT_MS));
        let index = state.position.map_or(0, |position| position.index);
        Cursor { index, ordinal: u32::MAX }
    }

    /// Images of twins, as [`Table::scan`] has them.
    pub(crate) fn scan(
        &self,
        beginning: &str,
        after: Option<&TwinKey>,
        most: usize,
    ) -> Vec<(TwinKey, Arc<[u8]>)> {
        self.state().table.scan(beginning, after, most)
    }

    /// Keys of those twins that an index knows for what `few` asks, if it asks for anything.
    pub(crate) fn keys_of(
        &self,
        few: impl FnOnce(&Table) -> Option<Lookup>,
    ) -> Option<Vec<TwinKey>> {
        let state = self.state();
        let lookup = few(&state.table)?;
        state.table.keys_of(&lookup)
    }

    /// Images of these twins.
    pub(crate) fn images(&self, keys: Vec<TwinKey>) -> Vec<(TwinKey, Arc<[u8]>)> {
        let state = self.state();
        let image = |key: TwinKey| state.table.image(&key).map(|image| (key, image));
        keys.into_iter().filter_map(image).collect()
    }

    /// The last entry applied, and the membership there.
    pub(crate) fn place(&self) -> (Option<Position>, Bytes) {
        let state = self.state();
        (state.position, state.membership.clone())
    }

    /// Applies an entry and tells whoever watches: the answer for its proposer.
    pub(crate) fn apply(&self, position: Position, entry: &[u8]) -> Bytes {
        let decoded = Entry::decode(entry)
            .unwrap_or_else(|fault| panic!("shard {}: {fault} at {position}", self.shard));
        let mut state = self.state();
        let keeps = state.states_until.is_some_and(|until| self.clock.elapsed() < until);
        state.table.keep_states(keeps);
        let applied = self.sound(state.table.apply(table_index(position), decoded));
        state.position = Some(position);
        state.log_bytes += entry.len() as u64;
        drop(state);
        let weight = entry.len() / applied.events.len().max(1);
        let events = applied.events.into_iter().zip(1..);
        let events = events.filter_map(|(event, ordinal)| {
            let at = Cursor { index: position.index, ordinal };
            watched(event, at, weight)
        });
        self.hub.push(position.index, events);
        Bytes::copy_from_slice(&applied.outcome.to_bytes())
    }

    /// The log is at this position with an entry that is not for the table.
    pub(crate) fn advance(&self, position: Position, membership: Option<Bytes>) {
        let mut state = self.state();
        state.table.advance(table_index(position));
        state.position = Some(position);
        if let Some(membership) = membership {
            state.membership = membership;
        }
        drop(state);
        self.hub.push(position.index, []);
    }

    /// The table and its place, to be looked at whole.
    #[cfg(test)]
    pub(super) fn with_table<T>(&self, look: impl FnOnce(Option<Position>, &Table) -> T) -> T {
        let state = self.state();
        look(state.position, &state.table)
    }

    /// A table that cannot be read must not be served from: the shard stops rather than lie.
    fn sound<T>(&self, read: Result<T, TableFault>) -> T {
        read.unwrap_or_else(|fault| panic!("shard {}: {fault}", self.shard))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a table that broke an invariant must not be used")
    }
}

fn no_picture(why: impl fmt::Display) -> Fault {
    Fault::StateMachine(format!("make a picture of the table: {why}"))
}

/// A group's log begins at 0, and a table that holds nothing yet stands there: it counts from 1.
pub(crate) const fn table_index(position: Position) -> u64 {
    position.index + 1
}

/// A change as watchers see it; nothing of a twin that broke an invariant.
fn watched(event: Applied, at: Cursor, weight: usize) -> Option<Event> {
    let versions = event.result.ok()?;
    let around = event.states.as_ref().map_or(0, |States { before, after }| {
        before.as_ref().map_or(0, |image| image.len()) + after.len()
    });
    Some(Event {
        at,
        weight: weight + around + event.key.as_str().len() + size_of::<Event>(),
        states: event.states,
        fit: None,
        what: Arc::new(Committed::new(event.key, event.change, versions)),
    })
}
