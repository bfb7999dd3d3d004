//! A replica's state machine: registers, and a digest of all that was applied. Owns what a checkpoint of it
//! keeps over a crash; tells the truth of every step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::chance::Hash;
use super::life::Life;
use super::truth::{Step, Truth};
use crate::fault::Fault;
use crate::ids::{GroupId, Position};
use crate::state_machine::{
    Pieces as Memory, Recovered, SnapshotSink, SnapshotSource, StateMachine,
};

/// The whole state at a place.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) position: Option<Position>,
    membership: Bytes,
    registers: BTreeMap<u8, u64>,
    digest: Hash,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            position: None,
            membership: Bytes::new(),
            registers: BTreeMap::new(),
            digest: Hash::NOTHING,
        }
    }
}

impl Image {
    pub(super) fn read(&self, key: u8) -> u64 {
        self.registers.get(&key).copied().unwrap_or(0)
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.0
    }

    fn step(&mut self, position: Position, entry: &[u8]) {
        for number in [position.term, position.leader, position.index] {
            self.digest.add(number);
        }
        self.digest.bytes(entry);
        self.position = Some(position);
    }

    /// One piece for the digest, and one for each register.
    fn pieces(&self) -> Vec<Bytes> {
        let head = Bytes::copy_from_slice(&self.digest.0.to_le_bytes());
        let register = |(key, value): (&u8, &u64)| {
            let mut piece = BytesMut::new();
            piece.put_u8(*key);
            piece.put_u64_le(*value);
            piece.freeze()
        };
        [head].into_iter().chain(self.registers.iter().map(register)).collect()
    }

    fn from_pieces(
        position: Position,
        membership: Bytes,
        source: &mut dyn SnapshotSource,
    ) -> Result<Self, Fault> {
        let short = || Fault::StateMachine("a piece is too short".into());
        let mut head = source.next_chunk()?.filter(|head| head.len() == 8).ok_or_else(short)?;
        let digest = Hash(head.get_u64_le());
        let mut registers = BTreeMap::new();
        while let Some(mut piece) = source.next_chunk()? {
            if piece.len() != 9 {
                return Err(short());
            }
            registers.insert(piece.get_u8(), piece.get_u64_le());
        }
        Ok(Self { position: Some(position), membership, registers, digest })
    }
}

/// A write's entry: its number, the register, and some ballast.
pub(super) fn entry(write: u64, key: u8, ballast: usize) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u64_le(write);
    bytes.put_u8(key);
    bytes.put_bytes(0xa5, ballast);
    bytes.freeze()
}

/// The machine of one group during one life of a node.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) group: GroupId,
    pub(super) life: Life,
    pub(super) truth: Truth,
    /// In memory.
    pub(super) image: Arc<Mutex<Image>>,
    /// The checkpoint, which outlives the node.
    pub(super) kept: Arc<Mutex<Image>>,
}

impl Machine {
    fn tell(&self, image: &Image, write: Option<u64>) {
        let Some(position) = image.position.filter(|_| !self.life.is_over()) else { return };
        let mut members = Hash::NOTHING;
        members.bytes(&image.membership);
        let step = Step { position, digest: image.digest.0, members: members.0 };
        self.truth.applied(self.group, &self.life, step, write);
    }

    /// A copy of the state that may become the checkpoint.
    pub(super) fn copy(&self) -> Image {
        self.image.lock().unwrap().clone()
    }

    /// The copy is on the disk. Not so if the node died first, or something newer is there.
    pub(super) fn keep(&self, copy: Image) -> bool {
        let mut kept = self.kept.lock().unwrap();
        let newer = copy.position > kept.position && !self.life.is_over();
        if newer {
            *kept = copy;
        }
        newer
    }
}

struct Pieces(std::vec::IntoIter<Bytes>);

impl SnapshotSource for Pieces {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.next())
    }
}

impl StateMachine for Machine {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        let image = self.kept.lock().unwrap().clone();
        self.tell(&image, None);
        let recovered = Recovered { applied: image.position, membership: image.membership.clone() };
        *self.image.lock().unwrap() = image;
        Ok(recovered)
    }

    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes {
        let mut fields = entry;
        let (write, key) = (fields.get_u64_le(), fields.get_u8());
        let mut image = self.image.lock().unwrap();
        let old = image.read(key);
        image.registers.insert(key, write);
        image.step(position, entry);
        self.tell(&image, Some(write));
        Bytes::copy_from_slice(&old.to_le_bytes())
    }

    fn advance(&mut self, position: Position, membership: Option<Bytes>) {
        let mut image = self.image.lock().unwrap();
        image.step(position, membership.as_deref().unwrap_or_default());
        if let Some(membership) = membership {
            image.membership = membership;
        }
        self.tell(&image, None);
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        let pieces = self.image.lock().unwrap().pieces();
        Ok(Box::new(Pieces(pieces.into_iter())))
    }

    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Fault> {
        let image = Image::from_pieces(position, membership, &mut Memory::of(sink)?)?;
        if self.life.is_over() {
            return Err(Fault::StateMachine("the node is gone".into()));
        }
        self.truth.count(|counts| counts.snapshots += 1);
        self.tell(&image, None);
        *self.kept.lock().unwrap() = image.clone();
        *self.image.lock().unwrap() = image;
        Ok(())
    }
}
