//! All simulated devices: connecting them, pacing what they do, letting them go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use pollux_device::{Counts, Device, Endpoint, Options as DeviceOptions, Transport};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::{Clock, us};
use crate::fault::Fault;
use crate::identities::Register;
use crate::limits::{
    COME_AND_GO_MS, CONNECT_MS, CONNECTING_MAX, DRAIN_MS, PACE_MS, QUEUE_LEN_MAX,
    SOCKET_DEVICES_MAX,
};
use crate::options::{Load, Options};
use crate::shape::mix;
use crate::tally::{Kind, Tally};
use crate::timeline::Timeline;
use crate::unit::Unit;

/// What all devices and services of a run share.
pub(crate) struct Fleet {
    pub(crate) options: Options,
    pub(crate) tally: Tally,
    pub(crate) clock: Clock,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) closed_loop: bool,
    pub(crate) volatile_sent: AtomicU64,
    running: AtomicBool,
    register: Register,
    addresses: Arc<[Arc<str>]>,
    /// Sockets, each shared by some of the devices.
    endpoints: Vec<Endpoint>,
    /// Makes the numbers of this run's incarnations and keys differ from another run's.
    pub(crate) nonce: u64,
}

impl Fleet {
    pub(crate) fn new(options: Options) -> Result<Arc<Self>, Fault> {
        Self::with(options, None)
    }

    /// A fleet that tells what happens to it.
    pub(crate) fn with(options: Options, timeline: Option<Timeline>) -> Result<Arc<Self>, Fault> {
        if let Some(timeline) = &timeline {
            timeline.begins(options.devices);
        }
        let mut transport = Transport::default();
        if options.keep_alive.is_some() {
            transport.keep_alive = options.keep_alive;
        }
        if let Some(idle_timeout) = options.idle_timeout {
            transport.idle_timeout = idle_timeout;
        }
        let shown = match options.load {
            Load::Connects { .. } => Kind::Connect,
            Load::Reads { .. } => Kind::Read,
            Load::PerSecond(_) | Load::OneInFlight | Load::Idle => Kind::Report,
        };
        Ok(Arc::new(Self {
            tally: Tally::new(shown),
            clock: timeline.as_ref().map_or_else(Clock::start, Timeline::clock),
            timeline,
            closed_loop: options.load == Load::OneInFlight,
            volatile_sent: AtomicU64::new(0),
            running: AtomicBool::new(false),
            register: Register::new(&options.identities, &options.trust_pem)?,
            addresses: options.targets.iter().map(|target| Arc::from(target.as_str())).collect(),
            endpoints: endpoints(options.devices, &transport)?,
            nonce: rand::random(),
            options,
        }))
    }

    /// Whether the load goes on.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// The load begins.
    pub(crate) fn start(&self) {
        self.running.store(true, Ordering::Release);
    }

    /// Ends the load: nothing new is sent.
    pub(crate) fn stop(&self) {
        self.running.store(false, Ordering::Release);
    }

    /// The socket of a device.
    fn endpoint(&self, index: u32) -> &Endpoint {
        &self.endpoints[index as usize % self.endpoints.len()]
    }

    pub(crate) fn device(&self, index: u32) -> Result<Device, Fault> {
        let name = self.options.name(index);
        let identity = self.register.identity(&self.options.tenant, &name)?;
        let mut options = DeviceOptions::new("", &name, identity)
            .addresses(Arc::clone(&self.addresses))
            .tenant(&self.options.tenant)
            .queue(QUEUE_LEN_MAX, usize::MAX)
            .seed(mix(self.nonce ^ u64::from(index)));
        if let Some(name) = &self.options.server_name {
            options = options.server_name(name);
        }
        if let Some(silence) = self.options.silence {
            options = options.silence(silence);
        }
        if self.options.keep_alive.is_some() {
            options = options.ping(self.options.keep_alive);
        }
        Ok(Device::start(self.endpoint(index), options)?)
    }

    /// A bare connection under a device's name, for what runs are compared with.
    pub(crate) async fn dial(&self, index: u32) -> Result<quinn::Connection, String> {
        let Options { tenant, server_name, targets, .. } = &self.options;
        let name = self.options.name(index);
        let identity = self.register.identity(tenant, &name).map_err(|error| error.to_string())?;
        let target = &targets[index as usize % targets.len()];
        self.endpoint(index).connect(target, server_name.as_deref(), &identity).await
    }

    /// Connects all devices, at the rate asked for; returns when each has its session.
    pub(crate) async fn connect(self: &Arc<Self>) -> Result<Vec<Arc<Unit>>, Fault> {
        let Options { devices, connects_per_s, .. } = self.options;
        let room = Arc::new(Semaphore::new(CONNECTING_MAX));
        let spread = if connects_per_s > 0.0 { f64::from(devices) / connects_per_s } else { 0.0 };
        let began = self.clock.now();
        let until = began
            + Duration::from_secs_f64(spread)
            + Duration::from_millis(CONNECT_MS)
            + Duration::from_millis(u64::from(devices));
        let mut connecting = JoinSet::new();
        let mut units: Vec<Arc<Unit>> = Vec::new();
        for index in 0..devices {
            if connects_per_s > 0.0 {
                let due = Duration::from_secs_f64(f64::from(index) / connects_per_s);
                tokio::time::sleep((began + due).saturating_sub(self.clock.now())).await;
            }
            let permit = Arc::clone(&room).acquire_owned().await;
            let unit = Unit::new(index, self.device(index)?, Arc::clone(self));
            let (fleet, began) = (Arc::clone(self), self.clock.now());
            connecting.spawn(async move {
                let left = until.saturating_sub(fleet.clock.now());
                let online = tokio::time::timeout(left, unit.device.online()).await;
                drop(permit);
                match online {
                    Ok(Ok(online)) => {
                        fleet.tally.done(Kind::Connect, us(began, fleet.clock.now()));
                        fleet.tally.connected();
                        unit.welcomed(online.reported_version);
                        Ok(unit)
                    }
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!(
                        "no session in time; do devices reach a node at {}?",
                        fleet.options.targets.join(", ")
                    )),
                }
            });
            while let Some(joined) = connecting.try_join_next() {
                units.push(connected(joined, devices, units.len())?);
            }
        }
        while let Some(joined) = connecting.join_next().await {
            units.push(connected(joined, devices, units.len())?);
        }
        units.sort_by_key(|unit| unit.index);
        Ok(units)
    }

    /// Begins the load; what it returns goes on until [`Fleet::stop`].
    pub(crate) fn load(self: &Arc<Self>, units: &Arc<[Arc<Unit>]>) -> JoinSet<()> {
        self.start();
        let mut paces = JoinSet::new();
        let options = &self.options;
        match options.load {
            Load::OneInFlight => {
                for unit in units.iter() {
                    unit.report(self.clock.now());
                }
            }
            Load::PerSecond(rate) => {
                let (units, step) = (Arc::clone(units), AtomicU32::new(0));
                paces.spawn(Arc::clone(self).pace(rate, move |_, at| {
                    let turn = step.fetch_add(1, Ordering::Relaxed) as usize;
                    units[turn % units.len()].report(at);
                }));
            }
            Load::Connects { parallel } => {
                let next = Arc::new(AtomicU32::new(0));
                for _ in 0..parallel {
                    paces.spawn(Arc::clone(self).come_and_go(Arc::clone(&next)));
                }
            }
            // So that there is something to read.
            Load::Reads { .. } => units.iter().for_each(|unit| unit.report(self.clock.now())),
            Load::Idle => {}
        }
        let all = Arc::clone(units);
        paces.spawn(Arc::clone(self).pace(options.telemetry_per_s, move |n, at| {
            all[at_random(&all, n)].telemetry(n, at);
        }));
        let (all, fleet) = (Arc::clone(units), Arc::clone(self));
        paces.spawn(Arc::clone(self).pace(options.volatile_per_s, move |n, _| {
            if all[at_random(&all, n)].volatile(n) {
                fleet.volatile_sent.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let all = Arc::clone(units);
        let chance = std::sync::Mutex::new(ChaCha8Rng::seed_from_u64(options.seed ^ 0x6472_6f70));
        paces.spawn(Arc::clone(self).pace(options.drops_per_s, move |_, _| {
            if let Ok(mut chance) = chance.lock() {
                all[chance.random_range(0..all.len())].leave();
            }
        }));
        paces
    }

    /// Does something `rate` times a second, evenly, until the load is stopped.
    async fn pace(
        self: Arc<Self>,
        rate: f64,
        mut step: impl FnMut(u64, Duration) + Send + 'static,
    ) {
        if rate <= 0.0 {
            return;
        }
        let start = self.clock.now();
        let mut n = 0;
        while self.is_running() {
            let due = start + Duration::from_secs_f64(n as f64 / rate);
            let now = self.clock.now();
            if due > now {
                tokio::time::sleep((due - now).max(Duration::from_millis(PACE_MS))).await;
                continue;
            }
            // Timed from when it was due: what waits behind a stall counts too.
            step(n, due);
            n += 1;
        }
    }

    /// Connects one device after the other and lets each go again.
    async fn come_and_go(self: Arc<Self>, next: Arc<AtomicU32>) {
        while self.is_running() {
            let index = next.fetch_add(1, Ordering::Relaxed) % self.options.devices;
            let began = self.clock.now();
            match self.device(index) {
                Ok(device) => {
                    let patience = Duration::from_millis(COME_AND_GO_MS);
                    match tokio::time::timeout(patience, device.online()).await {
                        Ok(Ok(_)) => self.tally.done(Kind::Connect, us(began, self.clock.now())),
                        Ok(Err(_)) | Err(_) => self.tally.error("connect_failed"),
                    }
                    device.close();
                }
                Err(_) => self.tally.error("connect_failed"),
            }
        }
    }

    /// Waits until all is acknowledged; how many messages never were.
    pub(crate) async fn drain(&self, units: &[Arc<Unit>]) -> u64 {
        let until = self.clock.now() + Duration::from_millis(DRAIN_MS);
        let mut left = 0;
        for unit in units {
            let time = until.saturating_sub(self.clock.now());
            if !matches!(tokio::time::timeout(time, unit.device.flushed()).await, Ok(Ok(()))) {
                left += unit.device.queue_len() as u64;
            }
        }
        left
    }

    /// Closes all devices.
    pub(crate) async fn close(&self, units: &[Arc<Unit>]) -> Counts {
        let mut counts = Counts::default();
        for unit in units {
            let own = unit.device.counts();
            counts.sessions += own.sessions;
            counts.losses += own.losses;
            counts.acked += own.acked;
            counts.rejected += own.rejected;
            counts.dials += own.dials;
            counts.redirects += own.redirects;
            counts.moves += own.moves;
            counts.silences += own.silences;
            unit.device.close();
        }
        let patience = Duration::from_secs(3);
        let idle = join_all(self.endpoints.iter().map(Endpoint::wait_idle));
        let _late = tokio::time::timeout(patience, idle).await;
        counts
    }
}

/// Sockets for so many devices: what one takes in, one task reads.
fn endpoints(devices: u32, transport: &Transport) -> Result<Vec<Endpoint>, Fault> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let count = devices.div_ceil(SOCKET_DEVICES_MAX).max(1);
    (0..count).map(|_| Ok(Endpoint::bind(any, transport)?)).collect()
}

type Joined = Result<Result<Arc<Unit>, String>, tokio::task::JoinError>;

fn connected(joined: Joined, devices: u32, connected: usize) -> Result<Arc<Unit>, Fault> {
    let trouble = match joined {
        Ok(Ok(unit)) => return Ok(unit),
        Ok(Err(trouble)) => trouble,
        Err(error) => error.to_string(),
    };
    let connected = u32::try_from(connected).unwrap_or(u32::MAX);
    Err(Fault::Connect { connected, devices, trouble })
}

fn at_random(units: &[Arc<Unit>], n: u64) -> usize {
    usize::try_from(mix(n) % units.len() as u64).expect("below a length")
}
