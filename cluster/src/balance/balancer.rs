//! The balancer's turn. Owns the order of what is done, the budget, and what little is remembered: transfers in
//! flight, smoothed loads, what was moved lately. All of that may be lost with the leader: the next one waits
//! until nothing of it can matter.

use std::collections::{BTreeMap, BTreeSet};

use super::load::Loads;
use super::moves::{self, Change};
use super::observed::Observed;
use super::owners::Owners;
use super::stage::{Stage, stage};
use super::step::{Action, Step, Why};
use crate::ids::GroupId;
use crate::limits::{
    ASK_AGAIN_MS, LOAD_OBSERVED_MS_MIN, LOAD_REST_MS, REBALANCE_PERCENT, TRANSFER_MS_MAX,
    TRANSFERS_PER_NODE_MAX,
};
use crate::meta::{Command, Goal, Meta, NodeState};
use crate::placement::{Host, Note};

/// Decides what to do next for an even and safe cluster. One lives on the meta group's leader, for as long
/// as that leads.
#[derive(Debug)]
pub struct Balancer {
    started_ms: u64,
    loads: Loads,
    /// Owners on their way: to whom, and until when that is believed.
    transfers: BTreeMap<GroupId, (u64, u64)>,
    /// What was asked of a group last, and when.
    asked: BTreeMap<GroupId, (Action, u64)>,
    /// Shards that were changing their replicas at the last turn.
    under_way: BTreeSet<GroupId>,
    /// When a shard's owner was moved for its load.
    moved: BTreeMap<GroupId, u64>,
    /// The last input of a plan that changed nothing: it would change nothing again.
    content: Option<(u64, Vec<Host>)>,
    notes: Vec<Note>,
    urged: bool,
}

/// One turn's view and what came of it so far.
struct Turn<'a> {
    now_ms: u64,
    meta: &'a Meta,
    observed: &'a Observed,
    stages: BTreeMap<GroupId, Stage>,
    steps: Vec<Step>,
}

impl Balancer {
    /// A balancer that begins now, by the clock that its turns are told.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            started_ms: now_ms,
            loads: Loads::default(),
            transfers: BTreeMap::new(),
            asked: BTreeMap::new(),
            under_way: BTreeSet::new(),
            moved: BTreeMap::new(),
            content: None,
            notes: Vec::new(),
            urged: false,
        }
    }

    /// Why placement is not better than it is.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Evens everything once, although paused, and below the usual threshold.
    pub fn urge(&mut self) {
        self.urged = true;
        self.moved.clear();
        self.content = None;
    }

    /// What should be done now. To be asked about once a second; steps whose effect is not seen are asked
    /// for again. In the first seconds nothing is: what the last leader asked for may be on its way.
    pub fn turn(&mut self, now_ms: u64, meta: &Meta, observed: &Observed) -> Vec<Step> {
        let loads = observed.groups.iter().map(|(group, seen)| (*group, seen.load));
        self.loads.observe(now_ms, loads);
        if now_ms < self.started_ms.saturating_add(TRANSFER_MS_MAX) || !meta.is_founded() {
            return Vec::new();
        }
        let stages = meta.places().map(|(id, place)| (id, stage(id, place, observed))).collect();
        let mut turn = Turn { now_ms, meta, observed, stages, steps: Vec::new() };
        self.forget(&turn);
        self.drive(&mut turn);
        self.aim(&mut turn);
        self.hand_over(&mut turn);
        self.level(&mut turn);
        turn.steps
    }

    /// What [`Balancer::urge`] and the turns after it would change of all goals in the end, if nothing else
    /// happened meanwhile: one change for each group, from what is meant now.
    #[must_use]
    pub fn rehearse(&self, now_ms: u64, meta: &Meta, observed: &Observed) -> Vec<Change> {
        let mut meta = meta.clone();
        let hosts = moves::hosts(&meta, observed, now_ms.saturating_sub(self.started_ms));
        let mut all: Vec<Change> = moves::council(&meta, &hosts).into_iter().collect();
        all.extend(moves::changes(&meta, &hosts).0);
        for change in &all {
            if let Some(shard) = change.group.0.checked_sub(1) {
                meta.map[shard as usize].goal = change.to.clone();
            }
        }
        let scores = self.scores(&meta, observed, now_ms);
        let later = observed.later();
        let mut owners = Owners::new(&meta, &later, &scores);
        for _ in 0..meta.map.len() {
            match owners.next(REBALANCE_PERCENT, |_| false) {
                Some(change) => match all.iter_mut().find(|c| c.group == change.group) {
                    Some(earlier) => earlier.to = change.to,
                    None => all.push(change),
                },
                None => break,
            }
        }
        all.retain(|change| change.from != change.to);
        all
    }

    fn scores(&self, meta: &Meta, observed: &Observed, now_ms: u64) -> Vec<u64> {
        let mut loads = self.loads.clone();
        let seen = observed.groups.iter().map(|(group, seen)| (*group, seen.load));
        loads.observe(now_ms, seen);
        loads.scores(meta.map.len())
    }

    fn threshold(&self, meta: &Meta) -> u32 {
        if self.urged { REBALANCE_PERCENT } else { meta.budget.threshold_percent }
    }

    /// Drops what is over.
    fn forget(&mut self, turn: &Turn<'_>) {
        self.transfers.retain(|group, (to, until_ms)| {
            let leader = turn.observed.groups.get(group).and_then(|seen| seen.leader);
            leader != Some(*to) && turn.now_ms < *until_ms
        });
        self.asked.retain(|_, (_, at_ms)| turn.now_ms < *at_ms + ASK_AGAIN_MS);
        self.moved.retain(|_, at_ms| turn.now_ms < *at_ms + LOAD_REST_MS);
    }

    /// Goes on with every move that is under way, and begins those that the budget has room for.
    fn drive(&mut self, turn: &mut Turn<'_>) {
        let before = std::mem::take(&mut self.under_way);
        // A group that nobody reported this time is where it was.
        let goes_on = |(group, stage): &(&GroupId, &Stage)| {
            let unknown = **stage == Stage::Leaderless && before.contains(*group);
            **group != GroupId::META && (stage.is_under_way() || unknown)
        };
        self.under_way = turn.stages.iter().filter(goes_on).map(|(group, _)| *group).collect();
        let mut room = (turn.meta.budget.moves_max as usize).saturating_sub(self.under_way.len());
        for (group, stage) in turn.stages.clone() {
            match stage {
                Stage::NotBegun(action) if group == GroupId::META || room > 0 => {
                    if group != GroupId::META {
                        room -= 1;
                        self.under_way.insert(group);
                    }
                    self.ask(turn, group, action, Why::Unfinished);
                }
                Stage::Next(Action::Transfer { leader, to, .. }) => {
                    self.transfer(turn, group, leader, to, Why::Unfinished);
                }
                Stage::Next(action) | Stage::Reached(action) => {
                    self.ask(turn, group, action, Why::Unfinished);
                }
                _ => {}
            }
        }
    }

    /// Sets new goals, as many as may be on their way at once.
    fn aim(&mut self, turn: &mut Turn<'_>) {
        let meta = turn.meta;
        let watched_ms = turn.now_ms.saturating_sub(self.started_ms);
        let hosts = moves::hosts(meta, turn.observed, watched_ms);
        let input = (meta.version, hosts);
        if self.content.as_ref() == Some(&input) {
            return;
        }
        let hosts = &input.1;
        let council = moves::council(meta, hosts);
        let (changes, notes) = moves::changes(meta, hosts);
        self.notes = notes;
        if changes.is_empty() && council.is_none() {
            self.content = Some(input);
            return;
        }
        if let Some(change) = council {
            self.decide(turn, change);
        }
        let unsettled = |group: &GroupId| !meta.place(*group).is_none_or(|p| p.is_settled());
        let on_their_way = meta.places().skip(1).filter(|(group, _)| unsettled(group)).count();
        let mut room = (meta.budget.moves_max as usize).saturating_sub(on_their_way);
        for change in changes {
            let urgent = matches!(change.why, Why::Drain | Why::Lost);
            let wanted = !meta.paused || self.urged || change.why == Why::Drain;
            let moving = unsettled(&change.group);
            // A goal that cannot be reached any more is replaced in its own room.
            let may = if moving { urgent } else { room > 0 };
            if wanted && may {
                room -= usize::from(!moving);
                self.decide(turn, change);
            }
        }
    }

    /// Owners leave nodes that should not own, and come to those that are preferred.
    fn hand_over(&mut self, turn: &mut Turn<'_>) {
        let (meta, observed) = (turn.meta, turn.observed);
        let scores = self.loads.scores(meta.map.len());
        let mut owners = Owners::new(meta, observed, &scores);
        for shard in 0..meta.map.len() {
            let Ok(group) = u32::try_from(shard).map(GroupId::shard) else { return };
            let goal = &meta.map[shard].goal;
            let leader = observed.groups.get(&group).and_then(|seen| seen.leader);
            let (Some(leader), Some(preferred)) = (leader, goal.preferred()) else { continue };
            if turn.stages.get(&group).is_some_and(Stage::is_under_way) || turn.is_aimed(group) {
                continue;
            }
            let leaves = |node| meta.nodes.get(&node).is_none_or(|n| n.state != NodeState::Active);
            let unable =
                |node| observed.nodes.get(&node).is_some_and(|n| n.is_alive() && !n.may_own);
            if leaves(preferred) {
                if let Some(to) = owners.other_owner(shard, preferred)
                    && let Some(change) = owners.shift(shard, to, Why::Drain)
                {
                    self.decide(turn, change);
                }
            } else if leader != preferred && owners.can_take(shard, preferred) {
                let why = if leaves(leader) { Why::Drain } else { Why::Return };
                self.transfer(turn, group, leader, preferred, why);
            } else if (leaves(leader) || unable(leader))
                && let Some(to) = owners.other_owner(shard, leader)
            {
                // It comes back to the preferred one when that can own again.
                self.transfer(turn, group, leader, to, Why::Drain);
            }
        }
    }

    /// Moves owners by load, when nothing else is going on with them.
    fn level(&mut self, turn: &mut Turn<'_>) {
        let meta = turn.meta;
        let quiet = self.transfers.is_empty() && !turn.wants_owner();
        let known = self.loads.observed_ms >= LOAD_OBSERVED_MS_MIN || self.urged;
        if !quiet || !known || meta.paused && !self.urged {
            return;
        }
        let scores = self.loads.scores(meta.map.len());
        let threshold = self.threshold(meta);
        let mut owners = Owners::new(meta, turn.observed, &scores);
        let mut changes = Vec::new();
        for _ in 0..meta.budget.transfers_max {
            let rests = |group| {
                let settled = turn.stages.get(&group) == Some(&Stage::Settled);
                self.moved.contains_key(&group) || !settled || turn.is_aimed(group)
            };
            match owners.next(threshold, rests) {
                Some(change) => changes.push(change),
                None => break,
            }
        }
        if changes.is_empty() && turn.steps.is_empty() && !turn.observed.awaits_owner() {
            self.urged = false;
        }
        for change in changes {
            self.moved.insert(change.group, turn.now_ms);
            self.decide(turn, change);
        }
    }

    fn decide(&mut self, turn: &mut Turn<'_>, change: Change) {
        let Change { group, to: goal, why, .. } = change;
        let command = Command::Place { group: group.0, goal };
        turn.steps.push(Step { action: Action::Decide(Box::new(command)), why });
    }

    /// Asks for a step, unless it was asked for a moment ago.
    fn ask(&mut self, turn: &mut Turn<'_>, group: GroupId, action: Action, why: Why) {
        if self.asked.get(&group).is_some_and(|(last, _)| *last == action) {
            return;
        }
        self.asked.insert(group, (action.clone(), turn.now_ms));
        turn.steps.push(Step { action, why });
    }

    /// Asks an owner to hand over, if the budget has room.
    fn transfer(&mut self, turn: &mut Turn<'_>, group: GroupId, leader: u64, to: u64, why: Why) {
        let same = self.transfers.values().filter(|(other, _)| *other == to).count();
        let full = self.transfers.len() >= turn.meta.budget.transfers_max as usize;
        if full || same >= TRANSFERS_PER_NODE_MAX || self.transfers.contains_key(&group) {
            return;
        }
        self.transfers.insert(group, (to, turn.now_ms + TRANSFER_MS_MAX));
        let action = Action::Transfer { group, leader, to };
        turn.steps.push(Step { action, why });
    }
}

impl Turn<'_> {
    /// Whether this turn gives the group another goal.
    fn is_aimed(&self, group: GroupId) -> bool {
        let aims = |step: &Step| match &step.action {
            Action::Decide(command) => {
                matches!(**command, Command::Place { group: aimed, .. } if aimed == group.0)
            }
            _ => false,
        };
        self.steps.iter().any(aims)
    }

    /// Whether a shard is led by another node than the preferred one, where that one answers.
    fn wants_owner(&self) -> bool {
        let differs = |goal: &Goal, group: GroupId| {
            let leader = self.observed.groups.get(&group).and_then(|seen| seen.leader);
            goal.preferred().is_some_and(|p| leader != Some(p) && self.observed.is_alive(p))
        };
        self.meta.places().skip(1).any(|(group, place)| differs(&place.goal, group))
    }
}
