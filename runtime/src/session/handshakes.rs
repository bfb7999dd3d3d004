//! Which arriving connection begins its handshake, and when: as many are under way as the CPU gives
//! while devices that have a session go on being served. Pure; connections, timer and counters are
//! driven by `arrivals`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{
    BUSY_RETRY_MS, BUSY_RETRY_MS_MAX, HANDSHAKE_WAIT_MS_MAX, HANDSHAKES_FIRST_PER_CORE,
    HANDSHAKES_GROWTH, HANDSHAKES_MIN_PER_CORE, HANDSHAKES_WAITING_TIMES, LATE_MS_CALM,
    LATE_MS_MAX,
};

/// Between what the number of handshakes under way may move, and how many more may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) least: usize,
    pub(crate) first: usize,
    pub(crate) most: usize,
    pub(crate) waiting: usize,
}

impl Bounds {
    /// For a machine with so many cores, of which an operator wants `most` at the most.
    pub(crate) fn new(cores: usize, most: usize) -> Self {
        Self {
            least: cores.saturating_mul(HANDSHAKES_MIN_PER_CORE).min(most),
            first: cores.saturating_mul(HANDSHAKES_FIRST_PER_CORE).min(most),
            most,
            waiting: most.saturating_mul(HANDSHAKES_WAITING_TIMES),
        }
    }
}

/// What is known of a device before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Nothing: the address may be a forged one.
    Unproven,
    /// It has answered from the address that it names.
    Proven,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Input<T> {
    /// A connection has arrived; `full` if the node has no room for its session.
    Arrived { connection: T, sender: Sender, full: bool },
    /// A handshake that was begun is over, however it ended.
    Ended,
    /// A task ran so much later than it was to.
    Pulse { late: Duration },
}

/// What is to be done, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output<T> {
    /// Begin the handshake; [`Input::Ended`] must follow.
    Begin(T),
    /// Let the sender prove its address and forget it until then.
    Prove(T),
    /// Refuse it.
    Refuse(T),
}

/// The machine. Its one deadline is the next pulse.
#[derive(Debug)]
pub(crate) struct Handshakes<T> {
    bounds: Bounds,
    max: usize,
    under_way: usize,
    /// With when they came, oldest first. Only while as many are under way as may be.
    waiting: VecDeque<(Duration, T)>,
    /// Whether more could have been under way since the last pulse: without that, calm says nothing.
    reached: bool,
    outputs: VecDeque<Output<T>>,
}

impl<T> Handshakes<T> {
    /// Nothing under way.
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            max: bounds.first,
            under_way: 0,
            waiting: VecDeque::new(),
            reached: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub(crate) fn handle(&mut self, now: Duration, input: Input<T>) {
        match input {
            Input::Arrived { connection, sender, full } => {
                self.arrived(now, connection, sender, full);
            }
            Input::Ended => self.under_way = self.under_way.saturating_sub(1),
            Input::Pulse { late } => self.adapt(late),
        }
        self.go_on(now);
    }

    /// What is to be done next.
    pub(crate) fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// Whether something is to be done.
    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Handshakes under way.
    pub(crate) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Connections that wait for theirs.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many may be under way now.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// When a device for which there is no room may come again: the later, the more are coming.
    pub(crate) fn retry_after_ms(&self) -> u32 {
        let part = |of: usize, all: usize| of.min(all) * 50 / all.max(1);
        let percent =
            part(self.under_way, self.max) + part(self.waiting.len(), self.bounds.waiting);
        let more = (BUSY_RETRY_MS_MAX - BUSY_RETRY_MS) / 100;
        BUSY_RETRY_MS + more * u32::try_from(percent).unwrap_or(100)
    }

    fn arrived(&mut self, now: Duration, connection: T, sender: Sender, full: bool) {
        let line_is_full = self.waiting.len() >= self.bounds.waiting;
        let output = if self.is_pressed() && (full || line_is_full) {
            Output::Refuse(connection)
        } else if self.is_pressed() && sender == Sender::Unproven {
            Output::Prove(connection)
        } else {
            // Its turn may be now.
            self.waiting.push_back((now, connection));
            return;
        };
        self.outputs.push_back(output);
    }

    /// Whether half of the turns are taken: the others are for those that have proven their address,
    /// so that forged ones never take all.
    const fn is_pressed(&self) -> bool {
        self.under_way * 2 >= self.max
    }

    fn adapt(&mut self, late: Duration) {
        if late >= Duration::from_millis(LATE_MS_MAX) {
            self.max = (self.max - self.max / 4).max(self.bounds.least);
        } else if self.reached && late < Duration::from_millis(LATE_MS_CALM) {
            self.max = (self.max + HANDSHAKES_GROWTH).min(self.bounds.most);
        }
        self.reached = false;
    }

    /// Lets in whose turn it is, and refuses who has waited for too long: nobody may be there any more.
    fn go_on(&mut self, now: Duration) {
        let patience = Duration::from_millis(HANDSHAKE_WAIT_MS_MAX);
        while let Some((since, _)) = self.waiting.front() {
            let is_late = now.saturating_sub(*since) > patience;
            if !is_late && self.under_way >= self.max {
                break;
            }
            let Some((_, connection)) = self.waiting.pop_front() else { break };
            self.outputs.push_back(if is_late {
                Output::Refuse(connection)
            } else {
                self.under_way += 1;
                Output::Begin(connection)
            });
        }
        self.reached |= self.under_way >= self.max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { least: 4, first: 16, most: 64, waiting: 8 };
    const CALM: Duration = Duration::ZERO;
    const LATE: Duration = Duration::from_millis(LATE_MS_MAX);

    /// A machine with its outputs as text: `b1` begins, `p1` proves, `r1` refuses.
    struct Desk {
        machine: Handshakes<u32>,
        now_ms: u64,
    }

    impl Desk {
        fn new() -> Self {
            Self { machine: Handshakes::new(BOUNDS), now_ms: 0 }
        }

        fn with(under_way: u32) -> Self {
            let mut desk = Self::new();
            for number in 0..under_way {
                assert_eq!(desk.arrives(number, Sender::Proven), format!("b{number}"));
            }
            desk
        }

        fn handle(&mut self, input: Input<u32>) -> String {
            self.machine.handle(Duration::from_millis(self.now_ms), input);
            let mut text = Vec::new();
            while let Some(output) = self.machine.poll_output() {
                text.push(match output {
                    Output::Begin(number) => format!("b{number}"),
                    Output::Prove(number) => format!("p{number}"),
                    Output::Refuse(number) => format!("r{number}"),
                });
            }
            text.join(" ")
        }

        fn arrives(&mut self, connection: u32, sender: Sender) -> String {
            self.handle(Input::Arrived { connection, sender, full: false })
        }

        fn arrives_full(&mut self, connection: u32) -> String {
            self.handle(Input::Arrived { connection, sender: Sender::Proven, full: true })
        }

        fn pulse(&mut self, late: Duration) -> usize {
            self.handle(Input::Pulse { late });
            self.machine.max()
        }
    }

    #[test]
    fn it_grows_while_it_is_reached_and_calm_up_to_the_most() {
        let mut desk = Desk::new();
        assert_eq!(desk.pulse(CALM), 16, "nobody came: nothing is known");
        let (mut came, mut before) = (0, 16);
        while before < BOUNDS.most {
            while desk.machine.under_way() < desk.machine.max() {
                assert_eq!(desk.arrives(came, Sender::Proven), format!("b{came}"));
                came += 1;
            }
            let max = desk.pulse(CALM);
            assert_eq!(max, (before + HANDSHAKES_GROWTH).min(BOUNDS.most));
            before = max;
        }
        assert_eq!(desk.pulse(CALM), BOUNDS.most);
        let between = Duration::from_millis(LATE_MS_CALM);
        assert_eq!(desk.pulse(between), BOUNDS.most, "neither calm nor late");
    }

    #[test]
    fn it_shrinks_by_a_quarter_when_late_down_to_the_least() {
        let mut desk = Desk::with(16);
        assert_eq!([desk.pulse(LATE), desk.pulse(LATE), desk.pulse(LATE)], [12, 9, 7]);
        for _ in 0..9 {
            desk.pulse(LATE);
        }
        assert_eq!(desk.machine.max(), BOUNDS.least);
        // What is under way goes on; others begin when it has come down.
        assert_eq!(desk.arrives(99, Sender::Proven), "");
        for _ in 0..12 {
            assert_eq!(desk.handle(Input::Ended), "");
        }
        assert_eq!(desk.handle(Input::Ended), "b99");
    }

    #[test]
    fn more_begin_at_once_when_it_has_grown() {
        let mut desk = Desk::with(16);
        for number in 16..20 {
            assert_eq!(desk.arrives(number, Sender::Proven), "");
        }
        assert_eq!(desk.handle(Input::Pulse { late: CALM }), "b16 b17 b18 b19");
    }

    #[test]
    fn the_line_is_bounded_in_order_and_the_newest_is_refused() {
        let mut desk = Desk::with(16);
        for number in 16..24 {
            assert_eq!(desk.arrives(number, Sender::Proven), "");
        }
        assert_eq!(desk.arrives(24, Sender::Proven), "r24");
        assert_eq!(desk.arrives(25, Sender::Unproven), "r25", "a proof would not help it");
        assert_eq!(desk.machine.waiting(), BOUNDS.waiting);
        assert_eq!(desk.handle(Input::Ended), "b16");
        assert_eq!(desk.arrives(26, Sender::Proven), "");
        assert_eq!(desk.handle(Input::Ended), "b17");
    }

    #[test]
    fn who_waited_for_too_long_is_refused() {
        let mut desk = Desk::with(16);
        desk.arrives(16, Sender::Proven);
        desk.now_ms = HANDSHAKE_WAIT_MS_MAX;
        desk.arrives(17, Sender::Proven);
        assert_eq!(desk.handle(Input::Pulse { late: LATE }), "", "it has not been too long");
        desk.now_ms += 1;
        assert_eq!(desk.handle(Input::Pulse { late: LATE }), "r16");
        assert_eq!(desk.machine.waiting(), 1);
    }

    #[test]
    fn a_proof_is_asked_for_from_half_on_and_once() {
        let mut desk = Desk::new();
        for number in 0..8 {
            assert_eq!(desk.arrives(number, Sender::Unproven), format!("b{number}"));
        }
        assert_eq!(desk.arrives(8, Sender::Unproven), "p8");
        assert_eq!(desk.arrives(8, Sender::Proven), "b8", "it is not asked again");
        assert_eq!(desk.machine.under_way(), 9);
        desk.handle(Input::Ended);
        desk.handle(Input::Ended);
        assert_eq!(desk.arrives(9, Sender::Unproven), "b9", "calm again");
    }

    #[test]
    fn forged_addresses_leave_turns_to_others() {
        let mut desk = Desk::new();
        for number in 0..1000 {
            desk.arrives(number, Sender::Unproven);
        }
        assert_eq!((desk.machine.under_way(), desk.machine.waiting()), (8, 0));
        assert_eq!(desk.arrives(1000, Sender::Proven), "b1000");
    }

    #[test]
    fn a_full_node_says_so_while_that_is_cheap() {
        let mut desk = Desk::new();
        for number in 0..8 {
            assert_eq!(desk.arrives_full(number), format!("b{number}"));
        }
        assert_eq!(desk.arrives_full(8), "r8");
    }

    #[test]
    fn the_more_are_coming_the_later_one_may_come_again() {
        let mut desk = Desk::new();
        let mut before = desk.machine.retry_after_ms();
        assert_eq!(before, BUSY_RETRY_MS);
        for number in 0..24 {
            desk.arrives(number, Sender::Proven);
            let after = desk.machine.retry_after_ms();
            assert!(after > before, "{number}: {after}");
            before = after;
        }
        assert_eq!(before, BUSY_RETRY_MS_MAX);
    }

    #[test]
    fn bounds_follow_the_cores_and_never_pass_what_the_operator_wants() {
        for (cores, most) in [(1, 1024), (2, 1024), (64, 1024), (2, 1), (8, 65_536)] {
            let bounds = Bounds::new(cores, most);
            assert!(1 <= bounds.least && bounds.least <= bounds.first, "{bounds:?}");
            assert!(bounds.first <= bounds.most && bounds.most == most, "{bounds:?}");
            assert!(bounds.waiting >= 1, "{bounds:?}");
        }
    }
}
