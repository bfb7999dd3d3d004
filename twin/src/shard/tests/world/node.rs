//! A node of the world: a shard, a replica's table, actors, and what it keeps on its disk.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::super::super::{Options, Shard, Slot, Wait};
use super::super::Mutant;
use super::history::{History, Token, Told};
use crate::change::Section;
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::image;
use crate::input::{CallId, Input, Request};
use crate::limits::Limits;
use crate::output::{Answer, Output};
use crate::rejection::Rejection;
use crate::shard::Now;
use crate::table::{self, Header, Outcome, Restore, Table};
use crate::twin::Twin;
use crate::value::Value;

struct Actor {
    slot: Slot,
    name: u64,
    twin: Twin,
    said: u64,
}

pub(super) struct Node {
    mutant: Mutant,
    pub(super) shard: Shard<Token>,
    pub(super) table: Table,
    /// Entries of the log that are applied.
    pub(super) applied: usize,
    /// As whose leader it acts.
    pub(super) epoch: Option<Epoch>,
    pub(super) life: u64,
    /// The barrier under way, and when it began.
    pub(super) barrier: Option<(u64, u64)>,
    /// When the last barrier that passed began.
    pub(super) barrier_begun: u64,
    actors: BTreeMap<TwinKey, Actor>,
    stored: BTreeMap<TwinKey, Arc<[u8]>>,
    header: Header,
    cutting: bool,
    staged: BTreeMap<TwinKey, Arc<[u8]>>,
}

fn shard(mutant: Mutant) -> Shard<Token> {
    let mut shard = Shard::new(Options {
        batch_bytes_max: 2000,
        idle_ms: 60,
        retry_ms: 20,
        gate_bytes_max: 20_000,
        ..Options::default()
    });
    shard.mutant = mutant;
    shard
}

fn options() -> table::Options {
    table::Options { hot_twins_max: 2, hot_bytes_max: 1_000_000, ..Default::default() }
}

impl Node {
    pub(super) fn new(mutant: Mutant) -> Self {
        Self {
            mutant,
            shard: shard(mutant),
            table: Table::new(options()),
            applied: 0,
            epoch: None,
            life: 0,
            barrier: None,
            barrier_begun: 0,
            actors: BTreeMap::new(),
            stored: BTreeMap::new(),
            header: Header::default(),
            cutting: false,
            staged: BTreeMap::new(),
        }
    }

    pub(super) fn write(&mut self, now: Now, key: &TwinKey, n: i64, history: &mut History) {
        let patch = Value::Object([("n".into(), Value::Int(n))].into());
        let section = Section::Tags;
        let request = Request::Patch { section, patch, whole: false, expected: None };
        self.call(now, key, request, history);
    }

    pub(super) fn read(&mut self, now: Now, key: &TwinKey, history: &mut History) {
        self.call(now, key, Request::Get, history);
    }

    fn call(&mut self, now: Now, key: &TwinKey, request: Request, history: &mut History) {
        if !self.shard.is_open() || !self.shard.admit(500) {
            return;
        }
        let time = self.shard.time(now);
        let (shard, table) = (&mut self.shard, &self.table);
        let actor = self.actors.entry(key.clone()).or_insert_with(|| Actor {
            slot: shard.activate(now, key.clone()),
            name: history.new_actor(),
            twin: table.twin(key).unwrap().unwrap_or_else(Twin::absent),
            said: 0,
        });
        let caller = "service".into();
        let input = Input::Call { call: CallId(1), caller, key: None, request };
        actor.twin.handle(time, &Limits::default(), input).unwrap();
        let (mut changes, mut tokens) = (alloc::vec![], alloc::vec![]);
        while let Some(output) = actor.twin.poll_output() {
            match output {
                Output::Change(change) => changes.push(change),
                Output::Answer { result, .. } => {
                    let told = told(&actor.twin, result);
                    let order = actor.said;
                    actor.said += 1;
                    tokens.push((history.token(key, actor.name, order, told), 50));
                }
                Output::Device { .. } => unreachable!("there are no devices here"),
            }
        }
        self.shard.decided(now, actor.slot, changes, tokens, Wait::Barrier);
    }

    pub(super) fn apply(&mut self, entry: Entry) -> Outcome {
        self.applied += 1;
        let index = u64::try_from(self.applied).unwrap();
        let applied = self.table.apply(index, entry).unwrap();
        assert!(applied.events.iter().all(|event| event.result.is_ok()), "nothing is poison here");
        applied.outcome
    }

    pub(super) fn passivate(&mut self, slot: Slot, leads: bool, history: &History) {
        let (key, _) = self.actors.iter().find(|(_, actor)| actor.slot == slot).unwrap();
        let key = key.clone();
        let Actor { name, twin, said, .. } = self.actors.remove(&key).unwrap();
        history.passivated(name, said);
        let table = self.table.image(&key).map(|bytes| image::unpack(&bytes).unwrap().0);
        let table = table.unwrap_or_default();
        if leads {
            let (actor, table) = (image::pack(&twin, 0), image::pack(&table, 0));
            assert_eq!(actor, table, "passivated with unapplied changes");
        } else {
            // Another owner may be further on; what this one decided must be in all the same.
            assert!(twin.version() <= table.version(), "passivated with unapplied changes");
            let (version, n) = seen(&twin);
            history.check_effective(&key, version, n);
        }
    }

    pub(super) fn drop_actors(&mut self, history: &mut History) {
        for actor in core::mem::take(&mut self.actors).into_values() {
            history.gone(actor.name, actor.said);
        }
    }

    /// Goes on with a checkpoint, or begins one. It is written whole or not at all.
    pub(super) fn cut(&mut self) {
        if !core::mem::replace(&mut self.cutting, true) {
            self.table.begin_cut();
        }
        let images = self.table.take_cut(2);
        if !images.is_empty() {
            self.staged.extend(images);
            return;
        }
        self.cutting = false;
        self.stored.extend(core::mem::take(&mut self.staged));
        self.header = self.table.end_cut();
    }

    /// Begins anew from its checkpoint.
    pub(super) fn restart(&mut self) {
        let mut restore = Restore::new();
        for (key, image) in &self.stored {
            restore.add(key.clone(), Arc::clone(image)).unwrap();
        }
        self.table = restore.finish(&self.header, options()).unwrap();
        self.applied = usize::try_from(self.header.index).unwrap();
        self.shard = shard(self.mutant);
        self.cutting = false;
        self.staged.clear();
        self.epoch = None;
        self.life += 1;
    }
}

/// What an answer tells of the twin.
fn told(twin: &Twin, result: Result<Answer, Rejection>) -> Told {
    let (version, n) = seen(twin);
    match result {
        Ok(Answer::Written { version: written, .. }) => {
            assert_eq!(written, version);
            Told::Written { version, n }
        }
        Ok(Answer::Twin(view)) => {
            assert_eq!(view.tags.version, version);
            Told::Read { version, n }
        }
        Err(Rejection::NotFound) => Told::Read { version: 0, n: 0 },
        other => unreachable!("not asked for: {other:?}"),
    }
}

/// Version of the tags section, and the number in it.
fn seen(twin: &Twin) -> (u64, i64) {
    let n = match twin.section(Section::Tags) {
        Value::Object(members) => match members.get("n") {
            Some(Value::Int(n)) => *n,
            _ => 0,
        },
        _ => 0,
    };
    (twin.section_version(Section::Tags), n)
}
