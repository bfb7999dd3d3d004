//! The first moment of a group that begins with a state: after a restore, or a forced recovery. Owns what
//! the log must hold then and whom the group consists of, and reads from what was left who had to agree
//! before. The state itself is a checkpoint, which others write.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::codec::{decode_membership, decode_stored, encode_stored};
use super::types::{MembershipC, StoredC, log_id};
use crate::fault::Fault;
use crate::ids::Position;
use crate::wal::{GroupLog, Vote};

/// Sets of voters: a majority of each has to agree.
pub type VoterSets = Vec<BTreeSet<u64>>;

/// Begins a group at `position`, with the leader named there as its only member: the membership, opaque,
/// that belongs into the checkpoint at this place. The log must hold nothing of the group. Durable on
/// return.
///
/// # Errors
/// When the log holds something of the group, is closed, or the disk failed.
pub async fn plant(log: &GroupLog, position: Position) -> Result<Bytes, Fault> {
    if log.vote().is_some() || log.last().is_some() {
        return Err(Fault::Group(
            "a group can only begin where the log holds nothing of it".into(),
        ));
    }
    log.purge(position).await?;
    // Nobody of this term may be elected any more, so that the place is before all others.
    log.save_vote(Vote { epoch: position.epoch(), committed: false }).await?;
    let alone = BTreeSet::from([position.leader]);
    let membership = MembershipC::new_with_defaults(vec![alone], [position.leader]);
    Ok(encode_stored(&StoredC::new(Some(log_id(position)), membership)))
}

/// Who had to agree by the membership of a checkpoint; nobody where it holds none.
///
/// # Errors
/// When the bytes are no membership.
pub fn stored_voters(stored: &[u8]) -> Result<VoterSets, Fault> {
    decode_stored(stored).map(|stored| sets(stored.membership()))
}

/// Who had to agree by the membership of an entry of the log.
///
/// # Errors
/// When the bytes are no membership.
pub fn voters(entry: &[u8]) -> Result<VoterSets, Fault> {
    decode_membership(entry).map(|membership| sets(&membership))
}

fn sets(membership: &MembershipC) -> VoterSets {
    membership.get_joint_config().iter().filter(|set| !set.is_empty()).cloned().collect()
}
