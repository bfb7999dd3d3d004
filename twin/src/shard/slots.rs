//! Places of active twins, and when one has been quiet for long enough to be let go (rule 8).

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::id::TwinKey;
use crate::limits::QUIET_TURN_MAX;

/// An active twin's place in this shard: dense, so that drivers index by it, and reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    index: u32,
    /// Tells the twins apart that had this place one after the other.
    life: u32,
}

impl Slot {
    /// The place: small numbers, given out again after [`super::Output::Passivate`].
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
pub(super) struct Place {
    key: Option<TwinKey>,
    life: u32,
    /// Number of the newest batch with a change of this twin.
    pub(super) last_batch: u64,
    /// Newest barrier round that an output of this twin waits for.
    pub(super) last_round: u64,
    touched_ms: u64,
    awake: bool,
    /// Whether `quiet` has it: at most once.
    queued: bool,
}

impl Place {
    pub(super) const fn key(&self) -> &TwinKey {
        self.key.as_ref().expect("a live slot has a key")
    }
}

#[derive(Debug)]
pub(super) struct Slots {
    idle_ms: u64,
    places: Vec<Place>,
    free: Vec<u32>,
    lives: u32,
    /// When to look at a place again. Not moved when the twin is touched, but when its time comes.
    quiet: BTreeSet<(u64, u32)>,
    /// Quiet ones, to be let go at the next poll if they still are.
    going: VecDeque<(u32, u64)>,
}

impl Slots {
    pub(super) const fn new(idle_ms: u64) -> Self {
        Self {
            idle_ms,
            places: Vec::new(),
            free: Vec::new(),
            lives: 0,
            quiet: BTreeSet::new(),
            going: VecDeque::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.free.clear();
        self.quiet.clear();
        self.going.clear();
    }

    pub(super) fn add(&mut self, key: TwinKey, now_ms: u64) -> Slot {
        self.lives = self.lives.wrapping_add(1);
        let place = Place {
            key: Some(key),
            life: self.lives,
            last_batch: 0,
            last_round: 0,
            touched_ms: now_ms,
            awake: false,
            queued: false,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = place;
                index
            }
            None => {
                self.places.push(place);
                u32::try_from(self.places.len() - 1).expect("fewer twins than 2^32 fit a machine")
            }
        };
        self.queue(index);
        Slot { index, life: self.lives }
    }

    pub(super) fn is_live(&self, slot: Slot) -> bool {
        self.places
            .get(slot.index())
            .is_some_and(|place| place.life == slot.life && place.key.is_some())
    }

    /// The place of a live slot.
    pub(super) fn touch(&mut self, slot: Slot, now_ms: u64) -> &mut Place {
        assert!(self.is_live(slot), "a slot is used only while its twin is active");
        let place = &mut self.places[slot.index()];
        place.touched_ms = now_ms;
        place
    }

    pub(super) fn keep_awake(&mut self, slot: Slot, now_ms: u64) {
        self.touch(slot, now_ms).awake = true;
    }

    pub(super) fn may_sleep(&mut self, slot: Slot, now_ms: u64) {
        self.touch(slot, now_ms).awake = false;
        self.queue(slot.index);
    }

    fn queue(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        if !place.queued && !place.awake {
            place.queued = true;
            self.quiet.insert((place.touched_ms.saturating_add(self.idle_ms), index));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.quiet.first().map(|(due_ms, _)| *due_ms)
    }

    pub(super) fn handle_deadline(&mut self, now_ms: u64) {
        for _ in 0..QUIET_TURN_MAX {
            let Some(&(due_ms, index)) = self.quiet.first() else { return };
            if due_ms > now_ms {
                return;
            }
            self.quiet.pop_first();
            let place = &mut self.places[index as usize];
            place.queued = false;
            if place.touched_ms.saturating_add(self.idle_ms) > now_ms {
                self.queue(index);
            } else if !place.awake {
                place.queued = true;
                self.going.push_back((index, place.touched_ms));
            }
        }
    }

    /// Gives up the next slot that is still quiet and has nothing on its way. `applied` and
    /// `is_ahead` say what is not on its way any more.
    pub(super) fn take_quiet(
        &mut self,
        applied: u64,
        is_ahead: impl Fn(u64) -> bool,
    ) -> Option<Slot> {
        while let Some((index, touched_ms)) = self.going.pop_front() {
            let place = &mut self.places[index as usize];
            place.queued = false;
            let settled = place.last_batch <= applied && !is_ahead(place.last_round);
            if place.touched_ms == touched_ms && !place.awake && settled {
                place.key = None;
                self.free.push(index);
                return Some(Slot { index, life: place.life });
            }
            if !settled {
                // Stuck outputs: look again after another quiet while.
                place.touched_ms = place.touched_ms.saturating_add(self.idle_ms);
            }
            self.queue(index);
        }
        None
    }
}
