//! How many devices are told at once what they will answer: a new desired section, a command. What a node says to very
//! many devices within a moment they answer within the next one, and what it cannot take in before a probe timeout is
//! sent again, which makes it more. So a session needs a *turn* to push, and has it until its device has answered, or
//! had the time to. Who waits for a turn is read and answered as ever.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pollux_twin::input::FromDevice;
use pollux_twin::output::ToDevice;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::limits::{PUSH_TURN_MS_MAX, PUSHES_PER_CORE};

/// A message with its session's epoch.
type Message = (u64, ToDevice);

/// The turns of a node, for its sessions. Commands have their own, so that one does not wait for what a whole fleet is
/// told.
#[derive(Clone, Debug)]
pub(crate) struct Pushes {
    desired: Arc<Semaphore>,
    commands: Arc<Semaphore>,
}

impl Pushes {
    /// For a machine with so many cores.
    pub(crate) fn new(cores: usize) -> Self {
        let turns = || Arc::new(Semaphore::new(cores.saturating_mul(PUSHES_PER_CORE)));
        Self { desired: turns(), commands: turns() }
    }

    /// For one session.
    pub(crate) fn of_session(&self) -> SessionPushes {
        let push =
            |turns| Push { turns: Arc::clone(turns), held: VecDeque::new(), turn: Turn::None };
        SessionPushes { desired: push(&self.desired), commands: push(&self.commands) }
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
    pub(crate) fn pass(&mut self, session: u64, message: ToDevice) -> Option<Message> {
        match message {
            ToDevice::Desired { .. } => {
                // Only the newest matters.
                self.desired.held.clear();
                self.desired.pass((session, message))
            }
            ToDevice::Command(_) => self.commands.pass((session, message)),
            _ => Some((session, message)),
        }
    }

    /// The device said something, perhaps an answer.
    pub(crate) fn heard(&mut self, message: &FromDevice) {
        match message {
            FromDevice::DesiredAck { .. } => self.desired.answered(),
            FromDevice::CommandResult { .. } | FromDevice::CommandUnknown { .. } => {
                self.commands.answered();
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

    /// Takes what waited for a turn that has come; it passes now.
    pub(crate) fn take_due(&mut self) -> impl Iterator<Item = Message> + use<> {
        self.desired.take_due().into_iter().chain(self.commands.take_due())
    }
}

/// Messages of one kind.
struct Push {
    turns: Arc<Semaphore>,
    /// Waits for a turn.
    held: VecDeque<Message>,
    turn: Turn,
}

/// The turn of a session; in boxes, as most sessions have none.
enum Turn {
    None,
    Awaited(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    Had { until: Pin<Box<Sleep>>, _permit: OwnedSemaphorePermit },
}

impl Turn {
    fn had(permit: OwnedSemaphorePermit) -> Self {
        let until = Box::pin(tokio::time::sleep(Duration::from_millis(PUSH_TURN_MS_MAX)));
        Self::Had { until, _permit: permit }
    }
}

impl Push {
    fn pass(&mut self, message: Message) -> Option<Message> {
        if matches!(self.turn, Turn::None) {
            let turns = Arc::clone(&self.turns);
            self.turn = match Arc::clone(&turns).try_acquire_owned() {
                Ok(permit) => Turn::had(permit),
                Err(_) => Turn::Awaited(Box::pin(async { turns.acquire_owned().await.ok() })),
            };
        }
        if matches!(self.turn, Turn::Had { .. }) {
            return Some(message);
        }
        self.held.push_back(message);
        None
    }

    fn answered(&mut self) {
        if matches!(self.turn, Turn::Had { .. }) {
            self.turn = Turn::None;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.turn = match &mut self.turn {
            Turn::None => return Poll::Pending,
            Turn::Awaited(turn) => match std::task::ready!(turn.as_mut().poll(cx)) {
                Some(permit) => Turn::had(permit),
                None => Turn::None,
            },
            Turn::Had { until, .. } => {
                std::task::ready!(until.as_mut().poll(cx));
                Turn::None
            }
        };
        Poll::Ready(())
    }

    fn take_due(&mut self) -> VecDeque<Message> {
        match self.turn {
            Turn::Had { .. } => std::mem::take(&mut self.held),
            Turn::None | Turn::Awaited(_) => VecDeque::new(),
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

    fn desired(version: u64) -> ToDevice {
        ToDevice::Desired { version, desired: Value::Null }
    }

    fn acked(version: u64) -> FromDevice {
        FromDevice::DesiredAck { seq: 1, version, refused: None }
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

    /// Whether a turn comes or goes within a time.
    async fn turns(session: &mut SessionPushes, ms: u64) -> bool {
        timeout(Duration::from_millis(ms), session.turn()).await.is_ok()
    }

    fn due(session: &mut SessionPushes) -> Vec<ToDevice> {
        session.take_due().map(|(_, message)| message).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_turn_is_told_the_newest_when_another_has_answered() {
        let pushes = Pushes::new(1);
        let mut others: Vec<_> = (0..PUSHES_PER_CORE).map(|_| pushes.of_session()).collect();
        for other in &mut others {
            assert_eq!(other.pass(7, desired(1)), Some((7, desired(1))));
        }
        assert_eq!(others[0].pass(7, desired(2)), Some((7, desired(2))), "it has its turn");
        let mut late = pushes.of_session();
        assert_eq!(late.pass(9, desired(1)), None);
        assert_eq!(late.pass(9, desired(2)), None);
        let bye = ToDevice::AskCommand { id: 1 };
        assert_eq!(late.pass(9, bye.clone()), Some((9, bye)), "the rest does not wait");
        assert!(!turns(&mut late, 1).await);
        assert_eq!(due(&mut late), []);
        others[0].heard(&FromDevice::Get);
        assert!(!turns(&mut late, 1).await, "that was no answer");
        others[0].heard(&acked(1));
        assert!(turns(&mut late, 1).await);
        assert_eq!(due(&mut late), [desired(2)]);
        assert_eq!(due(&mut late), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_does_not_answer_or_leaves_keeps_nobody_waiting() {
        let pushes = Pushes::new(1);
        let mut silent: Vec<_> = (0..PUSHES_PER_CORE).map(|_| pushes.of_session()).collect();
        for silent in &mut silent {
            assert!(silent.pass(7, desired(1)).is_some());
        }
        drop(silent.pop());
        assert!(pushes.of_session().pass(9, desired(1)).is_some(), "one has left");
        let (mut one, mut more) = (pushes.of_session(), pushes.of_session());
        assert!(one.pass(9, desired(1)).is_some());
        assert_eq!(more.pass(9, desired(1)), None);
        assert!(!turns(&mut one, PUSH_TURN_MS_MAX - 1).await);
        assert!(turns(&mut one, 2).await, "its time is over");
        assert!(turns(&mut more, 1).await);
        assert_eq!(due(&mut more), [desired(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn commands_keep_their_order_and_do_not_wait_for_desired() {
        let pushes = Pushes::new(1);
        let mut told: Vec<_> = (0..PUSHES_PER_CORE).map(|_| pushes.of_session()).collect();
        told.iter_mut().for_each(|told| assert!(told.pass(7, desired(1)).is_some()));
        let mut commanded: Vec<_> = (0..PUSHES_PER_CORE).map(|_| pushes.of_session()).collect();
        commanded.iter_mut().for_each(|one| assert!(one.pass(7, command(1)).is_some()));
        let mut late = pushes.of_session();
        assert_eq!((late.pass(9, command(1)), late.pass(9, command(2))), (None, None));
        commanded[0].heard(&FromDevice::CommandUnknown { seq: 1, id: 1 });
        assert!(turns(&mut late, 1).await);
        assert_eq!(due(&mut late), [command(1), command(2)]);
    }
}
