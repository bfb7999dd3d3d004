//! Whether a call that failed is made again, when, and where: decided here, done by [`crate::Client`].
//!
//! A call is made again only where that cannot do its work twice: of most refusals nodes say that nothing was done,
//! reads do nothing, and writes carry an idempotency key that is the same in every attempt.

use std::error::Error as _;
use std::time::Duration;

use pollux_proto::status;
use pollux_twin::Rejection;
use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};
use crate::limits::{ATTEMPTS_MAX, BACKOFF, BACKOFF_MAX, BROKEN_MAX, PAUSE_MAX};

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing; it may always be repeated.
    Read,
    /// Something that is recognised when it is repeated: by its key, or because it is there already.
    Recognised(String),
    /// Something that may be done twice if it is repeated.
    Once,
}

/// How an attempt failed.
#[derive(Clone, Debug)]
enum Failure {
    /// It may or may not have done its work.
    NoAnswer,
    /// The same, over a connection that ended as nodes' do not.
    Broken,
    /// Nothing was done.
    Refused { kind: ErrorKind, retry_after: Option<Duration>, elsewhere: bool },
}

/// Make the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) pause: Duration,
    /// Whether at another node.
    pub(crate) elsewhere: bool,
}

/// The attempts of one call. Times are those since the first one began.
#[derive(Debug)]
pub(crate) struct Attempts {
    patience: Duration,
    nodes: u32,
    work: Work,
    failed: u32,
    broken: u32,
    /// What was not answered may still have been done, whatever a later attempt is told.
    unsure: bool,
}

impl Attempts {
    pub(crate) const fn new(patience: Duration, nodes: u32, work: Work) -> Self {
        Self { patience, nodes, work, failed: 0, broken: 0, unsure: false }
    }

    /// For how long the next attempt waits: leaves room for another node, where there is one.
    pub(crate) fn patience(&self, elapsed: Duration) -> Duration {
        let left = self.patience.saturating_sub(elapsed).max(Duration::from_millis(1));
        if self.nodes > 1 && self.work != Work::Once { left / 2 } else { left }
    }

    /// What comes after a failed attempt: another one, or an error. `chance` is between 0 and 1.
    pub(crate) fn next(
        &mut self,
        status: Status,
        elapsed: Duration,
        chance: f64,
    ) -> Result<Again, Error> {
        self.failed += 1;
        let failure = failure(&status);
        let again = match &failure {
            Failure::Refused { retry_after, elsewhere, .. } => retry_after
                .filter(|pause| *pause <= PAUSE_MAX)
                .map(|pause| Again { pause, elsewhere: *elsewhere }),
            Failure::NoAnswer | Failure::Broken => {
                self.unsure = true;
                self.broken += u32::from(matches!(failure, Failure::Broken));
                let may = self.work != Work::Once && self.broken < BROKEN_MAX;
                may.then(|| self.backoff(chance))
            }
        };
        let again = again.filter(|again| {
            self.failed < ATTEMPTS_MAX && elapsed.saturating_add(again.pause) < self.patience
        });
        again.ok_or_else(|| self.error(&failure, status))
    }

    fn backoff(&self, chance: f64) -> Again {
        let (round, place) = (self.failed / self.nodes, self.failed % self.nodes);
        if place != 0 {
            return Again { pause: Duration::ZERO, elsewhere: true };
        }
        let doubled = BACKOFF * 2_u32.pow(round.saturating_sub(1).min(16));
        let pause = doubled.min(BACKOFF_MAX).mul_f64(0.5 + chance / 2.0);
        Again { pause, elsewhere: true }
    }

    fn error(&self, failure: &Failure, status: Status) -> Error {
        let changes = self.work != Work::Read;
        let kind = match failure {
            Failure::Broken if self.failed == self.broken => ErrorKind::Failed,
            Failure::NoAnswer | Failure::Broken if changes => ErrorKind::Unknown,
            Failure::NoAnswer | Failure::Broken => ErrorKind::Unreachable,
            Failure::Refused { retry_after: Some(_), .. } if self.unsure && changes => {
                ErrorKind::Unknown
            }
            Failure::Refused { kind, .. } => kind.clone(),
        };
        let is_unknown = kind == ErrorKind::Unknown;
        match &self.work {
            Work::Recognised(key) if is_unknown => Error::of(kind, status).with_key(key),
            _ => Error::of(kind, status),
        }
    }
}

/// What a call fails with that changes something and is made once.
pub(crate) fn failed_once(status: Status) -> Error {
    Attempts::new(Duration::ZERO, 1, Work::Once).error(&failure(&status), status)
}

/// What the status of a failed attempt means.
fn failure(status: &Status) -> Failure {
    let refused = |kind, retry_after, elsewhere| Failure::Refused { kind, retry_after, elsewhere };
    if let Some(rejection) = status::from_status(status) {
        let pause = status::row(&rejection).retry_after_ms;
        let pause = pause.map(|ms| Duration::from_millis(ms.into()));
        return match rejection {
            Rejection::Unknown => Failure::NoAnswer,
            Rejection::NotOwner | Rejection::Behind => {
                refused(ErrorKind::Rejected(rejection), pause, true)
            }
            _ => refused(ErrorKind::Rejected(rejection), pause, false),
        };
    }
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Failure::NoAnswer,
        // Of these, those that have a cause were made here and came over no wire.
        Code::Unknown | Code::Internal if status.source().is_some() => Failure::Broken,
        // What is no twin is named in words alone.
        Code::NotFound => refused(ErrorKind::Rejected(Rejection::NotFound), None, false),
        Code::Aborted => refused(ErrorKind::TakenOver, None, false),
        _ => refused(ErrorKind::Failed, None, false),
    }
}

#[cfg(test)]
mod tests {
    use pollux_twin::change::Section;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn keyed(nodes: u32) -> Attempts {
        Attempts::new(PATIENCE, nodes, Work::Recognised("k".into()))
    }

    fn refusal(rejection: &Rejection) -> Status {
        status::to_status(rejection)
    }

    fn gone() -> Status {
        Status::unavailable("gone")
    }

    #[test]
    fn what_is_refused_for_good_is_not_tried_again() {
        let mismatch =
            Rejection::VersionMismatch { section: Some(Section::Tags), expected: 1, actual: 2 };
        let error = keyed(2).next(refusal(&mismatch), ms(0), 0.0).unwrap_err();
        assert_eq!(error.rejection(), Some(&mismatch));
        assert_eq!(error.reason(), Some("version_mismatch"));
        let kind = |status| keyed(2).next(status, ms(0), 0.0).unwrap_err().kind().clone();
        assert_eq!(
            kind(Status::not_found("no policy p")),
            ErrorKind::Rejected(Rejection::NotFound)
        );
        assert_eq!(kind(Status::aborted("another")), ErrorKind::TakenOver);
        assert_eq!(kind(Status::internal("oh")), ErrorKind::Failed);
    }

    #[test]
    fn what_passes_is_tried_again_after_the_pause_that_was_asked_for() {
        let busy = |retry_after_ms| refusal(&Rejection::Overloaded { retry_after_ms });
        let again = Again { pause: ms(300), elsewhere: false };
        assert_eq!(keyed(1).next(busy(300), ms(0), 0.0).unwrap(), again);
        // Where a repetition is not recognised, too: nothing was done.
        let mut once = Attempts::new(PATIENCE, 1, Work::Once);
        assert_eq!(once.next(busy(300), ms(0), 0.0).unwrap(), again);
        let late = keyed(1).next(busy(300), ms(9_800), 0.0).unwrap_err();
        assert_eq!(late.retry_after(), Some(ms(300)));
        assert!(keyed(1).next(busy(60_000), ms(0), 0.0).is_err(), "a long pause is the caller's");
        let moved = keyed(2).next(refusal(&Rejection::NotOwner), ms(0), 0.0).unwrap();
        assert!(moved.elsewhere);
    }

    #[test]
    fn what_is_not_answered_is_tried_elsewhere_if_it_may_be() {
        let mut attempts = keyed(3);
        let pauses = [0, 0, 50, 0, 0, 100];
        for pause in pauses {
            let again = attempts.next(gone(), ms(0), 1.0).unwrap();
            assert_eq!(again, Again { pause: ms(pause), elsewhere: true });
        }
        let once = Attempts::new(PATIENCE, 3, Work::Once).next(gone(), ms(0), 0.0).unwrap_err();
        assert_eq!((once.kind(), once.idempotency_key()), (&ErrorKind::Unknown, None));
        let late = keyed(1).next(gone(), ms(9_990), 1.0).unwrap_err();
        assert_eq!((late.kind(), late.idempotency_key()), (&ErrorKind::Unknown, Some("k")));
        let mut read = Attempts::new(PATIENCE, 1, Work::Read);
        let late = read.next(gone(), ms(9_990), 1.0).unwrap_err();
        assert_eq!(late.kind(), &ErrorKind::Unreachable);
        let unsaid = refusal(&Rejection::Unknown);
        assert!(
            keyed(1).next(unsaid, ms(0), 0.0).is_ok(),
            "a node that does not know is no answer"
        );
    }

    #[test]
    fn a_write_that_may_have_been_done_is_not_said_to_be_refused() {
        let mut attempts = keyed(1);
        attempts.next(gone(), ms(0), 1.0).unwrap();
        let busy = refusal(&Rejection::Overloaded { retry_after_ms: 60_000 });
        let error = attempts.next(busy, ms(1_000), 1.0).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unknown);
    }

    #[test]
    fn what_is_no_node_is_not_asked_for_long() {
        let broken = || Status::from_error(Box::new(std::fmt::Error));
        let mut attempts = keyed(1);
        assert!(attempts.next(broken(), ms(0), 0.0).is_ok());
        assert!(attempts.next(broken(), ms(0), 0.0).is_ok());
        assert_eq!(attempts.next(broken(), ms(0), 0.0).unwrap_err().kind(), &ErrorKind::Failed);
    }

    #[test]
    fn an_attempt_leaves_time_for_another_node() {
        assert_eq!(keyed(2).patience(ms(0)), ms(5_000));
        assert_eq!(keyed(1).patience(ms(4_000)), ms(6_000));
        assert_eq!(keyed(1).patience(ms(40_000)), ms(1));
        assert_eq!(Attempts::new(PATIENCE, 2, Work::Once).patience(ms(0)), PATIENCE);
    }
}
