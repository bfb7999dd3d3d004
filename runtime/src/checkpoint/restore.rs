//! Reads a shard's checkpoint back: every value's checksum, then count and digest of all. A log that
//! begins later than the checkpoint ends is refused by the group (safety rule 21).

use std::sync::Arc;

use bytes::Bytes;
use pollux_twin::table::{Options, Restore, RestoreError, Table};
use pollux_twin::{ShardId, TwinKey};

use super::header::Header;
use super::store::{Store, StoreFault};
use super::writer::tree_name;
use crate::shard::Replica;

/// The shard's replica as its newest checkpoint has it; empty if there is none.
pub(crate) fn restore_shard(
    store: &Store,
    shard: ShardId,
    options: Options,
    watch_bytes: usize,
) -> Result<Arc<Replica>, StoreFault> {
    let tree = store.tree(&tree_name(shard))?;
    let Some(bytes) = tree.header()? else {
        return Ok(Replica::new(shard, Table::new(options), None, Bytes::new(), watch_bytes));
    };
    let header = Header::decode(&bytes).map_err(|error| tree.bad_header(&error.to_string()))?;
    let mut restore = Restore::new();
    for value in tree.values() {
        let (key, image) = value?;
        let key = TwinKey::parse(&key).map_err(|error| tree.bad_value(&key, &error.to_string()))?;
        restore.add(key, Arc::from(&*image)).map_err(|error| match error {
            RestoreError::Image { key, error } => tree.bad_value(key.as_str(), &error.to_string()),
            digest @ RestoreError::Digest { .. } => tree.bad_header(&digest.to_string()),
        })?;
    }
    let table = restore
        .finish(&header.table(), options)
        .map_err(|error| tree.bad_header(&error.to_string()))?;
    let (position, membership) = (header.position(), header.membership());
    Ok(Replica::new(shard, table, Some(position), membership, watch_bytes))
}
