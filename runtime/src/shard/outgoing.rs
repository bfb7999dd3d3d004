//! A shard's state on its way to another replica: a picture of the table, pulled chunk by chunk while
//! entries go on being applied.

use std::sync::Arc;

use bytes::Bytes;
use pollux_cluster::{Fault, SnapshotSource};

use super::replica::{PictureOf, Replica};
use crate::checkpoint::StreamWriter;
use crate::limits::SNAPSHOT_CHUNK_BYTES;

/// A state that goes out.
pub(crate) struct Outgoing {
    replica: Arc<Replica>,
    picture: PictureOf,
    writer: StreamWriter,
    ended: bool,
}

impl Outgoing {
    /// One as of now. Cheap.
    pub(super) fn begin(replica: Arc<Replica>) -> Result<Self, Fault> {
        let (picture, head) = replica.begin_picture()?;
        Ok(Self { replica, picture, writer: StreamWriter::new(head), ended: false })
    }

    fn feed(&mut self) -> Result<(), Fault> {
        match self.replica.take_picture(self.picture, SNAPSHOT_CHUNK_BYTES)? {
            Some(images) => {
                for (key, image) in images {
                    self.writer.image(&key, &image);
                }
            }
            None => {
                self.ended = true;
                let header = self.replica.end_picture(self.picture);
                let header = header.ok_or_else(|| {
                    Fault::StateMachine("a picture ended before all of it was taken".into())
                })?;
                self.writer.end(header.digest);
            }
        }
        Ok(())
    }
}

impl SnapshotSource for Outgoing {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        while self.writer.is_hungry() {
            self.feed()?;
        }
        Ok(self.writer.chunk())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.replica.end_picture(self.picture);
        }
    }
}
