//! The shard machine, rule by rule. Outputs are numbers here: the order says it all.

mod batching;
mod full_gate;
mod lingering;
mod opening;
mod own_answer;
mod passivation;
mod refused_batch;
mod weight;
mod without_change;
mod world;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::empty;

use super::{Now, Options, Output, ProposalId, Shard, Slot, Wait};
use crate::change::{Change, Effect, Mark, Section};
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::table::{Fence, Outcome};
use crate::time::Time;
use crate::value::Value;

/// A known fault, put in to see that the tests find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    None,
    /// Outputs do not wait for their batch.
    ReleasesEarly,
    /// Reads do not wait for a barrier.
    ReadsAtOnce,
    /// Twins are let go with changes on their way.
    PassivatesEarly,
}

const EPOCH: Epoch = Epoch { term: 3, leader: 1 };
const TOOK: Outcome = Outcome::Took { time: Time { ms: 0 } };

fn at(ms: u64) -> Now {
    Now { wall: Time::from_ms(1_000_000 + ms), monotonic_ms: ms }
}

fn key(name: &str) -> TwinKey {
    TwinKey::parse(name).unwrap()
}

fn change(bytes: usize) -> Change {
    let patch = Value::String(String::from_utf8(alloc::vec![b'x'; bytes]).unwrap());
    let effect = Effect::Patched {
        section: Section::Reported,
        patch,
        whole: false,
        observed_at: None,
        by: "device".into(),
    };
    Change { at: Time::from_ms(5), mark: Mark::Sequence { seq: 1, rejection: None }, effect }
}

/// What the machine says, short.
fn drain(shard: &mut Shard<u32>) -> Vec<String> {
    core::iter::from_fn(|| shard.poll_output()).map(|output| short(&output)).collect()
}

fn short(output: &Output<u32>) -> String {
    match output {
        Output::Propose { id, entry: Entry::Open { epoch, generation, .. } } => {
            assert_eq!((*epoch, *generation, id.number), (EPOCH, id.generation, 0));
            format!("open {generation}")
        }
        Output::Propose { id, entry: Entry::Batch { epoch, generation, number, changes, .. } } => {
            assert_eq!((*epoch, *generation, *number), (EPOCH, id.generation, id.number));
            format!("batch {generation}.{number} of {}", changes.len())
        }
        Output::Opened => "opened".into(),
        Output::Release(output) => format!("{output}"),
        Output::Barrier { id } => format!("barrier {id}"),
        Output::Passivate(slot) => format!("passivate {}", slot.index()),
        Output::Reopen => "reopen".into(),
        Output::Room => "room".into(),
    }
}

fn opened(options: Options) -> Shard<u32> {
    let mut shard = Shard::new(options);
    shard.open(at(0), EPOCH, &Fence::default());
    assert_eq!(drain(&mut shard), ["open 1"]);
    shard.handed(id(1, 0));
    shard.applied(id(1, 0), TOOK);
    assert_eq!(drain(&mut shard), ["opened"]);
    shard
}

fn id(generation: u64, number: u64) -> ProposalId {
    ProposalId { generation, number }
}

/// A change whose acknowledgement is `output`.
fn write(shard: &mut Shard<u32>, slot: Slot, output: u32) {
    shard.decided(at(1), slot, [change(10)], [(output, 10)], Wait::Barrier);
}

/// A read whose answer is `output`.
fn read(shard: &mut Shard<u32>, slot: Slot, output: u32) {
    shard.decided(at(1), slot, empty(), [(output, 10)], Wait::Barrier);
}
