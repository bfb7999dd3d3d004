//! How many devices are told at once what they will answer: a new desired section, a command. What a node says to very
//! many devices within a moment they answer within the next one, and what it cannot take in before a probe timeout is
//! sent again, which makes it more. So a session needs a *turn* to push, and has it until its device has answered, or
//! had the time to. Who waits for a turn is read and answered as ever.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pollux_twin::input::FromDevice;
use pollux_twin::output::ToDevice;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::window::{Outcome, Window};
use crate::limits::{PUSH_ROUND_TRIPS, PUSH_TURN_MS_MIN};

/// A message with its session's epoch.
type Message = (u64, ToDevice);

/// The turns of a node, for its sessions. Commands have their own, so that one does not wait for what a whole fleet is
/// told.
#[derive(Clone, Debug)]
pub(crate) struct Pushes {
    desired: Arc<Turns>,
    commands: Arc<Turns>,
}

impl Pushes {
    /// For a machine with so many cores.
    pub(crate) fn new(cores: usize) -> Self {
        Self { desired: Turns::new(cores), commands: Turns::new(cores) }
    }

    /// For one session.
    pub(crate) fn of_session(&self) -> SessionPushes {
        let push =
            |turns| Push { turns: Arc::clone(turns), held: VecDeque::new(), turn: Turn::None };
        SessionPushes { desired: push(&self.desired), commands: push(&self.commands) }
    }
}

/// Turns of one kind, and who waits for one.
#[derive(Debug)]
struct Turns(Mutex<(Window, VecDeque<oneshot::Sender<Permit>>)>);

impl Turns {
    fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new((Window::new(cores), VecDeque::new()))))
    }

    /// A turn, or where it will come.
    fn take(self: &Arc<Self>) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (window, waiting) = &mut *state;
        if waiting.is_empty() && window.begin() {
            return Ok(Permit { turns: Arc::clone(self), outcome: Outcome::Left });
        }
        let (sender, receiver) = oneshot::channel();
        waiting.push_back(sender);
        Err(receiver)
    }

    /// A turn is over; others may begin.
    fn end(self: &Arc<Self>, outcome: Outcome) {
        let mut next = Vec::new();
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (window, waiting) = &mut *state;
            window.end(outcome);
            while let Some(first) = waiting.pop_front() {
                if first.is_closed() {
                    continue;
                }
                if !window.begin() {
                    waiting.push_front(first);
                    break;
                }
                next.push(first);
            }
        }
        for waiting in next {
            let permit = Permit { turns: Arc::clone(self), outcome: Outcome::Left };
            // Who left meanwhile gives it back.
            let _ = waiting.send(permit);
        }
    }
}

/// One turn, until this is dropped.
#[derive(Debug)]
struct Permit {
    turns: Arc<Turns>,
    outcome: Outcome,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.turns.end(self.outcome);
    }
}

/// What one session is to push.
#[derive(Debug)]
pub(crate) struct SessionPushes {
    desired: Push,
    commands: Push,
}

impl SessionPushes {
    /// Gives a message back that may go now; keeps one that has to wait for its turn.
    pub(crate) fn pass(
        &mut self,
        (session, message): Message,
        round_trip: impl Fn() -> Duration,
    ) -> Option<Message> {
        match message {
            ToDevice::Desired { .. } => {
                // Only the newest matters.
                self.desired.held.clear();
                self.desired.pass((session, message), round_trip)
            }
            ToDevice::Command(_) => self.commands.pass((session, message), round_trip),
            _ => Some((session, message)),
        }
    }

    /// The device said something, perhaps an answer.
    pub(crate) fn heard(&mut self, message: &FromDevice) {
        match message {
            FromDevice::DesiredAck { .. } => self.desired.end(Outcome::Answered),
            FromDevice::CommandResult { .. } | FromDevice::CommandUnknown { .. } => {
                self.commands.end(Outcome::Answered);
            }
            FromDevice::Report { .. } | FromDevice::Telemetry { .. } | FromDevice::Get => {}
        }
    }

    /// Resolves when a turn has come, for what is then [due](Self::take_due), or is over. May be dropped at any time.
    pub(crate) async fn turn(&mut self) {
        std::future::poll_fn(|cx| {
            let desired = self.desired.poll_turn(cx);
            if self.commands.poll_turn(cx).is_ready() { Poll::Ready(()) } else { desired }
        })
        .await;
    }

    /// Takes what waited for a turn that has come.
    pub(crate) fn take_due(&mut self, round_trip: impl Fn() -> Duration) -> VecDeque<Message> {
        let mut due = self.desired.take_due(&round_trip);
        due.append(&mut self.commands.take_due(&round_trip));
        due
    }
}

/// Messages of one kind.
struct Push {
    turns: Arc<Turns>,
    /// Waits for a turn.
    held: VecDeque<Message>,
    turn: Turn,
}

/// The turn of a session.
enum Turn {
    None,
    Awaited(oneshot::Receiver<Permit>),
    /// It has come, and what waits for it may go.
    Come(Permit),
    /// The device has until then to answer.
    Had {
        until: Pin<Box<Sleep>>,
        permit: Permit,
    },
}

impl Turn {
    fn had(permit: Permit, round_trip: Duration) -> Self {
        let patience = (round_trip * PUSH_ROUND_TRIPS).max(Duration::from_millis(PUSH_TURN_MS_MIN));
        Self::Had { until: Box::pin(tokio::time::sleep(patience)), permit }
    }
}

impl Push {
    fn pass(&mut self, message: Message, round_trip: impl Fn() -> Duration) -> Option<Message> {
        if matches!(self.turn, Turn::None) {
            self.turn = match self.turns.take() {
                Ok(permit) => Turn::had(permit, round_trip()),
                Err(later) => Turn::Awaited(later),
            };
        }
        if matches!(self.turn, Turn::Had { .. }) {
            return Some(message);
        }
        self.held.push_back(message);
        None
    }

    fn end(&mut self, outcome: Outcome) {
        if let Turn::Had { permit, .. } = &mut self.turn {
            permit.outcome = outcome;
            self.turn = Turn::None;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.turn {
            Turn::None => return Poll::Pending,
            Turn::Awaited(turn) => {
                let permit = std::task::ready!(Pin::new(turn).poll(cx));
                self.turn = permit.map_or(Turn::None, Turn::Come);
            }
            Turn::Come(_) => {}
            Turn::Had { until, .. } => {
                std::task::ready!(until.as_mut().poll(cx));
                self.end(Outcome::Late);
            }
        }
        Poll::Ready(())
    }

    fn take_due(&mut self, round_trip: impl Fn() -> Duration) -> VecDeque<Message> {
        match std::mem::replace(&mut self.turn, Turn::None) {
            Turn::Come(permit) => {
                self.turn = Turn::had(permit, round_trip());
                std::mem::take(&mut self.held)
            }
            turn => {
                self.turn = turn;
                VecDeque::new()
            }
        }
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("held", &self.held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use pollux_twin::change::{Command, CommandState};
    use pollux_twin::{Time, Value};
    use tokio::time::timeout;

    use super::*;
    use crate::limits::PUSHES_FIRST_PER_CORE;

    const SWIFT: fn() -> Duration = || Duration::from_millis(1);

    fn desired(version: u64) -> ToDevice {
        ToDevice::Desired { version, desired: Value::Null }
    }

    fn command(id: u64) -> ToDevice {
        ToDevice::Command(Box::new(Command {
            id,
            name: "open".into(),
            payload: Value::Null,
            deadline: Time::default(),
            at: Time::default(),
            by: "svc".into(),
            state: CommandState::Delivering { session: 7 },
        }))
    }

    /// As many sessions as there are turns, all of them told something.
    fn told(pushes: &Pushes, message: fn(u64) -> ToDevice) -> Vec<SessionPushes> {
        let mut told: Vec<_> = (0..PUSHES_FIRST_PER_CORE).map(|_| pushes.of_session()).collect();
        told.iter_mut().for_each(|one| assert!(goes(one, message(1))));
        told
    }

    fn goes(session: &mut SessionPushes, message: ToDevice) -> bool {
        session.pass((7, message), SWIFT).is_some()
    }

    /// Whether a turn comes or goes within a time.
    async fn turns(session: &mut SessionPushes, ms: u64) -> bool {
        timeout(Duration::from_millis(ms), session.turn()).await.is_ok()
    }

    fn due(session: &mut SessionPushes) -> Vec<ToDevice> {
        session.take_due(SWIFT).into_iter().map(|(_, message)| message).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_turn_is_told_the_newest_when_another_has_answered() {
        let pushes = Pushes::new(1);
        let mut others = told(&pushes, desired);
        assert!(goes(&mut others[0], desired(2)), "it has its turn");
        let mut late = pushes.of_session();
        assert!(!goes(&mut late, desired(1)));
        assert!(!goes(&mut late, desired(2)));
        assert!(goes(&mut late, ToDevice::AskCommand { id: 1 }), "the rest does not wait");
        assert!(!turns(&mut late, 1).await);
        assert_eq!(due(&mut late), []);
        others[0].heard(&FromDevice::Get);
        assert!(!turns(&mut late, 1).await, "that was no answer");
        others[0].heard(&FromDevice::DesiredAck { seq: 1, version: 1, refused: None });
        assert!(turns(&mut late, 1).await);
        assert_eq!(due(&mut late), [desired(2)]);
        assert_eq!(due(&mut late), []);
        assert!(goes(&mut late, desired(3)), "it has its turn still");
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_does_not_answer_or_leaves_keeps_nobody_waiting() {
        let pushes = Pushes::new(1);
        let mut silent = told(&pushes, desired);
        drop(silent.pop());
        let (mut far, mut more) = (pushes.of_session(), pushes.of_session());
        let second = || Duration::from_secs(1);
        assert!(far.pass((7, desired(1)), second).is_some(), "one has left");
        assert!(!goes(&mut more, desired(1)));
        assert!(!turns(&mut silent[0], PUSH_TURN_MS_MIN - 1).await);
        for silent in &mut silent[..PUSHES_FIRST_PER_CORE / 2] {
            assert!(turns(silent, 2).await, "its time is over");
        }
        assert!(!turns(&mut far, 2 * 1000).await, "it is far away");
        assert!(!turns(&mut more, 1).await, "where none answers, fewer are told at once");
        drop(silent);
        assert!(turns(&mut more, 1).await);
        assert_eq!(due(&mut more), [desired(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn commands_keep_their_order_and_do_not_wait_for_desired() {
        let pushes = Pushes::new(1);
        let (_told, mut commanded) = (told(&pushes, desired), told(&pushes, command));
        let (mut gone, mut late) = (pushes.of_session(), pushes.of_session());
        assert!(!goes(&mut gone, command(1)) && !goes(&mut late, command(1)));
        assert!(!goes(&mut late, command(2)));
        drop(gone);
        commanded[0].heard(&FromDevice::CommandUnknown { seq: 1, id: 1 });
        assert!(turns(&mut late, 1).await);
        assert_eq!(due(&mut late), [command(1), command(2)]);
    }
}
