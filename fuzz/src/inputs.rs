//! A twin driven by bytes. After every input the replica, which only applies the changes that came
//! out, must have the same image; and the delta must be what is missing.

use pollux_twin::change::Section;
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::{CallId, CallKey, ConnectionId, FromDevice, Request};
use pollux_twin::output::ToDevice;
use pollux_twin::patch::{delta, merge};
use pollux_twin::registration::{OfType, Proof, RegistryRequest, Shown};
use pollux_twin::types::{Broken, DeviceType, Named, Part, Types};
use pollux_twin::{Input, Limits, Output, Rejection, Time, Twin, Value};

/// Types of which `x` has versions, as time passes, and the odd ones want few members; `y` was taken away.
struct Kinds(u64);

impl Types for Kinds {
    fn named(&self, name: &str) -> Named {
        match name {
            "x" => Named { version: self.0, asks: Some(std::sync::Arc::new(Self(self.0))) },
            "y" => Named { version: 1, asks: None },
            _ => Named { version: 0, asks: None },
        }
    }
}

impl DeviceType for Kinds {
    fn asks(&self, _: Part<'_>) -> bool {
        self.0 % 2 == 1
    }

    fn check(&self, _: Part<'_>, value: &Value) -> Result<(), Broken> {
        match value.as_object().is_some_and(|members| members.len() > 1) {
            true => Err(Broken { at: String::new(), wrong: "too many".into() }),
            false => Ok(()),
        }
    }
}

/// Inputs of one run: enough to meet every state, few enough to run thousands of times a second.
const INPUTS_MAX: usize = 96;

/// A twin, by a list of inputs.
pub fn inputs(data: &[u8]) {
    let mut run = Run { bytes: data.iter(), ..Run::default() };
    for _ in 0..INPUTS_MAX {
        if run.bytes.len() == 0 {
            return;
        }
        run.step();
    }
}

#[derive(Default)]
struct Run<'a> {
    bytes: std::slice::Iter<'a, u8>,
    now: u64,
    twin: Twin,
    replica: Twin,
    /// As the device knows them.
    session: u64,
    seq: u64,
}

impl Run<'_> {
    fn step(&mut self) {
        let before = pack(&self.twin, 0);
        let limits = Limits { section_bytes_max: 200, depth_max: 4, ..Limits::default() };
        if self.one_in(16) {
            self.now += u64::from(self.byte()) * 1_000;
            self.twin.handle_deadline(Time::from_ms(self.now));
        } else {
            self.now += u64::from(self.byte());
            let input = self.input();
            let (now, kinds) = (Time::from_ms(self.now), Kinds(self.now / 10_000));
            let _nobody_to_answer = self.twin.handle_typed(now, &limits, &kinds, input);
        }
        let changes = self.drain();
        let after = pack(&self.twin, 0);
        assert!(changes > 0 || before == after, "a twin changed without saying so");
        assert_eq!(after, pack(&self.replica, 0), "a replica came to another image");
        let (unpacked, _) = unpack(&after).expect("what was packed can be unpacked");
        assert_eq!(pack(&unpacked, 0), after);
        let view = self.twin.view();
        let mut caught_up = view.reported.value.clone();
        merge(&mut caught_up, &view.delta);
        assert_eq!(delta(&view.desired.value, &caught_up), Value::object());
    }

    /// Carries the outputs out; says how many were changes.
    fn drain(&mut self) -> usize {
        let mut changes = 0;
        while let Some(output) = self.twin.poll_output() {
            match output {
                Output::Change(change) => {
                    self.replica.apply(&change).expect("what a twin decides can be applied");
                    changes += 1;
                }
                Output::Device { session, message: ToDevice::Welcome { last_seq, .. } } => {
                    assert!(session > self.session, "a session's epoch did not go up");
                    (self.session, self.seq) = (session, last_seq);
                }
                Output::Device { message: ToDevice::Ack { seq, .. }, .. } => {
                    assert!(seq <= self.seq + 1, "a number was acknowledged that was not sent");
                    self.seq = self.seq.max(seq);
                }
                Output::Device { message: ToDevice::Nack { rejection, .. }, .. } => {
                    if let Rejection::OutOfOrder { expected } = rejection {
                        assert_eq!(expected, self.seq + 1);
                    }
                }
                Output::Device { .. } | Output::Answer { .. } => {}
            }
        }
        changes
    }

    fn input(&mut self) -> Input {
        let connection = ConnectionId(u64::from(self.byte()));
        match self.byte() % 8 {
            0 => {
                let (incarnation, shown) = (u64::from(self.byte() % 3), self.shown());
                Input::Hello { connection, incarnation, node: 1, shown }
            }
            1 => Input::Disconnected { session: self.near(self.session) },
            2..=4 => Input::Device { session: self.near(self.session), message: self.message() },
            _ => Input::Call {
                call: CallId(connection.0),
                caller: if self.one_in(8) { "a" } else { "b" }.to_owned(),
                key: self.maybe(Self::key),
                request: self.request(),
            },
        }
    }

    fn shown(&mut self) -> Shown {
        match self.byte() % 8 {
            0 => Shown::Token([self.byte() % 3; 32]),
            1 => Shown::Certificate(Some([self.byte() % 3; 32])),
            _ => Shown::Certificate(None),
        }
    }

    fn credential(&mut self) -> (String, Proof, Option<Time>) {
        let digest = [self.byte() % 3; 32];
        let proof = if self.one_in(2) { Proof::Token(digest) } else { Proof::Certificate(digest) };
        (self.name(), proof, self.maybe(|run| Time::from_ms(u64::from(run.byte()))))
    }

    fn registry(&mut self) -> RegistryRequest {
        match self.byte() % 9 {
            0 => RegistryRequest::Get,
            1 => RegistryRequest::Register {
                tags: self.maybe(|run| run.value(0)),
                desired: self.maybe(|run| run.value(0)),
                credentials: (0..self.byte() % 3).map(|_| self.credential()).collect(),
                of_type: self.maybe(|run| OfType {
                    name: ["", "x", "y", "z"][usize::from(run.byte() % 4)].into(),
                    version: u64::from(run.byte() % 4),
                }),
                groups: (0..self.byte() % 3).map(|_| self.name()).collect(),
            },
            2 => RegistryRequest::Disable { reason: self.name() },
            3 => RegistryRequest::Enable,
            4 => {
                let (name, proof, expires) = self.credential();
                RegistryRequest::Give { name, proof, expires }
            }
            5 => RegistryRequest::Join { group: self.name() },
            6 => RegistryRequest::Leave { group: self.name() },
            7 => RegistryRequest::Enrol {
                enrolment: self.name(),
                unmet: self.byte().is_multiple_of(2),
                at: Time::from_ms(u64::from(self.byte())),
                proof: Proof::Token([self.byte() % 3; 32]),
                expires: None,
                tags: self.maybe(|run| run.value(0)),
                of_type: None,
                groups: Vec::new(),
            },
            _ => RegistryRequest::Revoke { name: self.name() },
        }
    }

    fn key(&mut self) -> CallKey {
        let id = self.byte();
        match id % 3 {
            0 => CallKey::Own(format!("k{}", id % 4)),
            _ => CallKey::Entry {
                id: u128::from(id % 24),
                again: self.maybe(|run| Time::from_ms(u64::from(run.byte()))),
            },
        }
    }

    fn message(&mut self) -> FromDevice {
        let seq = self.near(self.seq + 1);
        let observed_at = self.maybe(|run| Time::from_ms(u64::from(run.byte())));
        let id = u64::from(self.byte() % 6);
        match self.byte() % 8 {
            0..=2 => FromDevice::Report { seq, patch: self.value(0), observed_at },
            3 => {
                let count = self.byte() % 4;
                let values = (0..count).map(|_| (self.name(), self.value(3))).collect();
                FromDevice::Telemetry { seq: self.maybe(|_| seq), values, observed_at }
            }
            4 => FromDevice::DesiredAck { seq, version: id, refused: self.maybe(Self::name) },
            5 => {
                let result = if self.one_in(2) { Ok(self.value(2)) } else { Err(self.name()) };
                FromDevice::CommandResult { seq, id, result }
            }
            6 => FromDevice::CommandUnknown { seq, id },
            _ => FromDevice::Get,
        }
    }

    fn request(&mut self) -> Request {
        let expected = self.maybe(|run| u64::from(run.byte() % 4));
        let id = u64::from(self.byte() % 6);
        match self.byte() % 10 {
            0..=2 => Request::Patch {
                section: [Section::Tags, Section::Desired][usize::from(self.byte() % 2)],
                patch: self.value(0),
                whole: self.one_in(4),
                expected,
            },
            3 => Request::Delete { expected },
            4 | 5 => Request::Command {
                name: self.name(),
                payload: self.value(2),
                deadline_ms: u64::from(self.byte()) * 100,
                queue: self.one_in(2),
                wait: self.one_in(2),
            },
            6 => Request::CancelCommand { id },
            7 => Request::GetCommand { id },
            _ => Request::Registry(Box::new(self.registry())),
        }
    }

    /// An object at depth 0 mostly, anything further in.
    fn value(&mut self, depth: u32) -> Value {
        let kind = if depth == 0 { self.byte() / 16 } else { self.byte() % 10 };
        match kind {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::from(i64::from(self.byte()) - 100),
            3 => Value::from(u64::MAX - u64::from(self.byte())),
            4 => Value::Float(f64::from(self.byte()) / 8.0),
            5 => Value::String(self.name()),
            6 if depth < 5 => {
                (0..self.byte() % 3).map(|_| self.value(depth + 1)).collect::<Vec<_>>().into()
            }
            _ if depth < 5 => {
                let count = self.byte() % 5;
                Value::Object((0..count).map(|_| (self.name(), self.value(depth + 1))).collect())
            }
            _ => Value::Int(0),
        }
    }

    fn name(&mut self) -> String {
        ["", "a", "b", "a/b~", "temperature", "ü"][usize::from(self.byte() % 6)].to_owned()
    }

    /// Mostly the number itself, sometimes one beside it.
    fn near(&mut self, number: u64) -> u64 {
        match self.byte() % 16 {
            0 => number.saturating_sub(1),
            1 => number + 1,
            _ => number,
        }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(2).then(|| make(self))
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.byte().is_multiple_of(n)
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }
}
