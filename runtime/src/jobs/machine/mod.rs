//! A job under way, as a machine: which devices are begun with, what is made of what is heard of them, and when it
//! is over. Pure: no clock, no call; what it holds of a device is in its part, and whatever it forgets in a crash is
//! found in the twins again.
//!
//! `pace` says how many may go, `begin` marks them, `follow` hears of them, `write` has the parts written. A device
//! is called only after its mark is written, so whoever goes on knows for which of them a call may have been made.

mod begin;
mod follow;
mod pace;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::pace::Tokens;
use super::limits::PARTS_AT_ONCE;

pub(crate) use self::pace::{Finish, Rules};

/// A device of a job: its part, and its place there.
pub(crate) type Place = (u32, u16);

/// Where a device of a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Not begun with, or to be tried again.
    #[default]
    Waiting,
    /// Marked: a call for it may have been made.
    Sending,
    /// Its twin has taken the call; the device's word is waited for.
    Sent,
    Done,
    Failed,
    /// It may have done it or not.
    Unknown,
    /// Withdrawn before it was delivered.
    Cancelled,
}

impl State {
    /// Whether nothing more happens to it.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Unknown | Self::Cancelled)
    }
}

/// What is remembered of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) state: State,
    /// How often it was begun with.
    pub(crate) attempt: u32,
    /// When it came to its state; of one that is to be tried again, when that is due.
    pub(crate) at_ms: u64,
    /// The version that was written, or the command's id; 0 while there is none.
    pub(crate) number: u64,
    pub(crate) reason: String,
}

/// How many devices stand where, of those that were begun with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Begun with, ever.
    pub(crate) begun: u64,
    pub(crate) under_way: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) cancelled: u64,
}

impl Totals {
    /// Those to which nothing more happens.
    pub(crate) const fn over(&self) -> u64 {
        self.done + self.failed + self.unknown + self.cancelled
    }

    fn of(&mut self, state: State) -> Option<&mut u64> {
        match state {
            State::Waiting => None,
            State::Sending | State::Sent => Some(&mut self.under_way),
            State::Done => Some(&mut self.done),
            State::Failed => Some(&mut self.failed),
            State::Unknown => Some(&mut self.unknown),
            State::Cancelled => Some(&mut self.cancelled),
        }
    }
}

/// What is wished of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Running,
    Paused,
    Ending(End),
}

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Aborted,
    Cancelled,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The twin took it: the version that it wrote, or the command's id.
    Taken { number: u64 },
    /// The twin refused it, or did not have to be asked; `again` where another attempt may fare better.
    Refused { reason: String, again: bool },
    /// It had no effect, as nobody could carry it out.
    Later,
    /// It had an effect or not.
    Unclear,
}

/// What is seen of a device in its twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The document is as this job wants it, since this version or before.
    Written { version: u64 },
    /// The device spoke of a version of desired.
    Acked { version: u64, refused: Option<String> },
    /// A command of this job, and how it ended, if it did.
    Command { id: u64, end: Option<CommandEnd> },
    /// A command of whomever ended: it is this job's if its id is known to be.
    Moved { id: u64, end: CommandEnd },
    /// The command with the known id is kept no more.
    Forgotten,
    /// Nothing of this job, or nothing new.
    Nothing,
    /// There is no twin any more.
    Gone,
    /// It could not be looked at.
    Unseen,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    Done,
    Failed(String),
    Expired,
    Cancelled,
    Unknown,
}

/// What can happen to a job.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A part was read.
    Loaded { part: u32, targets: Vec<Target> },
    /// A part was written as it was when that was asked for.
    Written { part: u32 },
    /// A call came back.
    Answered { place: Place, attempt: u32, reply: Reply },
    /// A device was seen.
    Seen { place: Place, sight: Sight },
    /// What devices did may have been missed.
    Missed,
    /// Something else is wished of it.
    Wish(Mode),
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Read a part.
    Load { part: u32 },
    /// Write a part as it is now.
    Write { part: u32 },
    /// Make the call of a device's attempt.
    Send { place: Place, attempt: u32 },
    /// Look at a device's twin.
    Look { place: Place },
    /// Withdraw a device's command.
    Withdraw { place: Place },
    /// A part is needed no more.
    Close { part: u32 },
    /// All is written, and nothing more comes.
    Over { end: End },
}

/// A part that is not closed.
#[derive(Debug, Default)]
struct Part {
    targets: Vec<Target>,
    /// Devices that are not over.
    left: usize,
    /// Devices marked since the last write began.
    marked: Vec<u16>,
    /// Devices whose marks are being written.
    marking: Vec<u16>,
    writing: bool,
    /// Since when something is to be written.
    dirty_ms: Option<u64>,
}

/// A device that is under way, as far as only this machine knows.
#[derive(Debug, Default)]
struct Flight {
    /// When this attempt began, if it did under this owner.
    begun_ms: Option<u64>,
    /// When something is due for it.
    due_ms: Option<u64>,
    /// Its call is being made.
    calling: bool,
    /// Its call was taken just now, and nothing was heard of it.
    young: bool,
    /// A call ended without anybody knowing whether it had an effect.
    unclear: bool,
    /// It is being looked at.
    looking: bool,
    /// How often it was.
    looks: u32,
    /// How often in a row nothing could be seen.
    unseen: u32,
    /// What was heard of it before its call came back.
    early: Option<Sight>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    /// Devices of the job.
    devices: u64,
    /// Parts of the job.
    parts: u32,
    /// The first part that was not asked for.
    next_part: u32,
    /// The first part that has not been taken in.
    taken: u32,
    /// Parts that came before their turn.
    came: BTreeMap<u32, Vec<Target>>,
    /// What an earlier owner began is still being read.
    recovering: bool,
    /// Parts in a row, the last ones taken in, that nobody touched.
    untouched: usize,
    open: BTreeMap<u32, Part>,
    mode: Mode,
    totals: Totals,
    fresh: VecDeque<Place>,
    again: BTreeSet<(u64, Place)>,
    flights: BTreeMap<Place, Flight>,
    due: BTreeSet<(u64, Place)>,
    /// Devices that are marked, or whose calls are being made.
    sending: usize,
    /// Devices whose calls were taken just now, and of which nothing was heard.
    young: usize,
    /// Parts with marks, or with nothing more to come, to be written at once.
    urgent: BTreeSet<u32>,
    /// When other parts are to be written.
    flush: BTreeSet<(u64, u32)>,
    tokens: Tokens,
    out: VecDeque<Output>,
    over: bool,
}

impl Machine {
    /// A job of so many devices in so many parts, from whatever was written of it.
    pub(crate) fn new(now_ms: u64, rules: Rules, devices: u64, parts: u32, mode: Mode) -> Self {
        let tokens = Tokens::new(now_ms, rules.rate_per_s);
        let mut machine = Self {
            rules,
            devices,
            parts,
            next_part: 0,
            taken: 0,
            came: BTreeMap::new(),
            recovering: true,
            untouched: 0,
            open: BTreeMap::new(),
            mode,
            totals: Totals::default(),
            fresh: VecDeque::new(),
            again: BTreeSet::new(),
            flights: BTreeMap::new(),
            due: BTreeSet::new(),
            sending: 0,
            young: 0,
            urgent: BTreeSet::new(),
            flush: BTreeSet::new(),
            tokens,
            out: VecDeque::new(),
            over: false,
        };
        machine.turn(now_ms);
        machine
    }

    /// Takes one thing in.
    pub(crate) fn handle(&mut self, now_ms: u64, input: Input) {
        match input {
            Input::Loaded { part, targets } => self.loaded(now_ms, part, targets),
            Input::Written { part } => self.written(now_ms, part),
            Input::Answered { place, attempt, reply } => {
                self.answered(now_ms, place, attempt, reply);
            }
            Input::Seen { place, sight } => self.seen(now_ms, place, sight),
            Input::Missed => self.missed(now_ms),
            Input::Wish(mode) => self.wish(now_ms, mode),
        }
        self.turn(now_ms);
    }

    /// What is to be done next.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When something is due by itself.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        let flush = self.flush.first().map(|(at, _)| *at);
        [due, flush, self.begin_at()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn handle_deadline(&mut self, now_ms: u64) {
        while let Some((at, place)) = self.due.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.due.remove(&(at, place));
            self.due_now(now_ms, place);
        }
        self.turn(now_ms);
    }

    /// The devices of a part as they stand.
    pub(crate) fn targets(&self, part: u32) -> &[Target] {
        self.open.get(&part).map_or(&[], |part| &part.targets)
    }

    /// A device as it stands.
    pub(crate) fn target(&self, (part, n): Place) -> Option<&Target> {
        self.targets(part).get(usize::from(n))
    }

    /// How many stand where, once what an earlier owner began is known.
    pub(crate) fn totals(&self) -> Option<Totals> {
        (!self.recovering).then_some(self.totals)
    }

    /// When its devices are done.
    pub(crate) const fn finish(&self) -> Finish {
        self.rules.finish
    }

    /// What it is at.
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// What follows from whatever happened.
    fn turn(&mut self, now_ms: u64) {
        if self.over {
            return;
        }
        self.load();
        self.judge(now_ms);
        self.begin(now_ms);
        self.write(now_ms);
        let end = match self.mode {
            Mode::Ending(end) => self.flights.is_empty().then_some(end),
            _ => (self.taken == self.parts && self.open.is_empty()).then_some(End::Finished),
        };
        let Some(end) = end.filter(|_| !self.recovering) else { return };
        if self.open.values().all(|part| !part.writing && part.dirty_ms.is_none()) {
            self.over = true;
            self.out.push_back(Output::Over { end });
        }
    }

    /// Asks for parts: what an earlier owner touched, and as many more as are soon begun with.
    fn load(&mut self) {
        let under_way = |machine: &Self| (machine.next_part - machine.taken) as usize;
        while self.next_part < self.parts
            && under_way(self) < PARTS_AT_ONCE
            && (self.recovering || self.wants_more(under_way(self)))
        {
            self.out.push_back(Output::Load { part: self.next_part });
            self.next_part += 1;
        }
    }

    fn wish(&mut self, now_ms: u64, mode: Mode) {
        // What has begun to end is not taken back, only hastened.
        let cancel = mode == Mode::Ending(End::Cancelled);
        if mode == self.mode || (matches!(self.mode, Mode::Ending(_)) && !cancel) {
            return;
        }
        self.mode = mode;
        self.tokens.restart(now_ms);
        self.give_up_all(now_ms);
    }
}
