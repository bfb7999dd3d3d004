//! The session machine by scripts: a frame in, frames and events out.

use super::*;
use crate::store::Recorded;
use pollux_proto::device::{AckResult, Limits, RefusedReason, Replica};

/// A session with a clock in milliseconds.
struct Desk {
    session: Session<u32>,
    now_ms: u64,
}

fn options() -> SessionOptions {
    SessionOptions::new("default", "lamp", Arc::from([Arc::from("a:1"), Arc::from("b:1")]), 7)
}

impl Desk {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: SessionOptions) -> Self {
        let kept = options.queue_store.as_ref().and_then(|store| store.load().unwrap());
        Self { session: Session::new(Duration::ZERO, Arc::new(options), kept), now_ms: 0 }
    }

    fn outputs(&mut self) -> Vec<Output<u32>> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<DeviceFrame> {
        let mut bytes = Vec::new();
        let now = Duration::from_millis(self.now_ms);
        self.session.poll_transmit(now, &mut bytes, usize::MAX);
        frames(&bytes)
    }

    fn input(&mut self, input: Input) -> Vec<Output<u32>> {
        self.session.handle(Duration::from_millis(self.now_ms), input);
        self.outputs()
    }

    fn frame(&mut self, frame: NodeFrame) -> Vec<Output<u32>> {
        let attempt = self.session.attempt().unwrap();
        self.input(Input::Frame { attempt, frame })
    }

    /// Lets time pass to the next deadline.
    fn pass(&mut self) -> Vec<Output<u32>> {
        let due = self.session.next_deadline().unwrap();
        self.now_ms = u64::try_from(due.as_millis()).unwrap();
        self.session.handle_deadline(due);
        self.outputs()
    }

    fn lose(&mut self) -> Vec<Output<u32>> {
        let attempt = self.session.attempt().unwrap();
        self.input(Input::Lost { attempt, loss: Loss::Broken, reason: "cut".into() })
    }

    /// From a dial that is under way to an open session.
    fn open(&mut self, last_seq: u64) -> Vec<Output<u32>> {
        let attempt = self.session.attempt().unwrap();
        self.input(Input::Connected { attempt });
        assert!(matches!(self.sent()[..], [DeviceFrame::Hello { .. }]));
        self.frame(welcome(last_seq))
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
    assert_eq!(dialled(&desk.pass()), ["c:1"], "a replica first");
    desk.open(2);
    assert_eq!(seqs(&desk.sent()), [2, 3], "2 is taken, but its answer was lost");
    let rejected = AckResult::Rejected { rejection: Rejection::NotAnObject };
    assert_eq!(
        desk.frame(NodeFrame::Ack { seq: 2, result: rejected }),
        [Output::Event(Event::Answered { token: 2, result: Err(Rejection::NotAnObject) })]
    );
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
fn redirects_are_followed_three_times() {
    let mut desk = Desk::new();
    desk.outputs();
    for hop in 0..4 {
        let attempt = desk.session.attempt().unwrap();
        desk.input(Input::Connected { attempt });
        desk.sent();
        let redirect = NodeFrame::Redirect { address: format!("x:{hop}"), epoch: (1, 1) };
        let outputs = desk.frame(redirect);
        assert_eq!(outputs[0], Output::Hangup { attempt });
        assert_eq!(dialled(&outputs).len(), usize::from(hop < 3));
    }
    assert_eq!(dialled(&desk.pass()), ["b:1"]);
}

#[test]
fn refusals_end_or_wait() {
    for (reason, retry_after_ms, ends) in [
        (RefusedReason::NotYou, None, true),
        (RefusedReason::Busy, None, false),
        (RefusedReason::NotAllowed, Some(5_000), false),
    ] {
        let mut desk = Desk::new();
        desk.outputs();
        desk.input(Input::Connected { attempt: 1 });
        desk.sent();
        let message = "no".to_owned();
        desk.frame(NodeFrame::Refused { reason, message, retry_after_ms });
        assert_eq!(desk.session.ended().is_some(), ends);
        assert_eq!(desk.session.next_deadline().is_none(), ends);
        if let Some(after) = retry_after_ms {
            assert!(desk.session.next_deadline().unwrap().as_millis() >= u128::from(after));
        }
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
fn a_move_goes_on_over_the_connection_made_ahead() {
    let mut desk = Desk::new();
    desk.report(1);
    desk.open(0);
    desk.sent();
    let outputs = desk.frame(NodeFrame::PrepareMove { address: "n:1".to_owned() });
    assert_eq!(dialled(&outputs), ["n:1"]);
    desk.input(Input::Connected { attempt: 2 });
    let outputs = desk.frame(NodeFrame::Moved { address: "n:1".to_owned(), epoch: (2, 1) });
    assert!(dialled(&outputs).is_empty());
    assert_eq!(desk.session.attempt(), Some(2));
    assert!(matches!(desk.sent()[..], [DeviceFrame::Hello { .. }]));
    desk.frame(welcome(0));
    assert_eq!(seqs(&desk.sent()), [1]);
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
    desk.pass();
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
    let mut desk = Desk::new();
    desk.outputs();
    let outputs = desk.pass();
    assert_eq!(outputs, [Output::Hangup { attempt: 1 }]);
    assert_eq!(dialled(&desk.pass()), ["b:1"]);
    desk.input(Input::Connected { attempt: 2 });
    desk.sent();
    assert_eq!(desk.pass(), [Output::Hangup { attempt: 2 }], "no welcome");
    desk.input(Input::Close);
    assert!(desk.session.next_deadline().is_none());
    assert!(matches!(
        desk.session.enqueue(Message::CommandUnknown { id: 1 }, 1),
        Err(QueueError::Closed(_))
    ));
}

#[test]
fn a_node_that_says_nothing_is_pinged_and_then_left() {
    let mut desk = Desk::new();
    desk.open(0);
    assert_eq!(desk.session.next_deadline(), None, "an idle device waits for nothing");
    desk.now_ms = 60_000;
    desk.report(1);
    desk.sent();
    assert!(desk.pass().is_empty());
    assert_eq!(desk.now_ms, 60_000 + SILENCE_MS / 2);
    assert!(matches!(desk.sent()[..], [DeviceFrame::Ping { .. }]));
    desk.frame(NodeFrame::Pong { nonce: 0 });
    assert!(desk.pass().is_empty(), "it lives, and is pinged again later");
    assert!(matches!(desk.sent()[..], [DeviceFrame::Ping { .. }]));
    let outputs = desk.pass();
    assert!(matches!(outputs[0], Output::Hangup { .. }), "{outputs:?}");
    assert_eq!(dialled(&desk.pass()), ["c:1"]);
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
