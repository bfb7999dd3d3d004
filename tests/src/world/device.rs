//! Devices: the SDK's session machine with an application on top. Some keep their queue and their
//! executed commands over a restart, some lose them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pollux_device::Message;
use pollux_device::session::{
    Backoff, Event as Told, Input, Loss, Output, Session, SessionOptions,
};
use pollux_device::store::{CommandStore, QueueStore};
use pollux_proto::device::{Decoder, NodeFrame};
use pollux_twin::value::Object;
use pollux_twin::{TwinKey, Value};

use super::World;
use super::host::{address, dialled};
use super::judge::Seen;
use super::sim::Event;
use super::stores::Memory;

/// Bytes handed to a connection at once.
const SEND_BYTES: usize = 4 * 1024;

/// One device.
pub(super) struct Device {
    pub(super) key: TwinKey,
    /// Goes up with each start.
    pub(super) life: u64,
    session: Option<Session<u64>>,
    /// Its connections, by attempt.
    conns: BTreeMap<u64, (u64, Decoder<NodeFrame>)>,
    memory: Option<Arc<Memory>>,
    /// The last report made.
    pub(super) reports: u64,
    /// How many were answered.
    pub(super) acknowledged: u64,
    /// What its application last did not know about its session.
    pub(super) online: Option<u64>,
    /// Switched off for good.
    off: bool,
    /// When its timer goes off.
    armed: u64,
}

impl Device {
    pub(super) fn new(number: usize) -> Self {
        let key = TwinKey::parse(&format!("d{number}")).expect("a good id");
        Self {
            key,
            life: 0,
            session: None,
            conns: BTreeMap::new(),
            memory: number.is_multiple_of(2).then(Arc::default),
            reports: 0,
            acknowledged: 0,
            online: None,
            off: false,
            armed: 0,
        }
    }

    /// What keeps it from being at rest.
    pub(super) fn unrest(&self) -> Option<String> {
        let key = &self.key;
        match &self.session {
            None if self.off => None,
            None => Some(format!("device {key} is starting")),
            Some(session) => match (session.epoch(), session.queue_len()) {
                (None, _) => Some(format!("device {key} is offline")),
                (_, 0) => None,
                (_, waiting) => Some(format!("device {key} has {waiting} messages unanswered")),
            },
        }
    }
}

impl World {
    /// A device's application does something, and will do more.
    pub(super) fn device_acts(&mut self, device: usize) {
        let pause = self.sim.chance.between(10, 250);
        if self.calm {
            return;
        }
        self.sim.after(pause, Event::DeviceActs { device });
        match self.sim.chance.below(40) {
            0 => self.device_restarts(device),
            1 => {
                let away_ms = self.sim.chance.between(1, 3_000);
                self.tell_device(device, Input::Drop { away_ms });
            }
            2 => self.tell_device(device, Input::Get),
            3..8 => {
                let value = Value::from(self.sim.chance.below(100));
                let values = vec![("load".to_owned(), value)];
                self.enqueue(device, Message::Telemetry { values, observed_at: None }, 0);
            }
            _ => self.report(device),
        }
    }

    fn report(&mut self, device: usize) {
        let id = self.devices[device].reports + 1;
        let mut members = Object::new();
        members.insert("id".into(), Value::from(id));
        let shape = self.sim.chance.below(12);
        match shape {
            0 => members.insert("pad".into(), Value::from("x".repeat(3_000))),
            1 => members.insert(String::new(), Value::from(id)),
            2 => members.insert("mode".into(), Value::from("eco")),
            3 => members.insert("mode".into(), Value::Null),
            slot => members.insert(format!("slot{}", slot % 4), Value::from(id)),
        };
        let message = Message::Report { patch: Value::Object(members), observed_at: None };
        if self.enqueue(device, message, id) {
            self.devices[device].reports = id;
            let Device { key, memory, .. } = &self.devices[device];
            let (keeps, good) = (memory.is_some(), shape > 1);
            self.judge.see(&Seen::Reported { device: key, id, keeps, good });
        }
    }

    fn enqueue(&mut self, device: usize, message: Message, token: u64) -> bool {
        let Some(session) = &mut self.devices[device].session else { return false };
        let queued = session.enqueue(message, token).is_ok();
        self.drive_device(device);
        queued
    }

    /// The device loses its power and starts again a little later.
    pub(super) fn device_restarts(&mut self, device: usize) {
        let pause = self.sim.chance.between(1, 2_000);
        self.power_off(device);
        let life = self.devices[device].life;
        if !self.devices[device].off {
            self.sim.after(pause, Event::DeviceStarts { device, life });
        }
    }

    /// The device is switched off for good.
    pub(super) fn device_retires(&mut self, device: usize) {
        self.devices[device].off = true;
        self.power_off(device);
    }

    fn power_off(&mut self, device: usize) {
        let device = &mut self.devices[device];
        device.life += 1;
        device.session = None;
        device.online = None;
        for (conn, _) in core::mem::take(&mut device.conns).into_values() {
            self.net.breaks(&mut self.sim, conn, 1_500);
        }
    }

    /// The device starts, with what it kept.
    pub(super) fn device_starts(&mut self, device: usize, life: u64) {
        let now = self.device_now();
        let seed = self.sim.chance.next();
        let Some(this) = self.devices.get_mut(device).filter(|this| this.life == life) else {
            return;
        };
        // Each begins with a node of its own.
        let mut addresses: Vec<Arc<str>> =
            (0..self.hosts.len()).map(|host| Arc::from(address(host))).collect();
        let first = device % addresses.len();
        addresses.rotate_left(first);
        let addresses = Arc::from(addresses);
        let mut options = SessionOptions::new("default", this.key.device(), addresses, seed);
        options.backoff = Backoff { first_ms: 50, base_ms: 200, max_ms: 2_000 };
        let mut kept = None;
        if let Some(memory) = &this.memory {
            kept = memory.load().expect("memory is read without fail");
            options.queue_store = Some(Arc::clone(memory) as Arc<dyn QueueStore>);
            options.command_store = Some(Arc::clone(memory) as Arc<dyn CommandStore>);
        }
        this.session = Some(Session::new(now, Arc::new(options), kept));
        self.drive_device(device);
    }

    /// The device's connection stands.
    pub(super) fn established(&mut self, conn: u64) {
        if let Some((device, attempt)) = self.device_of(conn) {
            let round_trip = Duration::from_millis(1);
            self.tell_device(device, Input::Connected { attempt, round_trip });
        }
    }

    /// Bytes from the node.
    pub(super) fn device_reads(&mut self, conn: u64, bytes: &[u8]) {
        if !self.net.stands(conn) {
            return;
        }
        let Some((device, attempt)) = self.device_of(conn) else { return };
        let mut frames = Vec::new();
        if let Some((_, decoder)) = self.devices[device].conns.get_mut(&attempt) {
            decoder.push(bytes);
            while let Some(frame) = decoder.poll().expect("the node sends good frames") {
                frames.push(frame);
            }
        }
        for frame in frames {
            self.tell_device(device, Input::Frame { attempt, frame });
        }
    }

    /// The device's connection is gone.
    pub(super) fn device_loses(&mut self, conn: u64) {
        self.net.cut(conn);
        if let Some((device, attempt)) = self.device_of(conn) {
            self.devices[device].conns.remove(&attempt);
            let reason = Arc::from("the network broke");
            self.tell_device(device, Input::Lost { attempt, loss: Loss::Broken, reason });
        }
    }

    /// The application finished a command.
    pub(super) fn device_finishes(&mut self, device: usize, life: u64, command: u64) {
        if self.devices[device].life != life {
            return;
        }
        let key = &self.devices[device].key;
        self.judge.see(&Seen::Executed { device: key, id: command });
        let outcome = match self.sim.chance.below(4) {
            0 => Err(format!("failed-{command}")),
            _ => Ok(Value::from(command)),
        };
        self.tell_device(device, Input::Finished { id: command, outcome });
    }

    pub(super) fn device_due(&mut self, device: usize, life: u64) {
        let now = self.device_now();
        let Some(this) = self.devices.get_mut(device).filter(|this| this.life == life) else {
            return;
        };
        if this.armed != self.sim.now {
            return;
        }
        this.armed = 0;
        if let Some(session) = &mut this.session {
            session.handle_deadline(now);
        }
        self.drive_device(device);
    }

    /// The connection's device and attempt, if that life of the device still has it.
    fn device_of(&self, conn: u64) -> Option<(usize, u64)> {
        let conn_of = self.net.conn(conn);
        let device = &self.devices[conn_of.device];
        let known = device.life == conn_of.life && device.conns.contains_key(&conn_of.attempt);
        known.then_some((conn_of.device, conn_of.attempt))
    }

    fn tell_device(&mut self, device: usize, input: Input) {
        let now = self.device_now();
        if let Some(session) = &mut self.devices[device].session {
            session.handle(now, input);
        }
        self.drive_device(device);
    }

    fn device_now(&self) -> Duration {
        Duration::from_millis(self.sim.now)
    }

    /// Carries out what the machine says, sends what it has, arms its timer.
    fn drive_device(&mut self, device: usize) {
        loop {
            let this = &mut self.devices[device];
            let Some(session) = &mut this.session else { return };
            match session.poll_output() {
                Some(Output::Dial { attempt, address }) => {
                    let dial = (device, this.life, attempt);
                    let conn = self.net.dial(&mut self.sim, dial, dialled(&address));
                    this.conns.insert(attempt, (conn, Decoder::new()));
                }
                Some(Output::Hangup { attempt }) => {
                    if let Some((conn, _)) = this.conns.remove(&attempt) {
                        self.hangup(conn);
                    }
                }
                Some(Output::Event(event)) => self.device_told(device, event),
                None => break,
            }
        }
        self.transmit(device);
        let this = &mut self.devices[device];
        if let Some(due) = this.session.as_ref().and_then(Session::next_deadline) {
            // A little late, as timers are; the same instant again would not move time.
            let due = u64::try_from(due.as_millis()).expect("a short run").max(self.sim.now) + 1;
            if this.armed != due {
                this.armed = due;
                self.sim.at(due, Event::DeviceDue { device, life: this.life });
            }
        }
    }

    /// Closes a connection; what was sent before may arrive or not.
    fn hangup(&mut self, conn: u64) {
        if self.sim.chance.one_in(2) {
            self.net.up(&mut self.sim, conn, Event::NodeLoses { conn });
        } else {
            self.net.breaks(&mut self.sim, conn, 500);
        }
    }

    fn transmit(&mut self, device: usize) {
        let now = self.device_now();
        let this = &mut self.devices[device];
        let Some(session) = &mut this.session else { return };
        for (attempt, (conn, _)) in &this.conns {
            let (conn, mut bytes) = (*conn, Vec::new());
            session.poll_transmit(now, *attempt, &mut bytes, SEND_BYTES);
            if !bytes.is_empty() {
                self.net.up(&mut self.sim, conn, Event::Up { conn, bytes });
            }
        }
    }

    fn device_told(&mut self, device: usize, event: Told<u64>) {
        let this = &mut self.devices[device];
        let (key, life) = (this.key.clone(), this.life);
        match event {
            Told::Online { session, .. } => this.online = Some(session),
            Told::Offline { .. } => this.online = None,
            Told::Rehomed(_) => {}
            Told::Desired { version, desired } => {
                let desired = &desired;
                self.judge.see(&Seen::Shown { device: &key, life, version, desired });
                if self.sim.chance.one_in(2) {
                    let refused = self.sim.chance.one_in(4).then(|| "too bright".to_owned());
                    let message = Message::DesiredAck { version, refused };
                    if let Some(session) = &mut self.devices[device].session {
                        let _full_or_over = session.enqueue(message, 0);
                    }
                }
            }
            Told::Command { id, .. } => {
                self.judge.see(&Seen::Commanded { device: &key, id });
                if !self.sim.chance.one_in(6) {
                    let takes = self.sim.chance.between(1, 800);
                    let command = id;
                    self.sim.after(takes, Event::DeviceFinishes { device, life, command });
                }
            }
            Told::Answered { token, result } => {
                this.acknowledged += 1;
                if token > 0 {
                    let seen = Seen::Acknowledged { device: &key, id: token, result: &result };
                    self.judge.see(&seen);
                }
            }
            Told::Ended { .. } => self.device_restarts(device),
        }
    }
}
