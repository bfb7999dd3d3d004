//! How a group is timed and bounded. Owns the options and their translation for the consensus library.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::fault::Fault;
use crate::ids::GroupId;
use crate::limits::{
    APPEND_ENTRIES_MAX, APPLY_COMMANDS_MAX, BEAT_MS, GROUP_REQUESTS_MAX, HEARTBEAT_MS_MIN,
    KEEP_BYTES_DEFAULT, KEEP_ENTRIES_DEFAULT, NOTICES_MAX, REPLICATE_ENTRIES_MAX,
    REPLICATION_LAG_MAX, SNAPSHOT_PIECE_MS_MAX,
};

/// A group's timing, and what its log keeps behind a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// How often a leader is heard from.
    pub heartbeat_ms: u64,
    /// Shortest silence after which a replica stands for election.
    pub election_min_ms: u64,
    /// Longest such silence. Close to the shortest: the time to a new leader grows with it.
    pub election_max_ms: u64,
    /// Entries kept behind a checkpoint, for replicas that were away for a short while.
    pub keep_entries: u64,
    /// Bytes kept behind a checkpoint at most.
    pub keep_bytes: u64,
}

impl GroupOptions {
    /// For a shard: about 0.7 s from the loss of a leader to the next commit.
    #[must_use]
    pub const fn shard() -> Self {
        Self {
            heartbeat_ms: 100,
            election_min_ms: 300,
            election_max_ms: 400,
            keep_entries: KEEP_ENTRIES_DEFAULT,
            keep_bytes: KEEP_BYTES_DEFAULT,
        }
    }

    /// For nodes beside each other with a log on a fast disk: about half a second from the loss of a
    /// leader to the next commit. A pause of 200 ms of a leader's machine costs an election.
    #[must_use]
    pub const fn fast() -> Self {
        Self { heartbeat_ms: 60, election_min_ms: 200, election_max_ms: 260, ..Self::shard() }
    }

    /// For nodes in several places with up to about 100 ms between them: about 2.5 s.
    #[must_use]
    pub const fn wide_area() -> Self {
        Self { heartbeat_ms: 250, election_min_ms: 1000, election_max_ms: 1300, ..Self::shard() }
    }

    /// For the meta group: slower to judge, since nothing waits for it.
    #[must_use]
    pub const fn meta() -> Self {
        Self { election_min_ms: 500, election_max_ms: 700, ..Self::shard() }
    }

    /// The longest silence of a leader that is no loss yet.
    pub(crate) const fn election_max(&self) -> Duration {
        Duration::from_millis(self.election_max_ms)
    }

    /// What the timing must satisfy for a healthy leader never to be taken for a lost one.
    ///
    /// # Errors
    /// [`Fault::Options`] with what is wrong and what would be right.
    pub fn check(&self) -> Result<(), Fault> {
        if self.heartbeat_ms < HEARTBEAT_MS_MIN {
            return Err(Fault::Options(format!(
                "a heartbeat each {} ms: should be at least {HEARTBEAT_MS_MIN} ms",
                self.heartbeat_ms
            )));
        }
        // One heartbeat may be held back by the shortest pause between two, and is seen at a tick.
        let tick = (self.heartbeat_ms * 13 / 64).max(BEAT_MS);
        let least = 2 * self.heartbeat_ms + tick;
        if self.election_min_ms <= least {
            return Err(Fault::Options(format!(
                "election of at least {} ms with a heartbeat each {} ms: should be more than twice \
                 the heartbeat and a tick, {least} ms",
                self.election_min_ms, self.heartbeat_ms,
            )));
        }
        if self.election_max_ms <= self.election_min_ms {
            return Err(Fault::Options(format!(
                "election after {}..{} ms: should have an end after its beginning, so that two \
                 replicas seldom stand at once",
                self.election_min_ms, self.election_max_ms,
            )));
        }
        Ok(())
    }

    pub(crate) fn config(&self, group: GroupId) -> Result<Arc<Config>, Fault> {
        self.check()?;
        let config = Config {
            cluster_name: group.to_string(),
            heartbeat_interval: self.heartbeat_ms,
            heartbeat_min_interval: Some(self.heartbeat_ms),
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            enable_pre_vote: Some(true),
            // A leader that restarts must be elected again: resuming its term could acknowledge
            // two different entries under one place.
            enable_leader_restore: Some(false),
            quorum_loss_probe_interval: Some(2 * self.election_max_ms + self.heartbeat_ms),
            snapshot_policy: SnapshotPolicy::Never,
            install_snapshot_timeout: SNAPSHOT_PIECE_MS_MAX,
            // What is kept is decided in `Group::checkpointed`, by entries and by bytes.
            max_in_snapshot_log_to_keep: u64::MAX,
            max_payload_entries: REPLICATE_ENTRIES_MAX,
            max_append_entries: Some(APPEND_ENTRIES_MAX),
            replication_lag_threshold: REPLICATION_LAG_MAX,
            api_channel_size: Some(GROUP_REQUESTS_MAX),
            notification_channel_size: Some(NOTICES_MAX),
            state_machine_channel_size: Some(APPLY_COMMANDS_MAX),
            backoff: "50ms 100ms 200ms ...1s".into(),
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(|e| Fault::Options(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_hold_and_what_would_depose_a_healthy_leader_is_refused() {
        let shard = GroupOptions::shard();
        let profiles =
            [GroupOptions::fast(), shard.clone(), GroupOptions::wide_area(), GroupOptions::meta()];
        for profile in profiles {
            profile.config(GroupId::META).unwrap();
        }
        for (wrong, word) in [
            (GroupOptions { heartbeat_ms: 4, ..shard.clone() }, "at least 20 ms"),
            (GroupOptions { election_min_ms: 220, ..shard.clone() }, "twice the heartbeat"),
            (GroupOptions { election_max_ms: 300, ..shard }, "stand at once"),
        ] {
            let fault = wrong.config(GroupId::META).unwrap_err().to_string();
            assert!(fault.contains(word), "{fault}");
        }
    }
}
