//! A cluster in a plain loop: the real agreed state and balancer over groups that are played. Owns faults and
//! the checks of every tick; leaves what should come of it to `lives`.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::*;
use crate::ids::GroupId;
use crate::limits::{CAUGHT_UP_ENTRIES, TRANSFERS_PER_NODE_MAX};
use crate::meta::{
    Answer, Command, Formats, Goal, Labels, Meta, Newcomer, Place, Profile, Refusal,
};
use crate::placement::{Host, plan, plan_council};

/// A time of day for tests.
const NOW: u64 = 1_700_000_000_000;
/// Entries a new member has to get, and how many come in a tick.
const WHOLE_LOG: u64 = 60_000;
const PER_TICK: u64 = 25_000;

/// A group as it is played.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) leader: Option<u64>,
    pub(super) configs: Vec<BTreeSet<u64>>,
    pub(super) learners: BTreeSet<u64>,
    pub(super) lag: BTreeMap<u64, u64>,
    pub(super) load: Load,
}

/// A node as it is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub(super) alive: bool,
    pub(super) since_ms: u64,
    pub(super) may_own: bool,
}

/// A cluster in a plain loop.
pub(super) struct World {
    pub(super) meta: Meta,
    pub(super) groups: BTreeMap<GroupId, Played>,
    pub(super) machines: BTreeMap<u64, Machine>,
    pub(super) balancer: Balancer,
    pub(super) now_ms: u64,
    pub(super) rng: ChaCha8Rng,
    /// How often a step is lost on the way, in percent.
    pub(super) loss: u32,
    /// How much loads vary from tick to tick, in percent.
    pub(super) noise: u64,
    /// Changes of owners, and copies begun, so far.
    pub(super) transfers: usize,
    pub(super) copies: usize,
    /// Members that were added and have not caught up since.
    copying: BTreeSet<(GroupId, u64)>,
}

impl World {
    /// A founded cluster of one node.
    pub(super) fn founded(seed: u64, shards: u32) -> Self {
        let mut meta = Meta::default();
        let profile = Profile::named("n1");
        let founding = Command::Found { cluster: 1, shards, fingerprint: 0, node_uuid: 1, profile };
        assert_eq!(meta.apply(founding), Answer::Node(1));
        let mut world = Self {
            meta,
            groups: BTreeMap::new(),
            machines: BTreeMap::new(),
            balancer: Balancer::new(0),
            now_ms: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            loss: 0,
            noise: 0,
            transfers: 0,
            copies: 0,
            copying: BTreeSet::new(),
        };
        world.machines.insert(1, Machine { alive: true, since_ms: 0, may_own: true });
        world.play();
        world
    }

    /// A cluster that has settled as placement wants it.
    pub(super) fn settled(seed: u64, shards: u32, nodes: u64, zones: &[&str]) -> Self {
        let mut world = Self::founded(seed, shards);
        for (n, zone) in (1..=nodes).zip(zones.iter().cycle()) {
            if n > 1 {
                world.join(zone);
            }
            let node = world.meta.nodes.get_mut(&n).unwrap();
            node.profile.labels.zone = (*zone).into();
        }
        let hosts = Host::of(&world.meta, |_| false);
        let goals = plan(&hosts, &vec![Goal::default(); shards as usize], 3).goals;
        world.meta.map = goals.into_iter().map(Place::settled).collect();
        let council = plan_council(&hosts, &world.meta.own.goal);
        world.meta.own = Place::settled(council);
        world.play();
        world.run(80);
        world
    }

    /// Plays every group as it is meant to be.
    fn play(&mut self) {
        let play = |place: &Place| Played {
            leader: place.goal.preferred(),
            configs: vec![place.goal.voters.iter().copied().collect()],
            learners: place.goal.learners.iter().copied().collect(),
            lag: place.goal.members().map(|id| (id, 0)).collect(),
            load: Load { messages_per_s: 500, sessions: 1000, bytes: 50_000_000 },
        };
        self.groups = self.meta.places().map(|(group, place)| (group, play(place))).collect();
    }

    pub(super) fn newcomer(&mut self, zone: &str) -> Newcomer {
        let n = self.meta.last_node + 1;
        let mut token = [0; 32];
        self.rng.fill_bytes(&mut token);
        let issue = Command::IssueToken { hash: token, ttl_ms: 60_000, now_ms: NOW };
        assert_eq!(self.meta.apply(issue), Answer::Done);
        let labels = Labels { zone: zone.into(), ..Labels::default() };
        let profile = Profile { labels, formats: Formats::OURS, ..Profile::named(format!("n{n}")) };
        Newcomer { token, node_uuid: n.into(), fingerprint: 0, profile, now_ms: NOW }
    }

    /// A node comes.
    pub(super) fn join(&mut self, zone: &str) -> u64 {
        let newcomer = self.newcomer(zone);
        let Answer::Node(id) = self.meta.apply(Command::Join(newcomer)) else { panic!("it joins") };
        let machine = Machine { alive: true, since_ms: self.now_ms, may_own: true };
        self.machines.insert(id, machine);
        id
    }

    pub(super) fn set_alive(&mut self, node: u64, alive: bool) {
        let since_ms = self.now_ms;
        let machine = self.machines.get_mut(&node).unwrap();
        *machine = Machine { alive, since_ms, ..*machine };
    }

    fn is_alive(&self, node: u64) -> bool {
        self.machines.get(&node).is_some_and(|machine| machine.alive)
    }

    /// The meta group has another leader: nothing is remembered.
    pub(super) fn forget(&mut self) {
        self.balancer = Balancer::new(self.now_ms);
    }

    pub(super) fn observe(&mut self) -> Observed {
        let seen = |machine: &Machine| {
            let for_ms = self.now_ms - machine.since_ms;
            let (silent_ms, up_ms) = if machine.alive { (0, for_ms) } else { (for_ms, 0) };
            NodeSeen { silent_ms, up_ms, may_own: machine.may_own }
        };
        let nodes = self.machines.iter().map(|(id, machine)| (*id, seen(machine))).collect();
        let (noise, rng) = (self.noise, &mut self.rng);
        let mut groups = BTreeMap::new();
        for (group, played) in &self.groups {
            let mut vary = |value: u64| value * rng.random_range(100 - noise..=100 + noise) / 100;
            let load = Load {
                messages_per_s: vary(played.load.messages_per_s),
                sessions: vary(played.load.sessions),
                bytes: played.load.bytes,
            };
            let seen = GroupSeen {
                leader: played.leader,
                voters: played.configs.clone(),
                learners: played.learners.clone(),
                lag: played.lag.clone(),
                load,
            };
            // Now and then a report is late.
            if !rng.random_bool(0.02) {
                groups.insert(*group, seen);
            }
        }
        Observed { nodes, groups }
    }

    /// One second.
    pub(super) fn tick(&mut self) {
        self.now_ms += 1000;
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.play_group(group);
        }
        let observed = self.observe();
        let steps = self.balancer.turn(self.now_ms, &self.meta, &observed);
        self.check_budget(&steps);
        for step in steps {
            if !self.rng.random_ratio(self.loss, 100) {
                self.follow(step.action);
            }
        }
    }

    pub(super) fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    /// Runs until nothing is on its way any more; how many ticks that took.
    pub(super) fn settle(&mut self, most: usize) -> usize {
        let mut calm = 0;
        for tick in 0..most {
            let before = (self.meta.version, self.transfers);
            self.tick();
            let still = before == (self.meta.version, self.transfers) && self.is_settled();
            calm = if still { calm + 1 } else { 0 };
            if calm == 40 {
                return tick;
            }
        }
        let open: Vec<_> = self.meta.places().filter(|(_, p)| !p.is_settled()).take(3).collect();
        panic!("not settled after {most} ticks: {open:?}");
    }

    fn is_settled(&self) -> bool {
        self.meta.places().all(|(group, place)| {
            let played = &self.groups[&group];
            let voters = BTreeSet::from_iter(place.goal.voters.iter().copied());
            let learners = BTreeSet::from_iter(place.goal.learners.iter().copied());
            place.is_settled() && played.configs == [voters] && played.learners == learners
        })
    }

    fn play_group(&mut self, group: GroupId) {
        let alive: BTreeSet<u64> =
            self.machines.iter().filter(|(_, m)| m.alive).map(|(id, _)| *id).collect();
        let played = self.groups.get_mut(&group).unwrap();
        let majority = played.configs.iter().all(|c| c.intersection(&alive).count() * 2 > c.len());
        assert!(majority, "{group} lost its majority: {played:?}");
        if !played.leader.is_some_and(|leader| alive.contains(&leader)) {
            let voters = played.configs[0].intersection(&alive).copied();
            played.leader = voters.min_by_key(|id| (played.lag.get(id).copied(), *id));
        }
        let members: BTreeSet<u64> =
            played.configs.iter().flatten().chain(&played.learners).copied().collect();
        played.lag.retain(|id, _| members.contains(id));
        for id in members {
            let lag = played.lag.entry(id).or_insert(WHOLE_LOG);
            *lag = if alive.contains(&id) { lag.saturating_sub(PER_TICK) } else { *lag + 500 };
        }
        let late = |id: &u64| played.lag.get(id).is_some_and(|lag| *lag > CAUGHT_UP_ENTRIES);
        self.copying.retain(|(at, id)| *at != group || late(id));
    }

    fn follow(&mut self, action: Action) {
        match action {
            Action::Decide(command) => match self.meta.apply((*command).clone()) {
                Answer::Done | Answer::Refused(Refusal::OtherGoal) => {}
                other => panic!("{command:?}: {other:?}"),
            },
            Action::AddLearner { group, leader, node } => {
                let played = self.groups.get_mut(&group).unwrap();
                let known = played.configs.iter().any(|c| c.contains(&node));
                if played.leader == Some(leader) && !known && played.learners.insert(node) {
                    played.lag.insert(node, WHOLE_LOG);
                    self.copies += usize::from(group != GroupId::META);
                    self.copying.insert((group, node));
                }
            }
            Action::SetVoters { group, leader, voters } => self.set_voters(group, leader, &voters),
            Action::RemoveLearner { group, leader, node } => {
                let played = self.groups.get_mut(&group).unwrap();
                if played.leader == Some(leader) {
                    played.learners.remove(&node);
                }
            }
            Action::Transfer { group, leader, to } => {
                let ready = self.is_alive(to);
                let played = self.groups.get_mut(&group).unwrap();
                let votes = played.configs.iter().all(|c| c.contains(&to));
                assert!(votes && played.lag[&to] < PER_TICK, "{group} to {to}: {played:?}");
                if played.leader == Some(leader) && ready && leader != to {
                    played.leader = Some(to);
                    self.transfers += 1;
                }
            }
        }
    }

    fn set_voters(&mut self, group: GroupId, leader: u64, voters: &[u64]) {
        let stuck = self.rng.random_ratio(self.loss, 100);
        let played = self.groups.get_mut(&group).unwrap();
        if played.leader != Some(leader) {
            return;
        }
        let new: BTreeSet<u64> = voters.iter().copied().collect();
        let old = played.configs[0].clone();
        for id in new.difference(&old) {
            assert!(played.learners.contains(id) || played.configs.len() == 2, "{id} is no member");
            assert!(played.lag[id] < PER_TICK, "{group}: {id} votes before it caught up");
        }
        if stuck && played.configs.len() == 1 {
            // Its leader stops between the two entries of the joint change.
            played.learners.retain(|id| !new.contains(id));
            played.configs = vec![old, new];
            return;
        }
        let all: BTreeSet<u64> = played.configs.iter().flatten().copied().collect();
        played.learners.extend(all.difference(&new));
        played.learners.retain(|id| !new.contains(id));
        if !new.contains(&leader) {
            played.leader = None;
        }
        played.configs = vec![new];
    }

    fn check_budget(&self, steps: &[Step]) {
        let budget = self.meta.budget;
        let mut to: BTreeMap<u64, usize> = BTreeMap::new();
        for step in steps {
            if let Action::Transfer { to: node, .. } = &step.action {
                *to.entry(*node).or_default() += 1;
            }
        }
        let copies = |(group, node): &&(GroupId, u64)| {
            let wanted = self.meta.place(*group).unwrap().goal.members().any(|id| id == *node);
            *group != GroupId::META && self.is_alive(*node) && wanted
        };
        let copying: BTreeSet<GroupId> =
            self.copying.iter().filter(copies).map(|(group, _)| *group).collect();
        let copying = copying.len();
        assert!(copying <= budget.moves_max as usize, "{copying} groups copy at once");
        assert!(to.values().sum::<usize>() <= budget.transfers_max as usize, "{to:?}");
        assert!(to.values().all(|n| *n <= TRANSFERS_PER_NODE_MAX), "{to:?}");
    }

    /// How many shards each member leads.
    pub(super) fn led(&self) -> BTreeMap<u64, usize> {
        let mut led: BTreeMap<u64, usize> = self.meta.members().map(|(id, _)| (id, 0)).collect();
        for (_, played) in self.groups.iter().skip(1) {
            *led.entry(played.leader.unwrap()).or_default() += 1;
        }
        led
    }

    /// How many shards each member holds.
    pub(super) fn held(&self) -> BTreeMap<u64, usize> {
        let mut held: BTreeMap<u64, usize> = self.meta.members().map(|(id, _)| (id, 0)).collect();
        for (_, played) in self.groups.iter().skip(1) {
            for id in played.configs.iter().flatten().chain(&played.learners) {
                *held.entry(*id).or_default() += 1;
            }
        }
        held
    }
}
