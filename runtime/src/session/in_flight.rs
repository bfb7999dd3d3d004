//! A session's numbered messages that wait for their answers, and since when.

use std::collections::VecDeque;
use std::sync::Arc;

use super::intake::Intake;

/// See the module. Counted by the endpoint's [`Intake`] for as long as they wait.
pub(crate) struct InFlight {
    /// Number, and microseconds when it came.
    waiting: VecDeque<(u64, u64)>,
    intake: Arc<Intake>,
}

impl InFlight {
    pub(crate) const fn new(intake: Arc<Intake>) -> Self {
        Self { waiting: VecDeque::new(), intake }
    }

    /// A message came.
    pub(crate) fn add(&mut self, seq: u64, now_us: u64) {
        self.waiting.push_back((seq, now_us));
        self.intake.add();
    }

    /// It and those before it are answered; since when it waited.
    pub(crate) fn answered(&mut self, seq: u64) -> Option<u64> {
        let answered = self.waiting.iter().take_while(|(number, _)| *number <= seq).count();
        let last = self.waiting.drain(..answered).next_back();
        self.removed(answered);
        last.filter(|(number, _)| *number == seq).map(|(_, came_us)| came_us)
    }

    /// It is refused, and it alone.
    pub(crate) fn refused(&mut self, seq: u64) {
        let before = self.waiting.len();
        self.waiting.retain(|(number, _)| *number != seq);
        self.removed(before - self.waiting.len());
    }

    fn removed(&mut self, count: usize) {
        self.intake.remove(count);
        if self.waiting.is_empty() {
            // An idle session keeps no buffer: there are very many of them.
            self.waiting.shrink_to_fit();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.intake.remove(self.waiting.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_refused_or_dropped_is_counted_no_more() {
        let intake = Intake::new(1);
        let mut one = InFlight::new(Arc::clone(&intake));
        for seq in 1..=5 {
            one.add(seq, seq * 10);
        }
        assert_eq!(intake.on_the_way(), 5);
        assert_eq!(one.answered(2), Some(20));
        assert_eq!(one.answered(2), None, "once only");
        one.refused(4);
        assert_eq!(intake.on_the_way(), 2);
        assert_eq!(one.answered(4), None, "3 is over with it");
        assert_eq!(intake.on_the_way(), 1);
        drop(one);
        assert_eq!(intake.on_the_way(), 0);
    }
}
