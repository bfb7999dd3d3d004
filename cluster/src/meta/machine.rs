//! The meta group's state machine: the pure state, driven by a group's log. Owns its publishing; where the
//! checkpoint's bytes are kept is the runtime's.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::watch;

use super::answer::{Answer, Refusal};
use super::command::Command;
use super::state::Meta;
use crate::fault::Fault;
use crate::ids::Position;
use crate::limits::SNAPSHOT_CHUNK_BYTES_MAX;
use crate::state_machine::{Pieces, Recovered, SnapshotSink, SnapshotSource, StateMachine};

/// The meta group's state after some entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaPicture {
    /// The state.
    pub meta: Arc<Meta>,
    /// The last entry in it.
    pub applied: Option<Position>,
    /// The group's membership, opaque.
    pub membership: Bytes,
}

impl MetaPicture {
    /// The picture as bytes, to be made durable before [`Group::checkpointed`](crate::Group::checkpointed).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let position = self.applied.unwrap_or_default();
        out.put_u8(u8::from(self.applied.is_some()));
        [position.term, position.leader, position.index]
            .into_iter()
            .for_each(|n| out.put_u64_le(n));
        let length = u32::try_from(self.membership.len()).expect("a membership is small");
        out.put_u32_le(length);
        out.put_slice(&self.membership);
        out.put_slice(&self.meta.encode());
        out.freeze()
    }

    /// The picture in such bytes.
    ///
    /// # Errors
    /// When they are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let cut_off = || Fault::Group("the meta group's checkpoint is cut off".into());
        let (head, rest) = bytes.split_at_checked(29).ok_or_else(cut_off)?;
        let u64_at =
            |at: usize| head[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        let position = Position { term: u64_at(1), leader: u64_at(9), index: u64_at(17) };
        let length = head[25..29].iter().rev().fold(0_usize, |n, b| n << 8 | usize::from(*b));
        let (membership, meta) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        Ok(Self {
            meta: Arc::new(Meta::decode(meta)?),
            applied: (head[0] == 1).then_some(position),
            membership: Bytes::copy_from_slice(membership),
        })
    }
}

/// Makes a picture durable.
pub type Keep = Box<dyn Fn(&MetaPicture) -> Result<(), Fault> + Send>;

/// Drives [`Meta`] from the meta group's log and publishes it.
pub struct MetaMachine {
    meta: Meta,
    picture: watch::Sender<MetaPicture>,
    keep: Keep,
}

impl MetaMachine {
    /// A machine that begins at a checkpoint, or empty; and the watch on which each new state is
    /// published. A state that another replica sends is kept before it is taken.
    #[must_use]
    pub fn new(
        checkpoint: Option<MetaPicture>,
        keep: Keep,
    ) -> (Self, watch::Receiver<MetaPicture>) {
        let picture = checkpoint.unwrap_or_default();
        let meta = picture.meta.as_ref().clone();
        let (sender, receiver) = watch::channel(picture);
        (Self { meta, picture: sender, keep }, receiver)
    }

    fn publish(&self, position: Position, membership: Option<Bytes>) {
        self.picture.send_modify(|picture| {
            if picture.meta.version != self.meta.version {
                picture.meta = Arc::new(self.meta.clone());
            }
            picture.applied = Some(position);
            if let Some(membership) = membership {
                picture.membership = membership;
            }
        });
    }
}

struct Image(Bytes);

impl SnapshotSource for Image {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let piece = self.0.split_to(self.0.len().min(SNAPSHOT_CHUNK_BYTES_MAX));
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl StateMachine for MetaMachine {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        let picture = self.picture.borrow();
        Ok(Recovered { applied: picture.applied, membership: picture.membership.clone() })
    }

    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes {
        let answer = match Command::decode(entry) {
            Ok(command) => self.meta.apply(command),
            Err(_) => Answer::Refused(Refusal::Malformed),
        };
        self.publish(position, None);
        answer.encode()
    }

    fn advance(&mut self, position: Position, membership: Option<Bytes>) {
        self.publish(position, membership);
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        Ok(Box::new(Image(self.meta.encode())))
    }

    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Fault> {
        let mut source = Pieces::of(sink)?;
        let mut bytes = Vec::new();
        while let Some(piece) = source.next_chunk()? {
            bytes.extend_from_slice(&piece);
        }
        let meta = Meta::decode(&bytes)?;
        let picture =
            MetaPicture { meta: Arc::new(meta.clone()), applied: Some(position), membership };
        (self.keep)(&picture)?;
        self.meta = meta;
        self.picture.send_replace(picture);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Keep {
        Box::new(|_| Ok(()))
    }

    /// The machine's state as another one has it before it installs it.
    fn taken_in(machine: &mut MetaMachine) -> Box<dyn SnapshotSink> {
        let (mut source, mut sink) = (machine.snapshot().unwrap(), machine.sinks()().unwrap());
        while let Some(piece) = source.next_chunk().unwrap() {
            sink.push(piece).unwrap();
        }
        sink
    }

    #[test]
    fn a_snapshot_that_cannot_be_kept_is_not_taken() {
        let (mut machine, _) = MetaMachine::new(None, nowhere());
        let sink = taken_in(&mut machine);
        let full = Box::new(|_: &MetaPicture| Err(Fault::StateMachine("no room".into())));
        let (mut other, watch) = MetaMachine::new(None, full);
        let at = Position { term: 1, leader: 1, index: 1 };
        other.install(at, Bytes::new(), sink).unwrap_err();
        assert_eq!(*watch.borrow(), MetaPicture::default());
    }
    use crate::meta::Profile;

    #[test]
    fn a_picture_comes_back_and_a_snapshot_installs() {
        let (mut machine, watch) = MetaMachine::new(None, nowhere());
        let at = |index| Position { term: 1, leader: 1, index };
        machine.advance(at(0), Some(Bytes::from("members")));
        let profile = Profile::named("a");
        let found = Command::Found { cluster: 5, shards: 2, fingerprint: 3, node_uuid: 4, profile };
        let answer = machine.apply(at(1), &found.encode());
        assert_eq!(Answer::decode(&answer).unwrap(), Answer::Node(1));
        let answer = machine.apply(at(2), b"garbage");
        assert_eq!(Answer::decode(&answer).unwrap(), Answer::Refused(Refusal::Malformed));
        let picture = watch.borrow().clone();
        assert_eq!(picture.applied, Some(at(2)));
        assert_eq!(MetaPicture::decode(&picture.encode()).unwrap(), picture);
        for end in 0..picture.encode().len() {
            let _ = MetaPicture::decode(&picture.encode()[..end]);
        }
        let (mut other, other_watch) = MetaMachine::new(None, nowhere());
        let sink = taken_in(&mut machine);
        other.install(at(2), Bytes::from("members"), sink).unwrap();
        assert_eq!(*other_watch.borrow(), picture);
        let (mut restarted, _) = MetaMachine::new(Some(picture), nowhere());
        assert_eq!(restarted.recovered().unwrap().applied, Some(at(2)));
    }
}
