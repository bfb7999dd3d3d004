//! Beginning with devices: those that were not begun with, in order, and those that are to be tried again.

use super::super::limits::{
    CALLS_CHUNK, CALLS_MAX, LOOK_FIRST_MS, PART_DEVICES_MAX, PARTS_AT_ONCE, YOUNG_MAX,
};
use super::{Flight, Machine, Mode, Part, Place, State, Target};

impl Machine {
    /// Whether more parts are soon needed, with so many on their way.
    pub(super) fn wants_more(&self, on_their_way: usize) -> bool {
        let ahead = self.fresh.len() + on_their_way * PART_DEVICES_MAX;
        let wanted = usize::try_from(self.stage_room()).unwrap_or(usize::MAX);
        self.mode == Mode::Running && ahead < wanted.min(2 * CALLS_MAX)
    }

    /// Takes a part in, in turn.
    pub(super) fn loaded(&mut self, now_ms: u64, part: u32, targets: Vec<Target>) {
        if part < self.taken || part >= self.next_part {
            return;
        }
        self.came.insert(part, targets);
        while let Some(targets) = self.came.remove(&self.taken) {
            self.take_in(now_ms, self.taken, targets);
            self.taken += 1;
        }
        if self.taken == self.parts {
            self.recovering = false;
        }
    }

    fn take_in(&mut self, now_ms: u64, part: u32, targets: Vec<Target>) {
        // Devices are begun with in order, and fewer parts than these have marks on their way at once.
        let touched = targets.iter().any(|target| *target != Target::default());
        self.untouched = if touched { 0 } else { self.untouched + 1 };
        self.recovering &= self.untouched < PARTS_AT_ONCE;
        let mut left = 0;
        for (n, target) in targets.iter().enumerate() {
            let place = (part, u16::try_from(n).unwrap_or(u16::MAX));
            left += usize::from(!target.state.is_over());
            self.totals.begun += u64::from(target.attempt > 0);
            if let Some(count) = self.totals.of(target.state) {
                *count += 1;
            }
            match target.state {
                State::Waiting if target.attempt == 0 => self.fresh.push_back(place),
                State::Waiting => {
                    self.again.insert((target.at_ms, place));
                }
                State::Sending | State::Sent => {
                    self.sending += usize::from(target.state == State::Sending);
                    self.flights.insert(place, Flight { unclear: true, ..Flight::default() });
                    self.set_due(place, now_ms);
                }
                State::Done | State::Failed | State::Unknown | State::Cancelled => {}
            }
        }
        let count = u16::try_from(targets.len()).unwrap_or(u16::MAX);
        self.open.insert(part, Part { targets, left, ..Part::default() });
        if self.is_ending() {
            (0..count).for_each(|n| self.give_up(now_ms, (part, n)));
        }
        if left == 0 {
            self.close(part);
        }
    }

    /// How many more may be under way, as far as those go that are.
    fn room(&self) -> usize {
        let busy = self.sending + self.young;
        CALLS_MAX.saturating_sub(self.sending).min(YOUNG_MAX.saturating_sub(busy))
    }

    /// Whether there is so little room that it is worth waiting for more: one that comes back, or is young no more, makes
    /// some.
    fn is_cramped(&self, wanted: u64) -> bool {
        let room = self.room();
        room < CALLS_CHUNK && (room as u64) < wanted && self.sending + self.young > 0
    }

    /// When more could be begun with, if only time is missing.
    pub(super) fn begin_at(&self) -> Option<u64> {
        if self.mode != Mode::Running || self.recovering {
            return None;
        }
        let fresh = self.stage_room().min(self.fresh.len() as u64);
        let again = self.again.first().map(|(at, _)| *at);
        let first = if fresh > 0 { 0 } else { again? };
        let wanted = fresh + self.again.len() as u64;
        if self.is_cramped(wanted) {
            return None;
        }
        Some(first.max(self.tokens.at(wanted).unwrap_or(0)))
    }

    /// Marks as many devices as may go.
    pub(super) fn begin(&mut self, now_ms: u64) {
        if self.mode != Mode::Running || self.recovering {
            return;
        }
        let room = self.room();
        let fresh = self.stage_room().min(self.fresh.len() as u64);
        let again = self.again.iter().take_while(|(at, _)| *at <= now_ms).take(room).count();
        let wanted = usize::try_from(fresh).unwrap_or(usize::MAX).saturating_add(again);
        // A few at a time would be a write of their part for each.
        if wanted == 0 || self.is_cramped(wanted as u64) {
            return;
        }
        let have = usize::try_from(self.tokens.have(now_ms)).unwrap_or(usize::MAX);
        let count = room.min(wanted).min(have);
        for _ in 0..count {
            let place = match self.again.first().copied() {
                Some((at, place)) if at <= now_ms => {
                    self.again.remove(&(at, place));
                    Some(place)
                }
                _ => self.fresh.pop_front(),
            };
            if let Some(place) = place {
                self.mark(now_ms, place);
            }
        }
        self.tokens.take(count as u64);
    }

    /// Begins with a device: its mark is written, and then its call is made.
    fn mark(&mut self, now_ms: u64, place: Place) {
        let Some(target) = self.target_mut(place) else { return };
        target.attempt += 1;
        target.reason.clear();
        let first = target.attempt == 1;
        self.totals.begun += u64::from(first);
        self.flights.insert(place, Flight { begun_ms: Some(now_ms), ..Flight::default() });
        self.sending += 1;
        self.mark_again(now_ms, place);
    }

    /// Has the mark of a device's attempt written, with the time.
    pub(super) fn mark_again(&mut self, now_ms: u64, place: Place) {
        self.set_state(now_ms, place, State::Sending);
        if let Some(part) = self.open.get_mut(&place.0) {
            part.marked.push(place.1);
            self.urgent.insert(place.0);
        }
    }

    /// A device whose mark was written is not called after all.
    pub(super) fn unmark(&mut self, now_ms: u64, place: Place) {
        self.land(place);
        let Some(target) = self.target_mut(place) else { return };
        target.attempt = target.attempt.saturating_sub(1);
        let first = target.attempt == 0;
        self.set_state(now_ms, place, State::Waiting);
        if first {
            self.totals.begun = self.totals.begun.saturating_sub(1);
            if let Some(target) = self.target_mut(place) {
                *target = Target::default();
            }
            self.fresh.push_front(place);
        } else {
            self.again.insert((now_ms, place));
        }
    }

    /// A device is under way no more.
    pub(super) fn land(&mut self, place: Place) {
        self.clear_due(place);
        self.grow_up(place);
        self.flights.remove(&place);
        let sending = self.target(place).is_some_and(|target| target.state == State::Sending);
        self.sending -= usize::from(sending);
    }

    /// A device's call was taken: its word is waited for.
    pub(super) fn launch(&mut self, now_ms: u64, place: Place, number: u64) {
        self.sending = self.sending.saturating_sub(1);
        self.set_state(now_ms, place, State::Sent);
        if let Some(target) = self.target_mut(place) {
            target.number = number;
        }
        if let Some(flight) = self.flights.get_mut(&place) {
            self.young += usize::from(!std::mem::replace(&mut flight.young, true));
        }
        self.set_due(place, now_ms + LOOK_FIRST_MS);
    }

    /// A device was heard of, or had the time to be.
    pub(super) fn grow_up(&mut self, place: Place) {
        if let Some(flight) = self.flights.get_mut(&place) {
            self.young -= usize::from(std::mem::take(&mut flight.young));
        }
    }

    pub(super) fn target_mut(&mut self, (part, n): Place) -> Option<&mut Target> {
        self.open.get_mut(&part)?.targets.get_mut(usize::from(n))
    }

    /// Moves a device on, and has that written some time.
    pub(super) fn set_state(&mut self, now_ms: u64, place: Place, state: State) {
        let Some(part) = self.open.get_mut(&place.0) else { return };
        let Some(target) = part.targets.get_mut(usize::from(place.1)) else { return };
        let before = std::mem::replace(&mut target.state, state);
        target.at_ms = now_ms;
        part.left -= usize::from(state.is_over() && !before.is_over());
        if part.dirty_ms.is_none() {
            part.dirty_ms = Some(now_ms);
        }
        if let Some(count) = self.totals.of(before) {
            *count -= 1;
        }
        if let Some(count) = self.totals.of(state) {
            *count += 1;
        }
        self.plan_write(place.0);
    }

    pub(super) fn set_due(&mut self, place: Place, at_ms: u64) {
        self.clear_due(place);
        if let Some(flight) = self.flights.get_mut(&place) {
            flight.due_ms = Some(at_ms);
            self.due.insert((at_ms, place));
        }
    }

    pub(super) fn clear_due(&mut self, place: Place) {
        let due = self.flights.get_mut(&place).and_then(|flight| flight.due_ms.take());
        if let Some(at) = due {
            self.due.remove(&(at, place));
        }
    }
}
