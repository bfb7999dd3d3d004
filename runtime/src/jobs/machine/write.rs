//! When parts are written: at once where devices wait for their marks or all are over, a little later otherwise, and
//! one write of a part at a time.

use super::super::limits::FLUSH_MS;
use super::{Machine, Mode, Output, State};

impl Machine {
    /// A part is to be written, some time.
    pub(super) fn plan_write(&mut self, id: u32) {
        let Some(part) = self.open.get(&id) else { return };
        if part.left == 0 {
            self.urgent.insert(id);
        } else if let Some(since) = part.dirty_ms {
            self.flush.insert((since + FLUSH_MS, id));
        }
    }

    /// Has parts written whose time it is.
    pub(super) fn write(&mut self, now_ms: u64) {
        while let Some((at, id)) = self.flush.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.flush.remove(&(at, id));
            self.urgent.insert(id);
        }
        for id in std::mem::take(&mut self.urgent) {
            let Some(part) = self.open.get_mut(&id) else { continue };
            if part.writing {
                // Looked at again when that is done.
                continue;
            }
            let Some(since) = part.dirty_ms.take() else { continue };
            self.flush.remove(&(since + FLUSH_MS, id));
            part.writing = true;
            part.marking = std::mem::take(&mut part.marked);
            self.out.push_back(Output::Write { part: id });
        }
    }

    /// A part was written: those whose marks were in it are called.
    pub(super) fn written(&mut self, now_ms: u64, id: u32) {
        let Some(part) = self.open.get_mut(&id).filter(|part| part.writing) else { return };
        part.writing = false;
        for n in std::mem::take(&mut part.marking) {
            let place = (id, n);
            let Some(target) = self.target(place) else { continue };
            if target.state != State::Sending {
                continue;
            }
            let attempt = target.attempt;
            match self.mode {
                Mode::Running => self.call(place, attempt),
                // Of one that was called before nobody knows.
                Mode::Paused | Mode::Ending(_) if self.is_clear(place) => {
                    self.unmark(now_ms, place);
                }
                Mode::Paused | Mode::Ending(_) => self.set_due(place, now_ms),
            }
        }
        let Some(part) = self.open.get(&id) else { return };
        if part.dirty_ms.is_none() && part.left == 0 {
            self.close(id);
        } else if !part.marked.is_empty() {
            self.urgent.insert(id);
        } else {
            self.plan_write(id);
        }
    }

    pub(super) fn close(&mut self, id: u32) {
        self.open.remove(&id);
        self.out.push_back(Output::Close { part: id });
    }
}
