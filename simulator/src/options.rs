//! What a run is: plain values, checked before anything is started.

use std::time::Duration;

use pollux_twin::{DeviceId, TenantId};

use crate::fault::Fault;
use crate::identities::Identities;
use crate::limits::{DEVICES_MAX, REPORT_BYTES_MAX};
use crate::shape::Shape;

/// What the devices do once they are connected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// All of them together send so many reports a second, evenly.
    PerSecond(f64),
    /// Each sends its next report when the last is acknowledged.
    OneInFlight,
    /// Nothing.
    Idle,
    /// They leave again at once and come back, so many at a time: measures connecting.
    Connects {
        /// Devices connecting at the same time.
        parallel: u32,
    },
    /// Nothing, but services read twins as fast as they are answered, so many at a time.
    Reads {
        /// Calls under way at the same time.
        parallel: u32,
    },
}

/// A run. Start from [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// `host:port` of device endpoints.
    pub targets: Vec<String>,
    /// Name in the nodes' certificates, if not the host that is dialled.
    pub server_name: Option<String>,
    /// `http://host:port` of gRPC endpoints; needed to verify and for what services do.
    pub services: Vec<String>,
    /// Sent as `authorization: Bearer …` with each call.
    pub services_token: Option<String>,
    /// The nodes' CA certificates, as PEM text.
    pub trust_pem: Vec<u8>,
    /// Who the devices are.
    pub identities: Identities,
    /// The tenant of all devices.
    pub tenant: String,
    /// Devices are named `<prefix><number>`.
    pub prefix: String,
    /// How many devices.
    pub devices: u32,
    /// Devices that begin to connect each second; 0: as fast as they are welcomed.
    pub connects_per_s: f64,
    /// What they do.
    pub load: Load,
    /// Bytes of a report's patch as JSON, about.
    pub report_bytes: usize,
    /// Form of the patches.
    pub shape: Shape,
    /// Durable telemetry messages a second, of all devices together.
    pub telemetry_per_s: f64,
    /// Volatile telemetry datagrams a second, of all devices together.
    pub volatile_per_s: f64,
    /// Desired changes a second, by services.
    pub desired_per_s: f64,
    /// Commands a second, by services, each waited for.
    pub commands_per_s: f64,
    /// Devices a second that drop their connection and come back.
    pub drops_per_s: f64,
    /// How long a dropped device stays away.
    pub away: Duration,
    /// Load before the measurement begins.
    pub warm_up: Duration,
    /// The measurement.
    pub duration: Duration,
    /// Decides every choice of the run.
    pub seed: u64,
    /// Check at the end that nothing was lost, doubled or went back.
    pub verify: bool,
    /// Process whose CPU time and memory are measured, if it runs on this machine.
    pub server_pid: Option<u32>,
    /// Keep-alive of the devices' connections; `None`: the SDK's.
    pub keep_alive: Option<Duration>,
    /// Idle timeout of the devices' connections; `None`: the SDK's.
    pub idle_timeout: Option<Duration>,
    /// How long a node may be silent while reports wait for it; `None`: the SDK's.
    pub silence: Option<Duration>,
}

impl Options {
    /// A thousand devices with one report in flight each for ten seconds.
    pub fn new(target: &str, trust_pem: Vec<u8>, identities: Identities) -> Self {
        Self {
            targets: vec![target.to_owned()],
            server_name: None,
            services: Vec::new(),
            services_token: None,
            trust_pem,
            identities,
            tenant: "default".to_owned(),
            prefix: "sim-".to_owned(),
            devices: 1_000,
            connects_per_s: 0.0,
            load: Load::OneInFlight,
            report_bytes: 100,
            shape: Shape::Flat,
            telemetry_per_s: 0.0,
            volatile_per_s: 0.0,
            desired_per_s: 0.0,
            commands_per_s: 0.0,
            drops_per_s: 0.0,
            away: Duration::from_millis(500),
            warm_up: Duration::from_secs(2),
            duration: Duration::from_secs(10),
            seed: 1,
            verify: false,
            server_pid: None,
            keep_alive: None,
            idle_timeout: None,
            silence: None,
        }
    }

    /// Whether services take part.
    pub(crate) fn needs_services(&self) -> bool {
        self.verify
            || self.desired_per_s > 0.0
            || self.commands_per_s > 0.0
            || matches!(self.load, Load::Reads { .. })
    }

    /// The name of a device.
    pub(crate) fn name(&self, index: u32) -> String {
        format!("{}{index}", self.prefix)
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let bad = |option, what: String| Err(Fault::Options { option, what });
        if self.targets.is_empty() {
            return bad("targets", "none given; at least one host:port is needed".to_owned());
        }
        if !(1..=DEVICES_MAX).contains(&self.devices) {
            let what = format!("{} given; 1 to {DEVICES_MAX} are allowed", self.devices);
            return bad("devices", what);
        }
        if self.report_bytes > REPORT_BYTES_MAX {
            let what = format!("{} given; at most {REPORT_BYTES_MAX} go", self.report_bytes);
            return bad("report_bytes", what);
        }
        let rates = [
            ("connects_per_s", self.connects_per_s),
            ("telemetry_per_s", self.telemetry_per_s),
            ("volatile_per_s", self.volatile_per_s),
            ("desired_per_s", self.desired_per_s),
            ("commands_per_s", self.commands_per_s),
            ("drops_per_s", self.drops_per_s),
            ("rate", if let Load::PerSecond(rate) = self.load { rate } else { 0.0 }),
        ];
        for (option, rate) in rates {
            if !(0.0..=1e7).contains(&rate) {
                return bad(option, format!("{rate} given; 0 to 10,000,000 a second are allowed"));
            }
        }
        if let Err(error) = DeviceId::parse(&self.name(self.devices)) {
            return bad("prefix", error.to_string());
        }
        if let Err(error) = TenantId::parse(&self.tenant) {
            return bad("tenant", error.to_string());
        }
        if self.needs_services() && self.services.is_empty() {
            let what = "none given; to verify, to read and to call takes a gRPC address".to_owned();
            return bad("services", what);
        }
        if self.duration.is_zero() {
            return bad("duration", "0 given; something must be measured".to_owned());
        }
        Ok(())
    }
}
