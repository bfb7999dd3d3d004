//! Our own bytes for everything of the consensus library that leaves memory: memberships, votes, places,
//! and the messages between replicas. Owns the layout, behind a version byte; derives nothing on the
//! library's types, whose layout is not promised. Everything read is checked: nothing here panics.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use openraft::EmptyNode;

use super::types::{
    EntryC, LogIdC, MembershipC, StoredC, VoteC, entry_in, entry_out, log_id, position, vote_in,
    vote_out,
};
use crate::fault::Fault;
use crate::ids::{Epoch, Position};
use crate::wal::{Body, Entry, Vote};

/// Version of all layouts below; the first byte of a stored membership and of each message.
pub(crate) const VERSION: u8 = 1;

/// What a read has gone wrong with.
fn cut_off() -> Fault {
    Fault::Group("a message or a stored membership is cut off or malformed".into())
}

pub(crate) fn encode_membership(membership: &MembershipC) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_membership(&mut out, membership);
    out.freeze()
}

pub(crate) fn decode_membership(bytes: &[u8]) -> Result<MembershipC, Fault> {
    let mut r = Reader::versioned(bytes)?;
    let membership = r.membership()?;
    r.end()?;
    Ok(membership)
}

/// A membership with the place where it came into force: what a state machine keeps for us.
pub(crate) fn encode_stored(stored: &StoredC) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_log_id(&mut out, stored.log_id().as_ref());
    put_membership(&mut out, stored.membership());
    out.freeze()
}

/// The opposite of [`encode_stored`]; no bytes are no membership.
pub(crate) fn decode_stored(bytes: &[u8]) -> Result<StoredC, Fault> {
    if bytes.is_empty() {
        return Ok(StoredC::default());
    }
    let mut r = Reader::versioned(bytes)?;
    let stored = StoredC::new(r.log_id()?, r.membership()?);
    r.end()?;
    Ok(stored)
}

fn put_membership(out: &mut BytesMut, membership: &MembershipC) {
    let configs = membership.get_joint_config();
    put_len(out, configs.len());
    for config in configs {
        put_len(out, config.len());
        config.iter().for_each(|node| out.put_u64_le(*node));
    }
    let nodes: Vec<u64> = membership.nodes().map(|(id, _)| *id).collect();
    put_len(out, nodes.len());
    nodes.into_iter().for_each(|node| out.put_u64_le(node));
}

pub(crate) fn put_len(out: &mut BytesMut, len: usize) {
    out.put_u32_le(u32::try_from(len).expect("lists and entries are bounded far below 4 GiB"));
}

pub(crate) fn put_log_id(out: &mut BytesMut, id: Option<&LogIdC>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        put_position(out, position(id));
    }
}

fn put_position(out: &mut BytesMut, p: Position) {
    [p.term, p.leader, p.index].into_iter().for_each(|n| out.put_u64_le(n));
}

pub(crate) fn put_vote(out: &mut BytesMut, vote: &VoteC) {
    let Vote { epoch, committed } = vote_out(vote);
    out.put_u64_le(epoch.term);
    out.put_u64_le(epoch.leader);
    out.put_u8(u8::from(committed));
}

pub(crate) fn put_entry(out: &mut BytesMut, entry: EntryC) {
    let Entry { position, body } = entry_out(entry);
    put_position(out, position);
    out.put_u8(match body {
        Body::Blank => 0,
        Body::Normal(_) => 1,
        Body::Membership(_) => 2,
    });
    put_bytes(out, body.bytes());
}

pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.put_slice(bytes);
}

/// Reads what the functions above wrote.
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    fn versioned(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Self::new(Bytes::copy_from_slice(bytes));
        reader.version()?;
        Ok(reader)
    }

    pub(crate) fn version(&mut self) -> Result<(), Fault> {
        match self.u8()? {
            VERSION => Ok(()),
            other => {
                Err(Fault::Group(format!("layout version {other}, this release reads {VERSION}")))
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<Bytes, Fault> {
        if n > self.rest.len() { Err(cut_off()) } else { Ok(self.rest.split_to(n)) }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Fault> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(cut_off()),
        }
    }

    /// A count of things of which each takes at least `each` bytes.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, Fault> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / each { Err(cut_off()) } else { Ok(count) }
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Fault> {
        let length = self.count(1)?;
        self.take(length)
    }

    fn position(&mut self) -> Result<Position, Fault> {
        Ok(Position { term: self.u64()?, leader: self.u64()?, index: self.u64()? })
    }

    pub(crate) fn log_id(&mut self) -> Result<Option<LogIdC>, Fault> {
        Ok(if self.flag()? { Some(log_id(self.position()?)) } else { None })
    }

    pub(crate) fn vote(&mut self) -> Result<VoteC, Fault> {
        let epoch = Epoch { term: self.u64()?, leader: self.u64()? };
        Ok(vote_in(Vote { epoch, committed: self.flag()? }))
    }

    pub(crate) fn entry(&mut self) -> Result<EntryC, Fault> {
        let position = self.position()?;
        let kind = self.u8()?;
        let bytes = self.bytes()?;
        let body = match kind {
            0 => Body::Blank,
            1 => Body::Normal(bytes),
            2 => Body::Membership(bytes),
            _ => return Err(cut_off()),
        };
        entry_in(Entry { position, body })
    }

    fn node_ids(&mut self) -> Result<BTreeSet<u64>, Fault> {
        let count = self.count(8)?;
        (0..count).map(|_| self.u64()).collect()
    }

    fn membership(&mut self) -> Result<MembershipC, Fault> {
        let count = self.count(4)?;
        let configs = (0..count).map(|_| self.node_ids()).collect::<Result<Vec<_>, _>>()?;
        let nodes: BTreeMap<u64, EmptyNode> =
            self.node_ids()?.into_iter().map(|id| (id, EmptyNode {})).collect();
        if configs.is_empty() && nodes.is_empty() {
            return Ok(MembershipC::default());
        }
        MembershipC::new(configs, nodes).map_err(|e| Fault::Group(e.to_string()))
    }

    /// Nothing may be left over.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() { Ok(()) } else { Err(cut_off()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_come_back_and_garbage_is_refused() {
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let learners = BTreeMap::from([(9, EmptyNode {})]);
        let membership = MembershipC::new_with_defaults(configs, learners.into_keys());
        let id = log_id(Position { term: 4, leader: 2, index: 77 });
        for stored in [
            StoredC::new(Some(id), membership.clone()),
            StoredC::new(None, membership.clone()),
            StoredC::default(),
        ] {
            let bytes = encode_stored(&stored);
            assert_eq!(decode_stored(&bytes).unwrap(), stored);
            for end in 1..bytes.len() {
                decode_stored(&bytes[..end]).unwrap_err();
            }
        }
        assert_eq!(decode_stored(&[]).unwrap(), StoredC::default());
        assert_eq!(decode_membership(&encode_membership(&membership)).unwrap(), membership);
        for len in 0..64 {
            let _ = decode_membership(&vec![1; len]);
            let _ = decode_stored(&vec![0xff; len]);
        }
    }
}
