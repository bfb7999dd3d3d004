//! Following devices that were begun with: their calls' answers, what is seen of them, and how they end.

use super::super::limits::{
    COMMAND_GRACE_MS, LOOK_FIRST_MS, LOOK_LATE_MS, LOOK_MS_MAX, LOOK_TIMES, REASON_BYTES_MAX,
    RESEND_AFTER_MS, RESEND_MS, UNSEEN_MAX,
};
use super::{CommandEnd, End, Finish, Machine, Mode, Output, Place, Reply, Sight, State};

/// Whether a device that failed may be tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    May,
    MayNot,
}

impl Machine {
    /// Makes a device's call.
    pub(super) fn call(&mut self, place: Place, attempt: u32) {
        self.clear_due(place);
        if let Some(flight) = self.flights.get_mut(&place) {
            flight.calling = true;
            self.out.push_back(Output::Send { place, attempt });
        }
    }

    /// Whether certainly no call for a device had an effect.
    pub(super) fn is_clear(&self, place: Place) -> bool {
        self.flights.get(&place).is_some_and(|flight| !flight.unclear)
    }

    pub(super) fn answered(&mut self, now_ms: u64, place: Place, attempt: u32, reply: Reply) {
        let now_of = self.target(place).map(|target| (target.state, target.attempt));
        let Some(flight) = self.flights.get_mut(&place).filter(|flight| flight.calling) else {
            return;
        };
        if now_of != Some((State::Sending, attempt)) {
            return;
        }
        flight.calling = false;
        match reply {
            Reply::Taken { number } => self.taken_by_twin(now_ms, place, number),
            // It may be a call before this one that the twin took.
            Reply::Refused { reason, .. } if flight.unclear => {
                self.end(now_ms, place, State::Unknown, &reason);
            }
            Reply::Refused { reason, again } => {
                let again = if again { Again::May } else { Again::MayNot };
                self.fail(now_ms, place, &reason, again);
            }
            Reply::Later => self.set_due(place, now_ms + RESEND_AFTER_MS),
            Reply::Unclear => {
                flight.unclear = true;
                self.set_due(place, now_ms + RESEND_AFTER_MS);
            }
        }
    }

    fn taken_by_twin(&mut self, now_ms: u64, place: Place, number: u64) {
        self.launch(now_ms, place, number);
        // Nobody acknowledges what was never written: it changed nothing.
        let nothing = self.rules.finish == Finish::Acknowledged && number == 0;
        if self.rules.finish == Finish::Taken || nothing {
            return self.end(now_ms, place, State::Done, "");
        }
        let early = self.flights.get_mut(&place).and_then(|flight| flight.early.take());
        if let Some(sight) = early {
            self.seen_sent(now_ms, place, sight);
        }
        self.give_up(now_ms, place);
    }

    pub(super) fn seen(&mut self, now_ms: u64, place: Place, sight: Sight) {
        let Some(state) = self.target(place).map(|target| target.state) else { return };
        if let Some(flight) = self.flights.get_mut(&place) {
            flight.looking = false;
            flight.unseen = if sight == Sight::Unseen { flight.unseen + 1 } else { 0 };
            let blind = flight.unseen >= UNSEEN_MAX && !flight.calling;
            if self.is_ending() && blind && !state.is_over() {
                let reason = "its twin could not be looked at while the job ended";
                return self.end(now_ms, place, State::Unknown, reason);
            }
            if self.is_ending() && sight == Sight::Unseen {
                self.set_due(place, now_ms + LOOK_LATE_MS);
            }
        }
        match state {
            State::Sending => self.seen_sending(now_ms, place, sight),
            State::Sent => self.seen_sent(now_ms, place, sight),
            _ => {}
        }
    }

    /// Devices whose word is waited for are looked at again.
    pub(super) fn missed(&mut self, now_ms: u64) {
        let places: Vec<_> = self.flights.keys().copied().collect();
        for place in places {
            if self.target(place).is_none_or(|target| target.state != State::Sent) {
                continue;
            }
            if let Some(flight) = self.flights.get_mut(&place) {
                flight.looks = 0;
            }
            self.set_due(place, now_ms + LOOK_FIRST_MS);
        }
    }

    /// Something is seen of a device of which is not known whether its twin took the call.
    fn seen_sending(&mut self, now_ms: u64, place: Place, sight: Sight) {
        let Some(target) = self.target(place) else { return };
        let (known, since_ms) = (target.number, target.at_ms);
        let Some(flight) = self.flights.get_mut(&place) else { return };
        if flight.calling {
            // What this answers is known when the call comes back.
            match (&sight, &flight.early) {
                (Sight::Command { end: None, .. } | Sight::Nothing | Sight::Gone, _)
                | (Sight::Written { .. } | Sight::Forgotten | Sight::Unseen, _) => {}
                (Sight::Acked { version, .. }, Some(Sight::Acked { version: known, .. }))
                    if version < known => {}
                _ => flight.early = Some(sight),
            }
            return;
        }
        match sight {
            Sight::Written { version } => self.taken_by_twin(now_ms, place, version),
            // Ids go up, so this one is of this attempt.
            Sight::Command { id, end } if id > known => {
                self.taken_by_twin(now_ms, place, id);
                self.seen_sent(now_ms, place, Sight::Command { id, end });
            }
            Sight::Gone if !flight.unclear => {
                self.fail(now_ms, place, "the twin was deleted", Again::MayNot);
            }
            Sight::Gone => {
                self.end(now_ms, place, State::Unknown, "the twin was deleted meanwhile");
            }
            Sight::Nothing if is_late(now_ms, since_ms) || self.is_ending() => {
                self.end(now_ms, place, State::Unknown, "whether it was reached is not known");
            }
            Sight::Nothing => self.set_due(place, now_ms + RESEND_AFTER_MS),
            // Others have commands, too, whose ids go up: which one is this job's only a look tells.
            Sight::Moved { .. } => {}
            Sight::Acked { .. } | Sight::Command { .. } | Sight::Forgotten | Sight::Unseen => {}
        }
    }

    /// Something is seen of a device whose twin took the call.
    fn seen_sent(&mut self, now_ms: u64, place: Place, sight: Sight) {
        let Some(target) = self.target(place) else { return };
        let (number, deadline_ms) = (target.number, target.at_ms + self.rules.timeout_ms);
        match sight {
            Sight::Acked { version, refused } if version >= number => match refused {
                None => self.end(now_ms, place, State::Done, ""),
                Some(reason) => self.fail(now_ms, place, &reason, Again::MayNot),
            },
            Sight::Command { id, end: Some(end) } | Sight::Moved { id, end } if id == number => {
                self.command_ended(now_ms, place, end);
            }
            Sight::Forgotten => {
                self.end(now_ms, place, State::Unknown, "how its command ended is kept no more");
            }
            Sight::Gone if self.rules.finish == Finish::Answered => {
                self.end(now_ms, place, State::Unknown, "the twin was deleted meanwhile");
            }
            Sight::Gone => self.fail(now_ms, place, "the twin was deleted", Again::MayNot),
            Sight::Nothing => {
                let late = self.rules.finish == Finish::Acknowledged && now_ms >= deadline_ms;
                if late || now_ms >= deadline_ms + COMMAND_GRACE_MS {
                    self.end(now_ms, place, State::Unknown, "not acknowledged in time");
                }
            }
            Sight::Command { .. } | Sight::Moved { .. } => {}
            Sight::Written { .. } | Sight::Acked { .. } | Sight::Unseen => {}
        }
    }

    fn command_ended(&mut self, now_ms: u64, place: Place, end: CommandEnd) {
        match end {
            CommandEnd::Done => self.end(now_ms, place, State::Done, ""),
            CommandEnd::Failed(reason) => self.fail(now_ms, place, &reason, Again::May),
            CommandEnd::Expired => self.fail(now_ms, place, "not delivered in time", Again::May),
            CommandEnd::Unknown => {
                self.end(now_ms, place, State::Unknown, "delivered, and not answered in time");
            }
            CommandEnd::Cancelled => {
                let reason = if self.is_ending() { "" } else { "withdrawn by somebody else" };
                self.end(now_ms, place, State::Cancelled, reason);
            }
        }
    }

    /// A device failed: it is tried again, if it may be.
    fn fail(&mut self, now_ms: u64, place: Place, reason: &str, again: Again) {
        let retries = self.rules.retries;
        let left = self.target(place).is_some_and(|target| target.attempt <= retries);
        if again == Again::MayNot || !left || self.is_ending() {
            return self.end(now_ms, place, State::Failed, reason);
        }
        self.land(place);
        let due_ms = now_ms + self.rules.retry_after_ms;
        self.set_state(now_ms, place, State::Waiting);
        if let Some(target) = self.target_mut(place) {
            (target.at_ms, target.reason) = (due_ms, shortened(reason));
        }
        self.again.insert((due_ms, place));
    }

    /// Nothing more happens to a device.
    fn end(&mut self, now_ms: u64, place: Place, state: State, reason: &str) {
        self.land(place);
        if let Some(target) = self.target_mut(place) {
            target.reason = shortened(reason);
        }
        self.set_state(now_ms, place, state);
    }

    /// Whether too many failed, whoever saw it: an owner before may not have come to say so.
    pub(super) fn judge(&mut self, now_ms: u64) {
        let running = matches!(self.mode, Mode::Running | Mode::Paused);
        if running && !self.recovering && self.rules.is_to_abort(&self.totals, self.devices) {
            self.mode = Mode::Ending(End::Aborted);
            self.give_up_all(now_ms);
        }
    }

    /// Where a job ends before its devices are over, they are given up.
    pub(super) fn give_up_all(&mut self, now_ms: u64) {
        if self.is_ending() {
            let places: Vec<_> = self.flights.keys().copied().collect();
            places.into_iter().for_each(|place| self.give_up(now_ms, place));
        }
    }

    /// Where a job ends, commands that are not delivered are withdrawn; where it was cancelled, nobody's
    /// acknowledgement is waited for.
    pub(super) fn give_up(&mut self, now_ms: u64, place: Place) {
        if self.target(place).is_none_or(|target| target.state != State::Sent) {
            return;
        }
        match (self.mode, self.rules.finish) {
            (Mode::Ending(_), Finish::Answered) => {
                if let Some(flight) = self.flights.get_mut(&place) {
                    flight.looks = 0;
                }
                self.set_due(place, now_ms);
            }
            (Mode::Ending(End::Cancelled), Finish::Acknowledged) => {
                let reason = "cancelled before the device acknowledged it";
                self.end(now_ms, place, State::Unknown, reason);
            }
            _ => {}
        }
    }

    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.mode, Mode::Ending(_))
    }

    /// It is time for something about a device.
    pub(super) fn due_now(&mut self, now_ms: u64, place: Place) {
        let Some(target) = self.target(place) else { return };
        let (state, attempt, at_ms) = (target.state, target.attempt, target.at_ms);
        let (ending, clear) = (self.is_ending(), self.is_clear(place));
        self.grow_up(place);
        let Some(flight) = self.flights.get_mut(&place) else { return };
        flight.due_ms = None;
        let end_ms = flight.begun_ms.map_or(u64::MAX, |begun| begun + self.rules.timeout_ms);
        match state {
            State::Sending if flight.calling => {}
            State::Sending if clear && ending => self.unmark(now_ms, place),
            State::Sending if clear && now_ms >= end_ms => {
                self.fail(now_ms, place, "its twin was not reached in time", Again::May);
            }
            State::Sending if is_late(now_ms, at_ms) && clear => self.mark_again(now_ms, place),
            State::Sending if is_late(now_ms, at_ms) || ending => {
                self.look(place, state);
                self.set_due(place, now_ms + LOOK_LATE_MS);
            }
            // The twin knows the attempt's key.
            State::Sending => self.call(place, attempt),
            State::Sent => {
                let looks = flight.looks;
                flight.looks = looks.saturating_add(1);
                self.look(place, state);
                let deadline_ms = at_ms + self.rules.timeout_ms;
                let later = LOOK_FIRST_MS.saturating_mul(LOOK_TIMES.saturating_pow(looks + 1));
                let next = match now_ms < deadline_ms {
                    true => (now_ms + later.min(LOOK_MS_MAX)).min(deadline_ms),
                    false => now_ms + LOOK_LATE_MS,
                };
                self.set_due(place, next);
            }
            _ => {}
        }
    }

    /// Has a device looked at, once at a time; where the job ends, its command is withdrawn if that still goes.
    fn look(&mut self, place: Place, state: State) {
        let withdrawn = state == State::Sent && self.rules.finish == Finish::Answered;
        let look = match self.is_ending() && withdrawn {
            true => Output::Withdraw { place },
            false => Output::Look { place },
        };
        let Some(flight) = self.flights.get_mut(&place) else { return };
        if !std::mem::replace(&mut flight.looking, true) {
            self.out.push_back(look);
        }
    }
}

/// Whether a call for a device that was marked then must not be made any more. What is ahead of now was marked by
/// somebody whose clock is.
const fn is_late(now_ms: u64, marked_ms: u64) -> bool {
    now_ms.abs_diff(marked_ms) > RESEND_MS
}

/// What of a reason is kept: by its length as JSON, in which a part is written.
fn shortened(reason: &str) -> String {
    let mut bytes = 0;
    let fits = |char: &char| {
        bytes += match char {
            '"' | '\\' => 2,
            char if char.is_control() => 6,
            char => char.len_utf8(),
        };
        bytes <= REASON_BYTES_MAX
    };
    reason.chars().take_while(fits).collect()
}
