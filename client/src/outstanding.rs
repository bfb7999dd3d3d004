//! Which events of a subscription are out, and what an acknowledgement of one of them says to the node.

use std::collections::VecDeque;

/// The events of one stream, counted from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    out: VecDeque<(u64, String)>,
    sent: u64,
    done: u64,
}

impl Outstanding {
    /// An event came; its number. Its position may be empty.
    pub(crate) fn came(&mut self, position: &str) -> u64 {
        self.sent += 1;
        if !position.is_empty() {
            self.out.push_back((self.sent, position.to_owned()));
        }
        self.sent
    }

    /// Number of the last event that came.
    pub(crate) const fn newest(&self) -> u64 {
        self.sent
    }

    /// Whether a place that is no event may be acknowledged, since nothing before it is left to be done.
    pub(crate) const fn is_done(&self) -> bool {
        self.done == self.sent
    }

    /// An event, and all before it, are done: the position to acknowledge, if that says anything new. One without a
    /// position is acknowledged with the next that has one.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Option<String> {
        self.done = self.done.max(number);
        let mut position = None;
        while self.out.front().is_some_and(|(of, _)| *of <= number) {
            position = self.out.pop_front().map(|(_, position)| position);
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_names_the_last_position_that_it_covers() {
        let mut out = Outstanding::default();
        for (number, position) in (1..).zip(["p1", "", "p3", ""]) {
            assert_eq!(out.came(position), number);
        }
        assert!(!out.is_done());
        assert_eq!(out.acknowledge(2), Some("p1".to_owned()));
        assert_eq!(out.acknowledge(1), None, "that was said");
        assert_eq!(out.acknowledge(4), Some("p3".to_owned()));
        assert!(out.is_done());
    }
}
