//! When certificates end: told by metrics at any time, and in the log while there is still time to act.
//! Nothing is renewed here; who reads it is told what does.

use std::path::Path;
use std::sync::Arc;

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{CLUSTER_CA, DEVICE_CA, PkiError, SERVER_CA, files};
use crate::clock::Clock;
use crate::limits::{EXPIRY_LOOK, EXPIRY_WARN_MS};
use crate::metrics::Metrics;

/// A certificate that this node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    ClusterCa,
    ServerCa,
    DeviceCa,
    Node,
    Server,
}

impl What {
    /// Its name in the metric.
    const fn name(self) -> &'static str {
        match self {
            Self::ClusterCa => CLUSTER_CA,
            Self::ServerCa => SERVER_CA,
            Self::DeviceCa => DEVICE_CA,
            Self::Node => "node",
            Self::Server => "server",
        }
    }

    /// What it is for, and what to do before it ends.
    const fn step(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterCa => (
                "the CA by which nodes know each other",
                "replace it with `pollux cluster ca rotate`",
            ),
            Self::ServerCa => (
                "the CA by which devices know nodes",
                "afterwards devices refuse all nodes: give them the next one first",
            ),
            Self::DeviceCa => (
                "the CA by which nodes know devices",
                "afterwards devices are refused: name a further CA with devices.ca, and issue anew",
            ),
            Self::Node => ("the node's certificate for other nodes", "restart the node"),
            Self::Server => (
                "the node's certificate for devices",
                "restart the node, or renew the files of devices.tls",
            ),
        }
    }
}

/// When the certificates end that a node depends on.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    ends: Arc<[(What, Time)]>,
}

impl Expiry {
    /// Of the CAs in a `pki/` folder, and of what the node shows to others and to devices.
    pub(crate) fn of(
        dir: &Path,
        node: &CertificateDer<'_>,
        server: &CertificateDer<'_>,
    ) -> Result<Self, PkiError> {
        let mut ends = vec![(What::Node, end(node)?), (What::Server, end(server)?)];
        ends.extend(Self::of_authorities(dir)?.ends.iter());
        Ok(Self { ends: ends.into() })
    }

    /// Of the CAs in a `pki/` folder alone.
    pub(super) fn of_authorities(dir: &Path) -> Result<Self, PkiError> {
        let mut ends = Vec::new();
        for what in [What::ClusterCa, What::ServerCa, What::DeviceCa] {
            let path = dir.join(format!("{}.pem", what.name()));
            // Where CAs of one's own are configured there may be none here.
            if path.exists() {
                ends.extend(
                    files::read_chain(&path)?.first().map(end).transpose()?.map(|at| (what, at)),
                );
            }
        }
        Ok(Self { ends: ends.into() })
    }

    /// What ends soon, or has ended, as sentences for people.
    pub(crate) fn alarms(&self, now: Time) -> Vec<String> {
        let soon = self.ends.iter().filter(|(_, end)| end.ms < now.ms + EXPIRY_WARN_MS);
        let told = soon.map(|(what, end)| {
            let (name, step) = what.step();
            match end.since_ms(now) / DAY_MS {
                0 if end.ms <= now.ms => format!("{name} has ended: {step}"),
                days => format!("{name} ends in {days} days: {step}"),
            }
        });
        told.collect()
    }

    /// Keeps the metrics, and says what ends soon, at once and once a day, until the node stops.
    pub(crate) async fn watch(self, metrics: Arc<Metrics>, clock: Clock, stop: CancellationToken) {
        for (what, end) in self.ends.iter() {
            let seconds = i64::try_from(end.ms / 1000).unwrap_or(i64::MAX);
            metrics.certificate_end_timestamp_seconds.of(what.name()).set(seconds);
        }
        loop {
            for alarm in self.alarms(clock.wall()) {
                tracing::warn!(alarm, "a certificate ends soon");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EXPIRY_LOOK) => {}
            }
        }
    }
}

const DAY_MS: u64 = 24 * 3600 * 1000;

/// When a certificate ends.
fn end(certificate: &CertificateDer<'_>) -> Result<Time, PkiError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Time::from_ms(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    fn days(days: u64) -> Time {
        Time::from_ms(NOW.ms + days * DAY_MS)
    }

    #[test]
    fn what_ends_soon_is_told_with_the_step_to_take() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open_or_make(dir.path(), CLUSTER_CA, "test CA", NOW, 100).unwrap();
        let issued = ca.issue_server(&[], NOW, 60).unwrap();
        let expiry = Expiry::of(dir.path(), &issued.chain()[0], ca.certificate()).unwrap();
        assert_eq!(expiry.alarms(NOW), Vec::<String>::new());
        let said = expiry.alarms(days(45));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("ends in 15 days: restart the node"), "{said:?}");
        let said = expiry.alarms(days(90));
        assert_eq!(said.len(), 3, "the CA is shown to devices here: {said:?}");
        assert!(said[0].contains("for other nodes has ended"), "{said:?}");
        assert!(said[2].contains("nodes know each other ends in 10 days"), "{said:?}");
    }
}
