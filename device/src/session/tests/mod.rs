//! The session machine by scripts: a frame in, frames and events out. Finding the way to an owner is
//! in `ways`.

mod relay;
mod ways;

use super::*;
use crate::limits::{DIAL_MS, GREETING_MS};
use crate::store::{CommandStore, QueueStore, Recorded};
use pollux_proto::device::{AckResult, Limits, NodeFrame, RefusedReason, Replica};
use pollux_twin::{Rejection, Time, Value};

/// A session with a clock in milliseconds, and its attempts with their addresses.
struct Desk {
    session: Session<u32>,
    now_ms: u64,
    lines: Vec<(u64, String)>,
}

fn options() -> SessionOptions {
    SessionOptions::new("default", "lamp", Arc::from([Arc::from("a:1"), Arc::from("b:1")]), SEED)
}

/// A seed with which a device begins at the first address.
const SEED: u64 = 7;

impl Desk {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: SessionOptions) -> Self {
        let kept = options.queue_store.as_ref().and_then(|store| store.load().unwrap());
        let session = Session::new(Duration::ZERO, Arc::new(options), kept);
        Self { session, now_ms: 0, lines: Vec::new() }
    }

    const fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    fn outputs(&mut self) -> Vec<Output<u32>> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.session.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Dial { attempt, address } => {
                    self.lines.push((*attempt, address.to_string()));
                }
                Output::Hangup { attempt } => self.lines.retain(|(line, _)| line != attempt),
                Output::Event(_) => {}
            }
        }
        outputs
    }

    /// The attempt that carries the session, or the newest.
    fn attempt(&mut self) -> u64 {
        self.outputs();
        self.session.attempt().or_else(|| self.lines.last().map(|(line, _)| *line)).unwrap()
    }

    /// The newest attempt at an address.
    fn to(&mut self, address: &str) -> u64 {
        self.outputs();
        let line = self.lines.iter().rev().find(|(_, to)| to == address);
        line.unwrap_or_else(|| panic!("{address} is not dialled: {:?}", self.lines)).0
    }

    /// Addresses that are connected to, or about to be.
    fn dialling(&mut self) -> Vec<&str> {
        self.outputs();
        self.lines.iter().map(|(_, address)| &**address).collect()
    }

    fn sent(&mut self) -> Vec<DeviceFrame> {
        let attempt = self.attempt();
        self.sent_to(attempt)
    }

    fn sent_to(&mut self, attempt: u64) -> Vec<DeviceFrame> {
        let mut bytes = Vec::new();
        self.session.poll_transmit(self.now(), attempt, &mut bytes, usize::MAX);
        frames(&bytes)
    }

    fn input(&mut self, input: Input) -> Vec<Output<u32>> {
        self.session.handle(self.now(), input);
        self.outputs()
    }

    fn frame(&mut self, frame: NodeFrame) -> Vec<Output<u32>> {
        let attempt = self.attempt();
        self.input(Input::Frame { attempt, frame })
    }

    /// The connection of an attempt stands, and it is greeted if it is to be.
    fn connect(&mut self, attempt: u64) -> Vec<DeviceFrame> {
        let round_trip = Duration::from_millis(1);
        self.input(Input::Connected { attempt, round_trip });
        self.sent_to(attempt)
    }

    /// Lets time pass to the next deadline.
    fn pass(&mut self) -> Vec<Output<u32>> {
        let due = self.session.next_deadline().unwrap();
        self.now_ms = u64::try_from(due.as_micros().div_ceil(1_000)).unwrap();
        self.session.handle_deadline(self.now());
        self.outputs()
    }

    /// Lets time pass until something is dialled; says what.
    fn pass_to_dial(&mut self) -> Vec<String> {
        for _ in 0..50 {
            let outputs = self.pass();
            let dialled = dialled(&outputs);
            if !dialled.is_empty() {
                return dialled.into_iter().map(str::to_owned).collect();
            }
        }
        panic!("nothing is dialled");
    }

    fn lose(&mut self) -> Vec<Output<u32>> {
        let attempt = self.attempt();
        self.lose_one(attempt, Loss::Broken)
    }

    fn lose_one(&mut self, attempt: u64, loss: Loss) -> Vec<Output<u32>> {
        self.lines.retain(|(line, _)| *line != attempt);
        self.input(Input::Lost { attempt, loss, reason: "cut".into() })
    }

    /// From a dial that is under way to an open session.
    fn open(&mut self, last_seq: u64) -> Vec<Output<u32>> {
        let attempt = self.attempt();
        assert!(matches!(self.connect(attempt)[..], [DeviceFrame::Hello { .. }]));
        self.input(Input::Frame { attempt, frame: welcome(last_seq) })
    }

    fn report(&mut self, token: u32) -> u64 {
        let patch = Value::Int(i64::from(token));
        self.session.enqueue(Message::Report { patch, observed_at: None }, token).unwrap()
    }
}

fn frames(mut bytes: &[u8]) -> Vec<DeviceFrame> {
    let mut frames = Vec::new();
    while let Some((frame, len)) = wire::decode(bytes) {
        frames.push(frame);
        bytes = &bytes[len..];
    }
    frames
}

fn welcome(last_seq: u64) -> NodeFrame {
    NodeFrame::Welcome {
        session: 1,
        last_seq,
        desired_version: 3,
        desired: Value::object(),
        reported_version: 5,
        limits: Limits { frame_bytes_max: 1 << 17, in_flight_max: 2, section_bytes_max: 1 << 16 },
        replicas: vec![Replica { address: "c:1".to_owned() }],
    }
}

fn ack(seq: u64) -> NodeFrame {
    NodeFrame::Ack { seq, result: AckResult::Done { version: seq + 5 } }
}

fn seqs(frames: &[DeviceFrame]) -> Vec<u64> {
    frames
        .iter()
        .map(|frame| match frame {
            DeviceFrame::Report { seq, .. }
            | DeviceFrame::CommandResult { seq, .. }
            | DeviceFrame::CommandUnknown { seq, .. } => *seq,
            other => panic!("not numbered: {other:?}"),
        })
        .collect()
}

fn dialled(outputs: &[Output<u32>]) -> Vec<&str> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Dial { address, .. } => Some(&**address),
            _ => None,
        })
        .collect()
}

#[test]
fn connects_reports_and_hears_the_answer() {
    let mut desk = Desk::new();
    assert_eq!(dialled(&desk.outputs()), ["a:1"]);
    desk.report(1);
    let events = desk.open(0);
    assert!(matches!(
        events[..],
        [
            Output::Event(Event::Online { session: 1, reported_version: 5 }),
            Output::Event(Event::Desired { version: 3, .. })
        ]
    ));
    assert_eq!(seqs(&desk.sent()), [1]);
    assert!(desk.sent().is_empty());
    assert_eq!(desk.frame(ack(1)), [Output::Event(Event::Answered { token: 1, result: Ok(6) })]);
    assert!(desk.frame(ack(1)).is_empty(), "a repeated answer is not told twice");
}

#[test]
fn no_more_in_flight_than_the_owner_takes() {
    let mut desk = Desk::new();
    for token in 1..=5 {
        desk.report(token);
    }
    desk.open(0);
    assert_eq!(seqs(&desk.sent()), [1, 2]);
    desk.frame(ack(1));
    assert_eq!(seqs(&desk.sent()), [3]);
}

#[test]
fn what_is_not_answered_is_sent_again_with_its_number() {
    let mut desk = Desk::new();
    for token in 1..=3 {
        desk.report(token);
    }
    desk.open(0);
    desk.sent();
    desk.frame(ack(1));
    let outputs = desk.lose();
    assert!(matches!(outputs[..], [Output::Event(Event::Offline { .. })]));
    assert_eq!(desk.pass_to_dial(), ["c:1"], "a replica first");
    desk.open(2);
    assert_eq!(seqs(&desk.sent()), [2, 3], "2 is taken, but its answer was lost");
    let rejected = AckResult::Rejected { rejection: Rejection::NotAnObject };
    let outputs = desk.frame(NodeFrame::Ack { seq: 2, result: rejected });
    assert!(matches!(outputs[0], Output::Event(Event::Rehomed(_))));
    let result = Err(Rejection::NotAnObject);
    assert_eq!(outputs[1..], [Output::Event(Event::Answered { token: 2, result })]);
}

#[test]
fn an_answer_that_is_left_out_is_asked_for_again_once() {
    let mut desk = Desk::new();
    for token in 1..=4 {
        desk.report(token);
    }
    desk.open(0);
    assert_eq!(seqs(&desk.sent()), [1, 2]);
    desk.frame(ack(2));
    assert_eq!(seqs(&desk.sent()), [1, 2], "the window is two");
    desk.frame(ack(2));
    assert!(desk.sent().is_empty());
    desk.frame(ack(1));
    assert_eq!(seqs(&desk.sent()), [3, 4]);
}

#[test]
fn a_nack_holds_and_resends_from_the_expected_number() {
    let mut desk = Desk::new();
    for token in 1..=2 {
        desk.report(token);
    }
    desk.open(0);
    desk.sent();
    desk.frame(NodeFrame::Nack { seq: 2, expected: Some(1), retry_after_ms: 80 });
    desk.frame(NodeFrame::Nack { seq: 1, expected: None, retry_after_ms: 80 });
    assert!(desk.sent().is_empty());
    desk.pass();
    assert!((80..=110).contains(&desk.now_ms), "{}", desk.now_ms);
    assert_eq!(seqs(&desk.sent()), [1, 2]);
    let outputs = desk.frame(NodeFrame::Nack { seq: 2, expected: Some(9), retry_after_ms: 0 });
    assert!(matches!(outputs[0], Output::Hangup { .. }), "only a welcome can tell");
}

#[test]
fn refusals_end_or_wait() {
    for (reason, retry_after_ms, ends) in [
        (RefusedReason::NotYou, None, true),
        (RefusedReason::Busy, None, false),
        (RefusedReason::NotAllowed, Some(5_000), false),
    ] {
        let mut desk = Desk::new();
        let attempt = desk.attempt();
        desk.connect(attempt);
        let message = "no".to_owned();
        desk.frame(NodeFrame::Refused { reason, message, retry_after_ms });
        assert_eq!(desk.session.ended().is_some(), ends);
        assert_eq!(desk.session.next_deadline().is_none(), ends);
    }
}

#[test]
fn bye_says_whether_to_come_back() {
    for reconnect in [true, false] {
        let mut desk = Desk::new();
        desk.open(0);
        desk.outputs();
        desk.frame(NodeFrame::Bye { reason: "stopping".to_owned(), reconnect });
        assert_eq!(desk.session.ended().is_none(), reconnect);
    }
}

#[test]
fn an_owner_that_lost_its_counter_gets_a_new_incarnation() {
    let mut desk = Desk::new();
    for token in 1..=3 {
        desk.report(token);
    }
    desk.open(0);
    desk.sent();
    desk.frame(ack(1));
    desk.frame(ack(2));
    desk.lose();
    desk.pass_to_dial();
    let before = desk.session.incarnation;
    desk.open(0);
    assert_ne!(desk.session.incarnation, before);
    desk.open(0);
    let sent = desk.sent();
    assert_eq!(seqs(&sent), [1]);
    assert!(matches!(sent[0], DeviceFrame::Report { patch: Value::Int(3), .. }));
}

#[test]
fn the_queue_is_bounded_and_refuses_what_no_owner_takes() {
    let mut small = options();
    small.queue_len_max = 2;
    let mut desk = Desk::with(small);
    desk.report(1);
    desk.report(2);
    let report = |patch| Message::Report { patch, observed_at: None };
    let full = desk.session.enqueue(report(Value::Null), 3);
    assert!(matches!(full, Err(QueueError::Full { len: 2, .. })));
    let mut desk = Desk::new();
    let nan = desk.session.enqueue(report(Value::Float(f64::NAN)), 1);
    assert!(matches!(nan, Err(QueueError::Unsendable(_))));
    let long = desk.session.enqueue(report(Value::String("x".repeat(FRAME_BYTES_MAX))), 1);
    assert!(matches!(long, Err(QueueError::Unsendable(_))));
    let mut deep = Value::Null;
    for _ in 0..10_000 {
        deep = Value::Array(vec![deep]);
    }
    assert!(matches!(desk.session.enqueue(report(deep), 1), Err(QueueError::Unsendable(_))));
    assert_eq!(desk.report(1), 1, "no number was used");
}

#[test]
fn a_command_runs_once_and_is_answered_when_asked() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.outputs();
    let command = NodeFrame::Command {
        id: 4,
        name: "blink".to_owned(),
        payload: Value::Null,
        deadline: Time::from_ms(9),
    };
    assert!(matches!(desk.frame(command.clone())[..], [Output::Event(Event::Command { .. })]));
    assert!(desk.frame(command.clone()).is_empty());
    desk.frame(NodeFrame::CommandStatus { id: 4 });
    assert!(desk.sent().is_empty(), "it still runs");
    desk.input(Input::Finished { id: 4, outcome: Ok(Value::Bool(true)) });
    assert!(matches!(desk.sent()[..], [DeviceFrame::CommandResult { seq: 1, id: 4, .. }]));
    desk.frame(ack(1));
    desk.frame(NodeFrame::CommandStatus { id: 4 });
    assert!(matches!(desk.sent()[..], [DeviceFrame::CommandResult { seq: 2, id: 4, .. }]));
    desk.frame(ack(2));
    desk.frame(NodeFrame::CommandStatus { id: 9 });
    assert!(matches!(desk.sent()[..], [DeviceFrame::CommandUnknown { seq: 3, id: 9 }]));
    assert!(desk.frame(command).is_empty(), "never twice");
}

#[test]
fn a_store_of_commands_answers_for_an_earlier_run() {
    struct Book;
    impl CommandStore for Book {
        fn recall(&self, id: u64) -> Option<Recorded> {
            (id == 4).then_some(Recorded::Begun)
        }
        fn begin(&self, _: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn finish(&self, _: u64, _: &Outcome) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut options = options();
    options.command_store = Some(Arc::new(Book));
    let mut desk = Desk::with(options);
    desk.open(0);
    desk.frame(NodeFrame::CommandStatus { id: 4 });
    assert!(matches!(desk.sent()[..], [DeviceFrame::CommandResult { id: 4, result: Err(_), .. }]));
}

#[test]
fn desired_is_told_once_a_version() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.outputs();
    let desired = |version| NodeFrame::Desired { version, desired: Value::object() };
    assert_eq!(desk.frame(desired(4)).len(), 1);
    assert_eq!(desk.frame(desired(4)).len(), 0);
    assert_eq!(desk.frame(desired(3)).len(), 0);
}

#[test]
fn silence_is_an_end_to_every_wait() {
    let mut options = options();
    options.addresses = Arc::from([Arc::from("a:1")]);
    let mut desk = Desk::with(options);
    assert_eq!(desk.attempt(), 1);
    while desk.pass() != [Output::Hangup { attempt: 1 }] {}
    assert_eq!(desk.now_ms, DIAL_MS, "no connection");
    assert_eq!(desk.pass_to_dial(), ["a:1"]);
    desk.connect(2);
    let greeted = desk.now_ms;
    while desk.pass() != [Output::Hangup { attempt: 2 }] {}
    assert_eq!(desk.now_ms, greeted + GREETING_MS, "no welcome");
    desk.input(Input::Close);
    assert!(desk.session.next_deadline().is_none());
    assert!(matches!(
        desk.session.enqueue(Message::CommandUnknown { id: 1 }, 1),
        Err(QueueError::Closed(_))
    ));
}

#[derive(Default)]
struct Shelf(std::sync::Mutex<Option<Kept>>);

impl QueueStore for Shelf {
    fn load(&self) -> std::io::Result<Option<Kept>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn restart(&self, incarnation: u64, frames: &mut dyn Iterator<Item = &[u8]>) {
        let frames = frames.map(Box::from).collect();
        *self.0.lock().unwrap() = Some(Kept { incarnation, first_seq: 1, frames });
    }

    fn push(&self, seq: u64, frame: &[u8]) -> std::io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        let kept = kept.as_mut().unwrap();
        assert_eq!(seq, kept.first_seq + kept.frames.len() as u64);
        kept.frames.push(frame.into());
        Ok(())
    }

    fn forget(&self, seq: u64) {
        let mut kept = self.0.lock().unwrap();
        let kept = kept.as_mut().unwrap();
        assert_eq!(seq, kept.first_seq);
        kept.frames.remove(0);
        kept.first_seq += 1;
    }
}

#[test]
fn a_store_of_the_queue_carries_its_numbers_over_a_restart() {
    let mut options = options();
    let shelf = Arc::new(Shelf::default());
    options.queue_store = Some(shelf.clone());
    let mut desk = Desk::with(options.clone());
    let incarnation = desk.session.incarnation;
    for token in 1..=3 {
        desk.report(token);
    }
    desk.open(0);
    desk.sent();
    desk.frame(ack(1));
    // Another run of the device, with another seed.
    options.seed += 1;
    let mut desk = Desk::with(options);
    assert_eq!(desk.session.incarnation, incarnation);
    assert_eq!(desk.report(4), 4);
    desk.open(2);
    assert_eq!(seqs(&desk.sent()), [2, 3]);
    for seq in 2..=4 {
        desk.frame(ack(seq));
        desk.sent();
    }
    assert_eq!(desk.session.queue_len(), 0);
    let kept = shelf.load().unwrap().unwrap();
    assert_eq!((kept.first_seq, kept.frames.len()), (5, 0));
}
