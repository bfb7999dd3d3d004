//! The session machine in a seeded world: an owner that loses connections, answers and patience,
//! and must still have applied each report exactly once and in order.

use super::*;
use pollux_proto::device::{AckResult, Limits};
use std::collections::BTreeMap;

const REPORTS: u32 = 200;

/// An owner by the book: takes last + 1, repeats its answer for what it has.
#[derive(Default)]
struct Owner {
    session: u64,
    last: BTreeMap<u64, u64>,
    incarnation: u64,
    applied: Vec<i64>,
}

impl Owner {
    fn answer(&mut self, frame: DeviceFrame, chance: &mut Jitter) -> Option<NodeFrame> {
        match frame {
            DeviceFrame::Hello { incarnation, .. } => {
                self.session += 1;
                self.incarnation = incarnation;
                Some(NodeFrame::Welcome {
                    session: self.session,
                    last_seq: self.last.get(&incarnation).copied().unwrap_or(0),
                    desired_version: 0,
                    desired: Value::object(),
                    reported_version: 0,
                    limits: Limits {
                        frame_bytes_max: 1 << 17,
                        in_flight_max: 8,
                        section_bytes_max: 1 << 16,
                    },
                    replicas: Vec::new(),
                })
            }
            DeviceFrame::Report { seq, patch: Value::Int(number), .. } => {
                let last = self.last.entry(self.incarnation).or_default();
                if seq > *last + 1 {
                    let expected = Some(*last + 1);
                    return Some(NodeFrame::Nack { seq, expected, retry_after_ms: 0 });
                }
                if seq == *last + 1 {
                    if chance.below(10) == 0 {
                        return Some(NodeFrame::Nack { seq, expected: None, retry_after_ms: 20 });
                    }
                    *last = seq;
                    self.applied.push(number);
                }
                Some(NodeFrame::Ack { seq, result: AckResult::Done { version: seq } })
            }
            _ => None,
        }
    }
}

/// In each direction, what is on its way on the current connection.
#[derive(Default)]
struct Lines {
    up: VecDeque<DeviceFrame>,
    down: VecDeque<NodeFrame>,
}

fn carry_out(
    session: &mut Session<u32>,
    now: Duration,
    chance: &mut Jitter,
    lines: &mut Lines,
    answered: &mut Vec<u32>,
) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Dial { attempt, .. } => {
                *lines = Lines::default();
                let input = if chance.below(4) == 0 {
                    Input::Lost { attempt, loss: Loss::Broken, reason: "no way".into() }
                } else {
                    Input::Connected { attempt }
                };
                session.handle(now, input);
            }
            Output::Hangup { .. } => lines.down.clear(),
            Output::Event(Event::Answered { token, result }) => {
                assert!(result.is_ok());
                answered.push(token);
            }
            Output::Event(_) => {}
        }
    }
}

fn run(seed: u64) {
    let mut chance = Jitter::new(seed);
    let addresses = Arc::from([Arc::from("a:1")]);
    let options = SessionOptions::new("", "lamp", addresses, seed);
    let mut session: Session<u32> = Session::new(Duration::ZERO, Arc::new(options), None);
    let mut owner = Owner::default();
    let mut now = Duration::ZERO;
    let mut queued = 0;
    let mut answered: Vec<u32> = Vec::new();
    let mut lines = Lines::default();
    for _ in 0..200_000 {
        if queued < REPORTS && chance.below(3) == 0 {
            queued += 1;
            let patch = Value::Int(i64::from(queued));
            session.enqueue(Message::Report { patch, observed_at: None }, queued).unwrap();
        }
        carry_out(&mut session, now, &mut chance, &mut lines, &mut answered);
        let mut bytes = Vec::new();
        session.poll_transmit(now, &mut bytes, 1);
        if let Some((frame, _)) = wire::decode(&bytes) {
            lines.up.push_back(frame);
        }
        match chance.below(40) {
            0 => {
                if let Some(attempt) = session.attempt() {
                    // What was sent may still arrive, what was answered does not.
                    for frame in lines.up.drain(..) {
                        if chance.below(2) == 0 {
                            break;
                        }
                        owner.answer(frame, &mut chance);
                    }
                    lines.down.clear();
                    session.handle(
                        now,
                        Input::Lost { attempt, loss: Loss::Broken, reason: "cut".into() },
                    );
                }
            }
            1..=19 => {
                lines.down.extend(lines.up.pop_front().and_then(|f| owner.answer(f, &mut chance)))
            }
            _ => {
                if let (Some(attempt), Some(frame)) = (session.attempt(), lines.down.pop_front()) {
                    session.handle(now, Input::Frame { attempt, frame });
                }
            }
        }
        now += Duration::from_millis(chance.below(50));
        session.handle_deadline(now);
        if answered.len() == usize::try_from(REPORTS).unwrap() {
            break;
        }
    }
    let all: Vec<u32> = (1..=REPORTS).collect();
    assert_eq!(answered, all, "seed {seed}: each is answered once, in order");
    let applied: Vec<i64> = (1..=i64::from(REPORTS)).collect();
    assert_eq!(owner.applied, applied, "seed {seed}: each is applied once, in order");
}

#[test]
fn each_report_is_applied_once_whatever_breaks() {
    for seed in 0..200 {
        run(seed);
    }
}
