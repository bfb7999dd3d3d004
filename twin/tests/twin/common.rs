//! A twin under test: inputs as JSON, outputs as one line of text each.

use crate::kinds::Kinds;
use pollux_twin::change::{Change, Section};
use pollux_twin::input::{CallId, CallKey, ConnectionId, FromDevice, Input, Request};
use pollux_twin::output::{Answer, Output, ToDevice};
use pollux_twin::registration::Shown;
use pollux_twin::{JsonLimits, Limits, Time, Twin, Value, View};

/// A value from JSON text.
pub(crate) fn json(text: &str) -> Value {
    Value::from_json(text, &JsonLimits::default()).unwrap()
}

/// A twin with the changes it emitted.
#[derive(Clone, Default)]
pub(crate) struct Bench {
    pub(crate) twin: Twin,
    pub(crate) limits: Limits,
    pub(crate) kinds: Kinds,
    pub(crate) changes: Vec<Change>,
    pub(crate) now: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { now: 1_000, ..Self::default() }
    }

    /// A twin whose device is connected in session 1.
    pub(crate) fn connected() -> Self {
        let mut bench = Self::new();
        bench.hello(7);
        bench
    }

    /// Feeds one input; gives back what it said, one line each, and what was refused.
    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
        let now = Time::from_ms(self.now);
        let result = self.twin.handle_typed(now, &self.limits, &self.kinds, input);
        let mut lines = self.drain();
        if let Err(rejection) = result {
            lines.push(format!("dropped {rejection:?}"));
        }
        lines
    }

    pub(crate) fn deadline(&mut self, now: u64) -> Vec<String> {
        self.now = now;
        self.twin.handle_deadline(Time::from_ms(now));
        self.drain()
    }

    fn drain(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.twin.poll_output() {
            if let Output::Change(change) = &output {
                self.changes.push(change.clone());
            }
            lines.push(line(&output));
        }
        lines
    }

    pub(crate) fn hello(&mut self, incarnation: u64) -> Vec<String> {
        self.shows(incarnation, Shown::Certificate(None))
    }

    /// A hello of a device that proves itself by this.
    pub(crate) fn shows(&mut self, incarnation: u64, shown: Shown) -> Vec<String> {
        self.input(Input::Hello { connection: ConnectionId(1), incarnation, node: 1, shown })
    }

    /// A message in the current session.
    pub(crate) fn device(&mut self, message: FromDevice) -> Vec<String> {
        let session = self.twin.session().unwrap_or(0);
        self.input(Input::Device { session, message })
    }

    pub(crate) fn report(&mut self, seq: u64, patch: &str) -> Vec<String> {
        self.device(FromDevice::Report { seq, patch: json(patch), observed_at: None })
    }

    pub(crate) fn call(&mut self, key: Option<&str>, request: Request) -> Vec<String> {
        let key = key.map(|key| CallKey::Own(key.into()));
        self.keyed(key, request)
    }

    /// A call with a key that a node made.
    pub(crate) fn attempt(
        &mut self,
        id: u128,
        again: Option<u64>,
        request: Request,
    ) -> Vec<String> {
        let again = again.map(Time::from_ms);
        self.keyed(Some(CallKey::Entry { id, again }), request)
    }

    fn keyed(&mut self, key: Option<CallKey>, request: Request) -> Vec<String> {
        self.input(Input::Call { call: CallId(9), caller: "tests".into(), key, request })
    }

    pub(crate) fn patch(&mut self, section: Section, patch: &str) -> Vec<String> {
        self.call(None, patch_request(section, patch, None))
    }

    pub(crate) fn view(&self) -> View {
        self.twin.view()
    }
}

pub(crate) fn patch_request(section: Section, patch: &str, expected: Option<u64>) -> Request {
    Request::Patch { section, patch: json(patch), whole: false, expected }
}

pub(crate) fn command_request(name: &str, queue: bool, wait: bool) -> Request {
    Request::Command { name: name.into(), payload: Value::Null, deadline_ms: 100, queue, wait }
}

/// One output as a short line.
pub(crate) fn line(output: &Output) -> String {
    match output {
        Output::Change(change) => {
            let mark = match &change.mark {
                pollux_twin::Mark::None => String::new(),
                pollux_twin::Mark::Sequence { seq, rejection: None } => format!(" #{seq}"),
                pollux_twin::Mark::Sequence { seq, rejection: Some(r) } => format!(" #{seq} {r:?}"),
                pollux_twin::Mark::Key(key) => format!(" key {:?}", key.answer),
                pollux_twin::Mark::EntryKey(key) => format!(" entry key {:?}", key.answer),
            };
            format!("change {}{mark}", effect(&change.effect))
        }
        Output::Device { session, message } => format!("device {session}: {}", told(message)),
        Output::Answer { result: Ok(answer), .. } => format!("answer {}", answered(answer)),
        Output::Answer { result: Err(rejection), .. } => format!("answer {rejection:?}"),
    }
}

fn effect(effect: &pollux_twin::Effect) -> String {
    use pollux_twin::Effect::*;
    match effect {
        Patched { section, patch, whole, by, .. } => {
            let verb = if *whole { "replaced" } else { "patched" };
            format!("{section:?} {verb} {patch} by {by}")
        }
        Registered(entry) => {
            let names: Vec<_> = entry.credentials.iter().map(|one| one.name.as_str()).collect();
            format!("registered {} {names:?}", entry.standing.name())
        }
        CommandQueued(command) => format!("queued {} {}", command.id, command.name),
        CommandMoved { id, state } => format!("moved {id} {state:?}"),
        other => format!("{other:?}"),
    }
}

fn told(message: &ToDevice) -> String {
    match message {
        ToDevice::Welcome { last_seq, desired_version, desired, reported_version, .. } => {
            format!(
                "welcome last {last_seq} desired {desired_version} {desired} reported {reported_version}"
            )
        }
        ToDevice::Desired { version, desired } => format!("desired {version} {desired}"),
        ToDevice::Ack { seq, result: Ok(version) } => format!("ack #{seq} {version}"),
        ToDevice::Ack { seq, result: Err(rejection) } => format!("ack #{seq} {rejection:?}"),
        ToDevice::Nack { seq, rejection } => format!("nack #{seq} {rejection:?}"),
        ToDevice::Command(command) => format!("command {} {}", command.id, command.name),
        ToDevice::AskCommand { id } => format!("ask {id}"),
        ToDevice::Refused { rejection, .. } => format!("refused {rejection:?}"),
        ToDevice::Bye { reason } => format!("bye {reason:?}"),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Twin(view) => {
            let unknown = if view.presence.unknown { " unknown" } else { "" };
            format!("twin version {} reported {}{unknown}", view.version, view.reported.value)
        }
        Answer::Written { section, version } => format!("written {section:?} {version}"),
        Answer::Deleted { version } => format!("deleted {version}"),
        Answer::Registration(entry) => {
            let names: Vec<_> = entry.credentials.iter().map(|one| one.name.as_str()).collect();
            format!("entry {} {names:?}", entry.standing.name())
        }
        Answer::Command(command) => format!("command {} {:?}", command.id, command.state),
    }
}

/// Asserts what one input led to.
#[track_caller]
pub(crate) fn check(lines: Vec<String>, expected: &[&str]) {
    assert_eq!(lines, expected);
}
