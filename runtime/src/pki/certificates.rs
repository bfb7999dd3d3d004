//! The certificates that a node uses while it runs: looks at their files now and then and when it is told, takes
//! what changed, and keeps what was in use where the files do not do. Owns when that is, and what is told of it;
//! what a part is made of, and whether it does, the parts say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::expiry::{Expiry, What};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::limits::EXPIRY_LOOK;
use crate::metrics::Metrics;

/// A part of the node that shows certificates, or accepts others by them.
pub(crate) trait Part: Send + Sync {
    /// Which, in metrics.
    fn name(&self) -> &'static str;

    /// Looks at its files and takes what they hold, if that is something else than it has and it does. Blocks for the
    /// disk. After a fault it has what it had.
    fn look(&self, now: Time) -> Result<Looked, Fault>;

    /// What it shows now.
    fn shown(&self) -> Vec<(What, CertificateDer<'static>)>;
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// All is as before.
    Same,
    /// Something else is used from now on.
    Taken,
}

/// Those of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Certificates {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
    nudge: Arc<Notify>,
}

#[derive(Default)]
struct State {
    parts: Vec<Arc<dyn Part>>,
    /// What is not as it should be, by part, as sentences for people.
    problems: Vec<(&'static str, String)>,
    expiry: Expiry,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Those of a node whose own CAs are in `dir`; parts add themselves.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), state: Arc::default(), nudge: Arc::default() }
    }

    /// From now on a part is looked at, too.
    pub(crate) fn add(&self, part: Arc<dyn Part>) {
        self.state().parts.push(part);
    }

    /// Looks at all files now.
    pub(crate) fn look_soon(&self) {
        self.nudge.notify_one();
    }

    /// What is not as it should be, as sentences for people.
    pub(crate) fn alarms(&self, now: Time) -> Vec<String> {
        let state = self.state();
        let stale = state.problems.iter().map(|(_, problem)| problem.clone());
        stale.chain(state.expiry.alarms(now)).collect()
    }

    /// Looks now, every so often and when it is told, until the node stops.
    pub(crate) async fn run(
        self,
        every: Duration,
        metrics: Arc<Metrics>,
        clock: Clock,
        stop: CancellationToken,
    ) {
        let mut told = clock.elapsed();
        self.tell(&metrics, clock);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
                () = self.nudge.notified() => tracing::info!("files with certificates are looked at"),
            }
            let (own, counted) = (self.clone(), Arc::clone(&metrics));
            // Reading files blocks.
            if tokio::task::spawn_blocking(move || own.look(&counted, clock)).await.is_err() {
                tracing::error!("a look at files with certificates ended before its time");
            }
            if clock.elapsed().saturating_sub(told) >= EXPIRY_LOOK {
                told = clock.elapsed();
                self.tell(&metrics, clock);
            }
        }
    }

    /// Looks at all files.
    fn look(&self, metrics: &Metrics, clock: Clock) {
        let parts = self.state().parts.clone();
        for part in parts {
            let name = part.name();
            let looked = part.look(clock.wall());
            let problem = looked.as_ref().err().map(|why| {
                format!(
                    "files with certificates ({name}) are not taken, and those before stay in use: {why}; mend them, \
                     they are looked at again by themselves and at SIGHUP"
                )
            });
            metrics.certificates_stale.of(name).set(i64::from(problem.is_some()));
            if looked.is_ok_and(|looked| looked == Looked::Taken) {
                tracing::info!(part = name, "other certificates are in use from now on");
                metrics.certificates_taken_total.of(name).inc();
            }
            self.note(name, problem);
        }
        self.refresh(metrics);
    }

    /// Keeps what is not as it should be with a part, and says it where that is news.
    pub(crate) fn note(&self, name: &'static str, problem: Option<String>) {
        let mut state = self.state();
        let before = state.problems.iter().position(|(part, _)| *part == name);
        let before = before.map(|at| state.problems.swap_remove(at).1);
        match problem {
            Some(problem) => {
                if before.as_ref() != Some(&problem) {
                    tracing::warn!(
                        part = name,
                        problem,
                        "certificates or keys are not as they should be"
                    );
                }
                state.problems.push((name, problem));
                state.problems.sort_unstable();
            }
            None if before.is_some() => {
                tracing::info!(part = name, "certificates or keys are as they should be again");
            }
            None => {}
        }
    }

    /// Looks when what is in use ends.
    fn refresh(&self, metrics: &Metrics) {
        let parts = self.state().parts.clone();
        let shown: Vec<_> = parts.iter().flat_map(|part| part.shown()).collect();
        let expiry = match Expiry::of(&self.dir, &shown) {
            Ok(expiry) => expiry,
            // Who needs such a file says so itself.
            Err(error) => return tracing::debug!(%error, "a certificate cannot be read"),
        };
        expiry.count(metrics);
        self.state().expiry = expiry;
    }

    /// Says what ends soon.
    fn tell(&self, metrics: &Metrics, clock: Clock) {
        self.refresh(metrics);
        for alarm in self.state().expiry.alarms(clock.wall()) {
            tracing::warn!(alarm, "a certificate ends soon");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::PkiError;

    /// A part whose file is a word.
    struct Word(Mutex<Result<&'static str, &'static str>>, Mutex<&'static str>);

    impl Part for Word {
        fn name(&self) -> &'static str {
            "services"
        }

        fn look(&self, _now: Time) -> Result<Looked, Fault> {
            let found = *self.0.lock().unwrap();
            let found = found.map_err(|why| PkiError::Tls(why.into()))?;
            let before = std::mem::replace(&mut *self.1.lock().unwrap(), found);
            Ok(if before == found { Looked::Same } else { Looked::Taken })
        }

        fn shown(&self) -> Vec<(What, CertificateDer<'static>)> {
            Vec::new()
        }
    }

    #[test]
    fn what_does_not_do_is_an_alarm_until_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let (certificates, metrics) = (Certificates::new(dir.path()), Metrics::new());
        let part = Arc::new(Word(Mutex::new(Ok("one")), Mutex::new("one")));
        certificates.add(Arc::<Word>::clone(&part));
        let clock = Clock::new();
        let look = |file| {
            *part.0.lock().unwrap() = file;
            certificates.look(&metrics, clock);
            let counted = metrics.certificates_taken_total.of("services").get();
            let stale = metrics.certificates_stale.of("services").get();
            (counted, stale, certificates.alarms(clock.wall()).join("\n"))
        };
        assert_eq!(look(Ok("one")), (0, 0, String::new()));
        assert_eq!(look(Ok("two")), (1, 0, String::new()));
        let (counted, stale, alarms) = look(Err("half a key"));
        assert_eq!((counted, stale, *part.1.lock().unwrap()), (1, 1, "two"));
        assert!(alarms.contains("(services)") && alarms.contains("half a key"), "{alarms}");
        assert_eq!(look(Ok("two")), (1, 0, String::new()));
    }
}
