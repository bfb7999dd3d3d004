//! The keys of the endpoint for devices.

use std::path::PathBuf;

use pollux_twin::limits::Admission;

use super::super::checked::DevicesConfig;
use super::{Checks, DAY_MS, Written};

impl Checks<'_> {
    pub(super) fn devices(&mut self, config: &Written) -> DevicesConfig {
        let devices = &config.devices;
        let idle_timeout =
            self.ms("devices.idle_timeout_ms", devices.idle_timeout_ms, 1_000, DAY_MS);
        let keep_alive = match devices.keep_alive_ms {
            0 => None,
            ms => Some(self.ms("devices.keep_alive_ms", ms, 100, DAY_MS)),
        };
        if keep_alive.is_some_and(|keep_alive| keep_alive >= idle_timeout) {
            let right = "it must be less than devices.idle_timeout_ms, best a third of it; \
                         0 leaves it to the device";
            self.refuse("devices.keep_alive_ms", devices.keep_alive_ms, right);
        }
        if devices.rate_burst < devices.rate_per_s {
            let right = format!("it must be at least devices.rate_per_s = {}", devices.rate_per_s);
            self.refuse("devices.rate_burst", devices.rate_burst, right);
        }
        for name in &devices.names {
            if name.is_empty() || name.len() > 253 || !name.bytes().all(|b| b.is_ascii_graphic()) {
                let right = "it takes DNS names and IP addresses";
                self.refuse("devices.names", format!("{name:?}"), right);
            }
        }
        if !devices.ca.is_empty() {
            self.readable("devices.ca", &devices.ca);
        }
        DevicesConfig {
            ca: (!devices.ca.is_empty()).then(|| PathBuf::from(&devices.ca)),
            tls: self.pair("devices", &devices.cert, &devices.key),
            names: devices.names.clone(),
            keep_alive,
            idle_timeout,
            rate_per_s: self.count("devices.rate_per_s", devices.rate_per_s, 1, 1_000_000),
            rate_burst: self.count("devices.rate_burst", devices.rate_burst, 1, u32::MAX),
            connections_max: self.count(
                "devices.connections_max",
                devices.connections_max,
                1,
                10_000_000,
            ),
            handshakes_max: self.count("devices.handshakes_max", devices.handshakes_max, 1, 65_536),
            relay: devices.relay,
            tokens: devices.tokens,
        }
    }

    pub(super) fn admission(&mut self, config: &Written) -> Admission {
        let given = &config.devices.admission;
        Admission::named(given).unwrap_or_else(|| {
            let right = "it takes \"proven\" or \"registered\"";
            self.refuse("devices.admission", format!("{given:?}"), right);
            Admission::default()
        })
    }
}
