//! What a reader of a twin sees.

use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use super::{DesiredAcked, Document, Latest, Life, SectionState, Twin};
use crate::change::{Command, Section};
use crate::index::{IndexPath, Scalar};
use crate::patch::delta;
use crate::time::Time;
use crate::value::Value;

/// Everything a reader of a twin sees.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Whether it is absent, alive or deleted.
    pub life: Life,
    /// Whether it broke an invariant and was set aside.
    pub quarantined: bool,
    /// Version of the whole: goes up with each change of a section and with a deletion.
    pub version: u64,
    /// Written by services, never seen by the device.
    pub tags: SectionView,
    /// Written by services, read by the device.
    pub desired: SectionView,
    /// Written by the device.
    pub reported: SectionView,
    /// What `desired` asks and `reported` does not yet show.
    pub delta: Value,
    /// What the device did with a desired version, the newest it spoke of.
    pub desired_acked: Option<DesiredAcked>,
    /// Latest telemetry, by name.
    pub telemetry: Vec<TelemetryView>,
    /// The device's connection.
    pub presence: Presence,
    /// Live commands and the last finished ones, by id.
    pub commands: Vec<Command>,
}

/// One section.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct SectionView {
    /// Goes up by one with each change.
    pub version: u64,
    /// When it last changed.
    pub at: Time,
    /// Who changed it last: `device`, or a service's name. Empty if nobody did.
    pub by: String,
    /// The content, an object.
    pub value: Value,
    /// When each leaf last changed, in document order.
    pub times: Vec<LeafTime>,
}

/// When a leaf of a section last changed.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct LeafTime {
    /// Where it is, as a JSON pointer (RFC 6901).
    pub path: String,
    /// The shard's time.
    pub at: Time,
    /// The device's own time, if it said one.
    pub observed_at: Option<Time>,
}

/// The latest value of one telemetry name.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct TelemetryView {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: Value,
    /// When it came.
    pub at: Time,
    /// The device's own time, if it said one.
    pub observed_at: Option<Time>,
    /// If it came as a datagram, in which session: not logged, lost with the actor (safety rule 18).
    pub volatile: Option<u64>,
}

/// The device's connection, as the log knows it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Epoch of the current session, if the device is connected.
    pub session: Option<u64>,
    /// That session began under an owner before this one, and nothing came of it since: it may be
    /// gone (safety rule 18).
    pub unknown: bool,
    /// Node of the current or the last session.
    pub node: u64,
    /// When the current session began, or the last one ended. Zero if there was none.
    pub since: Time,
    /// When the device's last numbered message was taken, or its session began.
    pub seen: Time,
}

impl Twin {
    /// Everything a reader sees, datagram telemetry included.
    pub fn view(&self) -> View {
        let document = self.document();
        let [tags, desired, reported] = [Section::Tags, Section::Desired, Section::Reported]
            .map(|section| section_view(document.section(section)));
        View {
            life: self.life,
            quarantined: self.quarantined,
            version: self.version,
            delta: delta(&desired.value, &reported.value),
            tags,
            desired,
            reported,
            desired_acked: self.desired_acked.clone(),
            telemetry: self.telemetry_view(&document),
            presence: Presence {
                session: self.session(),
                unknown: false,
                node: self.session.node,
                since: self.session.since,
                seen: self.session.seen,
            },
            commands: self.commands.clone(),
        }
    }

    /// The content of one section.
    pub fn section(&self, section: Section) -> Value {
        self.document().section(section).tree.to_value()
    }

    /// What stands at a path into a section, if it is a scalar.
    pub(crate) fn scalar(&self, path: &IndexPath) -> Option<Scalar> {
        self.document().section(path.section).tree.scalar(&path.names)
    }

    /// The version of one section.
    pub fn section_version(&self, section: Section) -> u64 {
        self.document().section(section).version
    }

    fn telemetry_view(&self, document: &Document) -> Vec<TelemetryView> {
        let view = |name: &String, latest: &Latest, volatile: Option<u64>| TelemetryView {
            name: name.clone(),
            value: latest.value.clone(),
            at: latest.at,
            observed_at: latest.observed_at,
            volatile,
        };
        let volatile = &self.local.volatile;
        let logged = document.telemetry.iter().filter(|(name, _)| !volatile.contains_key(*name));
        let mut all: Vec<_> = logged.map(|(name, latest)| view(name, latest, None)).collect();
        all.extend(
            volatile.iter().map(|(name, (session, latest))| view(name, latest, Some(*session))),
        );
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn section_view(section: &SectionState) -> SectionView {
    let mut times = Vec::new();
    section.tree.for_each_leaf(&mut |path, stamp| {
        times.push(LeafTime { path: path.into(), at: stamp.at, observed_at: stamp.observed_at });
    });
    SectionView {
        version: section.version,
        at: section.at,
        by: section.by.clone(),
        value: section.tree.to_value(),
        times,
    }
}
