//! A world of its own for the machine: devices of every kind, calls and writes that take their time, owners that are lost
//! in the middle.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::super::limits::{CALL_TIME_MAX, RESEND_MS};
use super::super::*;

/// How long a twin knows a key.
const KEY_MS: u64 = pollux_twin::limits::KEY_WINDOW_MS;
/// How long a call may take on its way: as long as it is tried.
const CALL_MS: u64 = CALL_TIME_MAX.as_secs() * 1_000;
const PART: usize = 7;

/// What a device does with what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// It fails so many attempts.
    Fails(u32),
    /// It never answers.
    Silent,
    /// It is not connected at so many attempts.
    Away(u32),
    /// Nobody reaches its twin.
    Lost,
}

#[derive(Debug)]
pub(super) struct Twin {
    pub(super) nature: Nature,
    /// Until when each attempt's key is known, and what was answered.
    pub(super) keys: BTreeMap<u32, (u64, Reply)>,
    /// The attempts that were carried out.
    pub(super) done: Vec<u32>,
    /// How the newest ended, and when that can be seen.
    pub(super) end: Option<(u64, CommandEnd)>,
    pub(super) ids: u64,
}

pub(super) enum Message {
    Call { place: Place, attempt: u32, owner: u32 },
    Look { place: Place, owner: u32 },
    Withdraw { place: Place, owner: u32 },
    Input { input: Input, owner: u32 },
    Write { part: u32, targets: Vec<Target>, owner: u32 },
}

pub(super) struct World {
    pub(super) rng: ChaCha8Rng,
    pub(super) now_ms: u64,
    pub(super) rules: Rules,
    pub(super) devices: usize,
    pub(super) parts: Vec<Vec<Target>>,
    pub(super) twins: BTreeMap<Place, Twin>,
    pub(super) messages: BTreeMap<(u64, u64), Message>,
    pub(super) count: u64,
    pub(super) owner: u32,
    pub(super) machine: Machine,
    pub(super) mode: Mode,
    pub(super) crashes: u32,
    pub(super) over: Option<End>,
}

impl World {
    pub(super) fn new(seed: u64, rules: Rules, devices: usize, crashes: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parts: Vec<Vec<Target>> = (0..devices)
            .collect::<Vec<_>>()
            .chunks(PART)
            .map(|part| vec![Target::default(); part.len()])
            .collect();
        let mut twins = BTreeMap::new();
        for (part, targets) in (0u32..).zip(&parts) {
            for n in 0..u16::try_from(targets.len()).unwrap() {
                let nature = match rng.random_range(0..10) {
                    0 => Nature::Silent,
                    1 | 2 => Nature::Fails(rng.random_range(1..4)),
                    3 => Nature::Away(rng.random_range(1..4)),
                    4 if n == 0 => Nature::Lost,
                    _ => Nature::Good,
                };
                let (keys, done) = (BTreeMap::new(), Vec::new());
                twins.insert((part, n), Twin { nature, keys, done, end: None, ids: 0 });
            }
        }
        let count = u32::try_from(parts.len()).unwrap();
        let machine = Machine::new(1_000, rules.clone(), devices as u64, count, Mode::Running);
        Self {
            rng,
            now_ms: 1_000,
            rules,
            devices,
            parts,
            twins,
            messages: BTreeMap::new(),
            count: 0,
            owner: 0,
            machine,
            mode: Mode::Running,
            crashes,
            over: None,
        }
    }

    fn send(&mut self, delay_ms: u64, message: Message) {
        self.count += 1;
        self.messages.insert((self.now_ms + delay_ms, self.count), message);
    }

    fn delay(&mut self) -> u64 {
        match self.rng.random_range(0..20) {
            0 => self.rng.random_range(0..CALL_MS),
            _ => self.rng.random_range(0..20),
        }
    }

    /// Goes on until the job is over.
    pub(super) fn run(&mut self, wishes: &[Mode]) {
        let mut wishes = wishes.iter().copied();
        for step in 0.. {
            assert!(step < 200_000, "it never ends: {:?}", self.machine);
            while let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            }
            self.laws();
            if self.over.is_some() {
                return;
            }
            if self.crashes > 0 && self.rng.random_range(0..40) == 0 {
                self.crash();
                continue;
            }
            if self.rng.random_range(0..200) == 0 {
                self.machine.handle(self.now_ms, Input::Missed);
                continue;
            }
            if (self.rng.random_range(0..30) == 0 || self.messages.is_empty())
                && let Some(mode) = wishes.next()
            {
                self.mode = mode;
                self.machine.handle(self.now_ms, Input::Wish(mode));
                continue;
            }
            let message = self.messages.first_key_value().map(|((at, _), _)| *at);
            let due = self.machine.next_deadline();
            let next = [message, due].into_iter().flatten().min();
            self.now_ms = self.now_ms.max(next.expect("something is to come"));
            match self.messages.first_entry().filter(|first| first.key().0 <= self.now_ms) {
                Some(first) => {
                    let message = first.remove();
                    self.arrives(message);
                }
                None => self.machine.handle_deadline(self.now_ms),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        let (owner, delay) = (self.owner, self.delay());
        match output {
            Output::Load { part } => {
                let targets = self.parts[part as usize].clone();
                self.send(delay, Message::Input { input: Input::Loaded { part, targets }, owner });
            }
            Output::Write { part } => {
                let targets = self.machine.targets(part).to_vec();
                self.send(delay, Message::Write { part, targets, owner });
            }
            Output::Send { place, attempt } => {
                // As the driver, who looks at the clock just before.
                let marked_ms = self.machine.target(place).unwrap().at_ms;
                assert_eq!(self.parts[place.0 as usize][place.1 as usize].attempt, attempt);
                match self.now_ms.abs_diff(marked_ms) > RESEND_MS {
                    true => {
                        let reply = Reply::Later;
                        let input = Input::Answered { place, attempt, reply };
                        self.send(0, Message::Input { input, owner });
                    }
                    false => self.send(delay, Message::Call { place, attempt, owner }),
                }
            }
            Output::Look { place } => self.send(delay, Message::Look { place, owner }),
            Output::Withdraw { place } => self.send(delay, Message::Withdraw { place, owner }),
            Output::Close { .. } => {}
            Output::Over { end } => self.over = Some(end),
        }
    }

    fn arrives(&mut self, message: Message) {
        let (now_ms, delay) = (self.now_ms, self.delay());
        match message {
            Message::Input { input, owner } if owner == self.owner => {
                self.machine.handle(now_ms, input);
            }
            Message::Input { .. } => {}
            Message::Write { part, targets, owner } => {
                // Of an owner before: it meets another version once the next has written.
                if owner == self.owner {
                    self.parts[part as usize] = targets;
                    let input = Input::Written { part };
                    self.send(delay, Message::Input { input, owner });
                }
            }
            Message::Call { place, attempt, owner } => {
                let reply = match self.rng.random_range(0..12) {
                    0 => Reply::Later,
                    // It has an effect, and the answer is lost.
                    1 => {
                        self.called(place, attempt);
                        Reply::Unclear
                    }
                    2 => Reply::Unclear,
                    _ => self.called(place, attempt),
                };
                let input = Input::Answered { place, attempt, reply };
                self.send(delay, Message::Input { input, owner });
            }
            Message::Look { place, owner } => {
                let sights = match self.rng.random_range(0..10) {
                    0 => vec![Sight::Unseen],
                    _ => self.seen(place),
                };
                for sight in sights {
                    self.send(delay, Message::Input { input: Input::Seen { place, sight }, owner });
                }
            }
            Message::Withdraw { place, owner } => {
                for sight in self.seen(place) {
                    self.send(delay, Message::Input { input: Input::Seen { place, sight }, owner });
                }
            }
        }
    }

    /// A device's twin takes a call.
    fn called(&mut self, place: Place, attempt: u32) -> Reply {
        let (now_ms, silent_ms) = (self.now_ms, self.rules.timeout_ms);
        let soon = now_ms + self.rng.random_range(0..100);
        let twin = self.twins.get_mut(&place).unwrap();
        if twin.nature == Nature::Lost {
            return Reply::Later;
        }
        twin.keys.retain(|_, (until, _)| *until > now_ms);
        if let Some((_, reply)) = twin.keys.get(&attempt) {
            return reply.clone();
        }
        let away = Reply::Refused { reason: "away".into(), again: true };
        if matches!(twin.nature, Nature::Away(times) if attempt <= times) {
            twin.keys.insert(attempt, (now_ms + KEY_MS, away.clone()));
            return away;
        }
        twin.ids += 1;
        twin.done.push(attempt);
        twin.end = match twin.nature {
            Nature::Fails(times) if attempt <= times => {
                Some((soon, CommandEnd::Failed("broken".into())))
            }
            Nature::Silent => Some((now_ms + silent_ms, CommandEnd::Unknown)),
            _ => Some((soon, CommandEnd::Done)),
        };
        let reply = Reply::Taken { number: twin.ids };
        twin.keys.insert(attempt, (now_ms + KEY_MS, reply.clone()));
        reply
    }

    /// What a look at a device's twin tells.
    fn seen(&self, place: Place) -> Vec<Sight> {
        let twin = &self.twins[&place];
        let known = self.machine.target(place).map_or((State::Done, 0), |t| (t.state, t.number));
        let unsure = known.0 == State::Sending;
        let Some((at, end)) = twin.end.as_ref().filter(|_| !unsure || twin.ids > known.1) else {
            return vec![Sight::Nothing];
        };
        let end = (*at <= self.now_ms).then(|| end.clone());
        if self.rules.finish == Finish::Answered {
            return vec![Sight::Command { id: twin.ids, end }];
        }
        let written = unsure.then_some(Sight::Written { version: twin.ids });
        let acked = |refused| Sight::Acked { version: twin.ids, refused };
        let said = match end {
            Some(CommandEnd::Done) => acked(None),
            Some(CommandEnd::Failed(reason)) => acked(Some(reason)),
            _ => Sight::Nothing,
        };
        written.into_iter().chain([said]).collect()
    }

    /// The owner is lost; another one goes on from what is written, sooner or later. What was on its way to twins
    /// and to the disk may still come.
    fn crash(&mut self) {
        self.crashes -= 1;
        for message in self.messages.values_mut() {
            let Message::Write { part, targets, owner } = message else { continue };
            if *owner == self.owner && self.count.is_multiple_of(2) {
                self.parts[*part as usize].clone_from(targets);
            }
        }
        self.owner += 1;
        let again_ms = self.now_ms
            + match self.rng.random_range(0..4) {
                0 => self.rng.random_range(0..2 * KEY_MS),
                _ => self.rng.random_range(0..5_000),
            };
        while let Some(first) = self.messages.first_entry().filter(|one| one.key().0 <= again_ms) {
            self.now_ms = self.now_ms.max(first.key().0);
            let message = first.remove();
            self.arrives(message);
        }
        self.now_ms = again_ms;
        let count = u32::try_from(self.parts.len()).unwrap();
        let (rules, devices) = (self.rules.clone(), self.devices as u64);
        self.machine = Machine::new(self.now_ms, rules, devices, count, self.mode);
    }

    fn laws(&self) {
        for (place, twin) in &self.twins {
            let once: BTreeSet<_> = twin.done.iter().collect();
            assert_eq!(once.len(), twin.done.len(), "{place:?} twice: {twin:?}");
            // Called again only after it failed, so never after it was done or may have been.
            let before = twin.done.split_last().map_or(&[][..], |(_, before)| before);
            let failed = |attempt: &u32| matches!(twin.nature, Nature::Fails(n) if *attempt <= n);
            assert!(before.iter().all(failed), "{place:?}: {twin:?}");
        }
        let Some(totals) = self.machine.totals() else { return };
        if self.crashes == 0 && self.owner == 0 {
            let most = self.rules.stage(&totals);
            assert!(totals.begun <= most, "{totals:?} of {most}");
        }
        assert!(totals.under_way + totals.over() <= totals.begun, "{totals:?}");
    }

    /// What is written, counted.
    pub(super) fn written(&self) -> Totals {
        let mut totals = Totals::default();
        for target in self.parts.iter().flatten() {
            totals.begun += u64::from(target.attempt > 0);
            if let Some(count) = totals.of(target.state) {
                *count += 1;
            }
        }
        totals
    }
}
