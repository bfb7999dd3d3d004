//! Known bugs, put back into the world's drivers one at a time: the invariants must find each.

/// What the drivers do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    None,
    /// Outputs leave when they are decided, not when their batch took effect (safety rule 2).
    ReleasesEarly,
    /// Replicas apply every batch, whatever its generation and number (safety rule 1).
    IgnoresFence,
    /// Marks of idempotency keys do not survive a restart (safety rule 15).
    ForgetsKeys,
    /// Numbers of device messages do not survive a restart (safety rule 12).
    ForgetsNumbers,
    /// An entry counts as committed when it is written, before the fsync (safety rule 21).
    SkipsSync,
    /// Sessions of an earlier opening are never ended (safety rule 18).
    ForgetsPresence,
    /// The log is purged a little beyond the checkpoint (safety rule 21).
    PurgesTooFar,
    /// A leader takes for committed what only its own disk has (safety rule 2).
    CommitsAlone,
    /// The fence looks at generation and number, not at the epoch (safety rules 1, 4).
    IgnoresEpoch,
    /// Followers apply changes without the marks that make a repetition known (safety rules 12, 15).
    MarksStayHome,
    /// An owner answers reads without asking whether it still leads (safety rules 3, 6).
    AnswersIsolated,
    /// A follower acknowledges what is not yet on its disk.
    AcksBeforeSync,
    /// A state for another replica says that it stands for what was applied when it was taken whole,
    /// not when it was begun (safety rule 21).
    MislabelsState,
}
