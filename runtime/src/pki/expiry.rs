//! When certificates end: told by metrics at any time, and in the log while there is still time to act.
//! Nothing is renewed here; who reads it is told what does.

use std::path::Path;
use std::sync::Arc;

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{CLUSTER_CA, DEVICE_CA, PkiError, SERVER_CA, files};
use crate::limits::EXPIRY_WARN_MS;
use crate::metrics::Metrics;

/// A certificate that this node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The CA by which nodes know each other.
    ClusterCa,
    /// The CA by which devices know nodes.
    ServerCa,
    /// The CA by which nodes know devices.
    DeviceCa,
    /// What the node shows to others.
    Node,
    /// What it shows to devices.
    Server,
    /// What it shows to services.
    Services,
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
            Self::Services => "services",
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
            Self::Node => (
                "the node's certificate for other nodes",
                "the node renews it by itself while the CA's key is in pki/ of its data directory",
            ),
            Self::Server => (
                "the node's certificate for devices",
                "renew the files devices.cert and devices.key, which the node takes by itself",
            ),
            Self::Services => (
                "the node's certificate for services",
                "renew the files services.cert and services.key, which the node takes by itself",
            ),
        }
    }
}

/// When the certificates end that a node depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiry {
    ends: Arc<[(What, Time)]>,
}

impl Expiry {
    /// Of the CAs in a `pki/` folder, and of what the node shows.
    pub(super) fn of(dir: &Path, shown: &[(What, CertificateDer<'_>)]) -> Result<Self, PkiError> {
        let ends = shown.iter().map(|(what, one)| validity(one).map(|(_, end)| (*what, end)));
        let mut ends: Vec<_> = ends.collect::<Result<_, _>>()?;
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
                let first = files::read_chain(&path)?.into_iter().next();
                ends.extend(first.map(|ca| validity(&ca)).transpose()?.map(|(_, end)| (what, end)));
            }
        }
        Ok(Self { ends: ends.into() })
    }

    /// What ends soon, or has ended, as sentences for people.
    pub(super) fn alarms(&self, now: Time) -> Vec<String> {
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

    /// Keeps the metrics.
    pub(super) fn count(&self, metrics: &Metrics) {
        for (what, end) in self.ends.iter() {
            let seconds = i64::try_from(end.ms / 1000).unwrap_or(i64::MAX);
            metrics.certificate_end_timestamp_seconds.of(what.name()).set(seconds);
        }
    }
}

const DAY_MS: u64 = 24 * 3600 * 1000;

/// From when until when a certificate is valid.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Result<(Time, Time), PkiError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PkiError::Unreadable(error.to_string()))?;
    let time = |at: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
        Time::from_ms(seconds.saturating_mul(1000))
    };
    let validity = parsed.validity();
    Ok((time(validity.not_before), time(validity.not_after)))
}

/// Why a certificate does not do now, if it does not.
pub(super) fn unfit(
    certificate: &CertificateDer<'_>,
    now: Time,
) -> Result<Option<String>, PkiError> {
    let (begin, end) = validity(certificate)?;
    Ok(match now.ms {
        ms if ms > end.ms => Some(format!("it ended {} days ago", (ms - end.ms) / DAY_MS)),
        ms if ms < begin.ms => {
            Some(format!("it is valid in {} minutes only", (begin.ms - ms).div_ceil(60_000)))
        }
        _ => None,
    })
}

/// Whether a certificate that the node issues to itself should be issued anew: a third of its time is left.
pub(crate) fn is_old(certificate: &CertificateDer<'_>, now: Time) -> Result<bool, PkiError> {
    let (begin, end) = validity(certificate)?;
    Ok(end.since_ms(now) < end.since_ms(begin) / 3)
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
        let shown =
            [(What::Node, issued.chain()[0].clone()), (What::Server, ca.certificate().clone())];
        let expiry = Expiry::of(dir.path(), &shown).unwrap();
        assert_eq!(expiry.alarms(NOW), Vec::<String>::new());
        let said = expiry.alarms(days(45));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("ends in 15 days: the node renews it"), "{said:?}");
        let said = expiry.alarms(days(90));
        assert_eq!(said.len(), 3, "the CA is shown to devices here: {said:?}");
        assert!(said[0].contains("for other nodes has ended"), "{said:?}");
        assert!(said[2].contains("nodes know each other ends in 10 days"), "{said:?}");
    }

    #[test]
    fn what_is_not_valid_now_is_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open_or_make(dir.path(), CLUSTER_CA, "test CA", NOW, 100).unwrap();
        let one = ca.issue_server(&[], NOW, 60).unwrap().chain()[0].clone();
        let check = |at: Time, expected: Option<&str>| {
            assert_eq!(unfit(&one, at).unwrap().as_deref(), expected);
        };
        check(NOW, None);
        check(days(59), None);
        check(days(62), Some("it ended 2 days ago"));
        // It is issued with a day for clocks that are behind.
        check(Time::from_ms(NOW.ms - DAY_MS - 90_000), Some("it is valid in 2 minutes only"));
        assert!(!is_old(&one, NOW).unwrap() && !is_old(&one, days(39)).unwrap());
        assert!(is_old(&one, days(41)).unwrap() && is_old(&one, days(90)).unwrap());
        assert!(unfit(&CertificateDer::from(vec![1, 2]), NOW).is_err());
    }
}
