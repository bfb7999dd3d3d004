//! Each accepted report is applied exactly once and in order; a device that keeps its queue loses
//! none (safety rules 12, 13).

use std::collections::BTreeMap;

use pollux_twin::TwinKey;

use crate::world::judge::{End, Invariant, Seen, Verdict};
use crate::world::truth::Truth;

/// Reports that must be applied in the end, by device; only of those that keep their queue.
#[derive(Default)]
pub(super) struct InOrder(BTreeMap<TwinKey, Vec<u64>>);

impl Invariant for InOrder {
    fn name(&self) -> &'static str {
        "in_order"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Reported { device, id, keeps: true, good: true } => {
                self.0.entry((*device).clone()).or_default().push(*id);
                Ok(())
            }
            Seen::Changed { key, .. } => match truth.past(key).map(|past| &past.reports[..]) {
                Some([.., (before, _), (last, _)]) if before >= last => {
                    Err(format!("{key} has report {last} applied after report {before}"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn end(&mut self, truth: &Truth, end: &End<'_>) -> Verdict {
        for (device, wanted) in &self.0 {
            if end.sessions.get(device).is_none_or(Option::is_none) {
                continue;
            }
            let applied: Vec<u64> = truth
                .past(device)
                .map(|past| past.reports.iter().map(|(id, _)| *id).collect())
                .unwrap_or_default();
            if let Some(lost) = wanted.iter().find(|id| !applied.contains(id)) {
                return Err(format!("{device} kept report {lost} and it was never applied"));
            }
        }
        Ok(())
    }
}
