//! Clusters of real processes under faults, one history of every call held against the rules of `pollux_tests::history`;
//! and as they are operated.

mod authority;
mod backup;
mod disks;
mod forming;
mod frozen;
mod kills;
mod operating;
mod partitions;
mod recover;
mod relay;
mod restarts;
mod strangers;
mod subscriptions;
mod watches;
