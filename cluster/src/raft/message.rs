//! The calls between replicas as bytes. Owns which calls there are; the layout of their parts is
//! `codec`'s.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};

use super::codec::{
    Reader, VERSION, encode_stored, put_bytes, put_entry, put_len, put_log_id, put_vote,
};
use super::types::{C, MetaC, VoteC};
use crate::fault::Fault;
use crate::network::Lane;

/// The kind of an offer of the leadership, the second byte of its call.
pub(crate) const TRANSFER: u8 = 4;

/// A piece of a snapshot on its way.
pub(crate) struct Piece {
    pub(crate) vote: VoteC,
    pub(crate) meta: MetaC,
    /// The piece's number in its transfer, from 0.
    pub(crate) number: u32,
    /// Empty at the end of the transfer.
    pub(crate) bytes: Option<Bytes>,
}

/// What one replica asks of another.
pub(crate) enum Call {
    Append(AppendEntriesRequest<C>),
    Vote(VoteRequest<C>),
    PreVote(VoteRequest<C>),
    Transfer(TransferLeaderRequest<C>),
    Snapshot(Piece),
}

impl Call {
    /// How the call should travel.
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Append(request) if !request.entries.is_empty() => Lane::Entries,
            Self::Snapshot(_) => Lane::Snapshot,
            Self::Append(_) | Self::Vote(_) | Self::PreVote(_) | Self::Transfer(_) => Lane::Control,
        }
    }

    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        match self {
            Self::Append(r) => {
                out.put_u8(1);
                put_vote(&mut out, &r.vote);
                put_log_id(&mut out, r.prev_log_id.as_ref());
                put_log_id(&mut out, r.leader_commit.as_ref());
                put_len(&mut out, r.entries.len());
                r.entries.into_iter().for_each(|entry| put_entry(&mut out, entry));
            }
            Self::Vote(r) => put_vote_request(&mut out, 2, &r),
            Self::PreVote(r) => put_vote_request(&mut out, 3, &r),
            Self::Transfer(r) => {
                out.put_u8(TRANSFER);
                put_vote(&mut out, r.from_leader());
                out.put_u64_le(*r.to_node_id());
                put_log_id(&mut out, r.last_log_id());
            }
            Self::Snapshot(p) => {
                out.put_u8(5);
                put_vote(&mut out, &p.vote);
                put_log_id(&mut out, p.meta.last_log_id.as_ref());
                put_bytes(&mut out, &encode_stored(&p.meta.last_membership));
                out.put_u32_le(p.number);
                out.put_u8(u8::from(p.bytes.is_some()));
                put_bytes(&mut out, &p.bytes.unwrap_or_default());
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let mut r = Reader::new(bytes);
        r.version()?;
        let call = match r.u8()? {
            1 => Self::Append(read_append(&mut r)?),
            2 => Self::Vote(read_vote_request(&mut r)?),
            3 => Self::PreVote(read_vote_request(&mut r)?),
            TRANSFER => {
                Self::Transfer(TransferLeaderRequest::new(r.vote()?, r.u64()?, r.log_id()?))
            }
            5 => {
                let (vote, last_log_id) = (r.vote()?, r.log_id()?);
                let last_membership = super::codec::decode_stored(&r.bytes()?)?;
                let (number, some) = (r.u32()?, r.flag()?);
                let bytes = Some(r.bytes()?).filter(|_| some);
                let meta = MetaC { last_log_id, last_membership };
                Self::Snapshot(Piece { vote, meta, number, bytes })
            }
            other => return Err(Fault::Group(format!("a peer's call of unknown kind {other}"))),
        };
        r.end()?;
        Ok(call)
    }
}

fn read_append(r: &mut Reader) -> Result<AppendEntriesRequest<C>, Fault> {
    let (vote, prev_log_id, leader_commit) = (r.vote()?, r.log_id()?, r.log_id()?);
    let count = r.count(29)?;
    let entries = (0..count).map(|_| r.entry()).collect::<Result<_, _>>()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn put_vote_request(out: &mut BytesMut, kind: u8, r: &VoteRequest<C>) {
    out.put_u8(kind);
    put_vote(out, &r.vote);
    put_log_id(out, r.last_log_id.as_ref());
    out.put_u8(u8::from(r.leadership_transfer));
}

fn read_vote_request(r: &mut Reader) -> Result<VoteRequest<C>, Fault> {
    let mut request = VoteRequest::new(r.vote()?, r.log_id()?);
    request.leadership_transfer = r.flag()?;
    Ok(request)
}

pub(crate) fn encode_appended(answer: &AppendEntriesResponse<C>) -> Bytes {
    let mut out = BytesMut::new();
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(upto) => {
            out.put_u8(1);
            put_log_id(&mut out, upto.as_ref());
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

pub(crate) fn decode_appended(bytes: Bytes) -> Result<AppendEntriesResponse<C>, Fault> {
    let mut r = Reader::new(bytes);
    let answer = match r.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(r.log_id()?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(r.vote()?),
        other => return Err(Fault::Group(format!("an answer of unknown kind {other}"))),
    };
    r.end()?;
    Ok(answer)
}

pub(crate) fn encode_voted(answer: &VoteResponse<C>) -> Bytes {
    let mut out = BytesMut::new();
    put_vote(&mut out, &answer.vote);
    put_log_id(&mut out, answer.last_log_id.as_ref());
    out.put_u8(u8::from(answer.vote_granted));
    out.freeze()
}

pub(crate) fn decode_voted(bytes: Bytes) -> Result<VoteResponse<C>, Fault> {
    let mut r = Reader::new(bytes);
    let (vote, last, granted) = (r.vote()?, r.log_id()?, r.flag()?);
    r.end()?;
    Ok(VoteResponse::new(vote, last, granted))
}

pub(crate) fn encode_snapshot_answer(answer: &SnapshotResponse<C>) -> Bytes {
    let mut out = BytesMut::new();
    put_vote(&mut out, &answer.vote);
    out.freeze()
}

pub(crate) fn decode_snapshot_answer(bytes: Bytes) -> Result<SnapshotResponse<C>, Fault> {
    let mut r = Reader::new(bytes);
    let vote = r.vote()?;
    r.end()?;
    Ok(SnapshotResponse::new(vote))
}

#[cfg(test)]
mod tests {
    use openraft::entry::RaftEntry;

    use super::super::types::{EntryC, Proposed, log_id};
    use super::*;
    use crate::ids::Position;

    #[test]
    fn calls_come_back_and_every_cut_is_refused() {
        let id = |index| log_id(Position { term: 3, leader: 1, index });
        let vote = VoteC::new_committed(3, 1);
        let entries =
            vec![EntryC::new_blank(id(5)), EntryC::new_normal(id(6), Proposed(Bytes::from("x")))];
        let append = AppendEntriesRequest {
            vote,
            prev_log_id: Some(id(4)),
            entries: entries.clone(),
            leader_commit: None,
        };
        let bytes = Call::Append(append).encode();
        let Call::Append(back) = Call::decode(bytes.clone()).unwrap() else { panic!("kind") };
        assert_eq!((back.vote, back.prev_log_id, back.leader_commit), (vote, Some(id(4)), None));
        assert_eq!(back.entries, entries);
        for end in 0..bytes.len() {
            assert!(Call::decode(bytes.slice(..end)).is_err());
        }
        let bytes = Call::PreVote(VoteRequest::new(vote, Some(id(9)))).encode();
        let Call::PreVote(back) = Call::decode(bytes).unwrap() else { panic!("kind") };
        assert_eq!(back, VoteRequest::new(vote, Some(id(9))));
        for answer in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(id(2))),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            assert_eq!(decode_appended(encode_appended(&answer)).unwrap(), answer);
        }
        let voted = VoteResponse::new(vote, None, true);
        assert_eq!(decode_voted(encode_voted(&voted)).unwrap(), voted);
    }
}
