//! The keys of what twins may hold, how they are kept, and what of them is indexed.

use std::num::NonZeroU64;

use pollux_query::Expression;
use pollux_twin::index::IndexPath;
use pollux_twin::limits::{INDEXES_MAX, Limits};

use super::super::checked::TwinsConfig;
use super::{Checks, DAY_MS, GIB, KIB, MIB, Written};

impl Checks<'_> {
    pub(super) fn limits(&mut self, config: &Written) -> Limits {
        let limits = &config.limits;
        let admission = self.admission(config);
        let restorable_ms =
            self.range("devices.restorable_ms", config.devices.restorable_ms, 0, 366 * DAY_MS);
        Limits {
            admission,
            restorable_ms: NonZeroU64::new(restorable_ms),
            section_bytes_max: self.size(
                "limits.section_bytes_max",
                limits.section_bytes_max,
                KIB,
                MIB,
            ),
            depth_max: self.size("limits.depth_max", limits.depth_max, 1, 32),
            key_bytes_max: self.size("limits.key_bytes_max", limits.key_bytes_max, 8, 4 * KIB),
            object_keys_max: self.size(
                "limits.object_keys_max",
                limits.object_keys_max,
                8,
                64 * KIB,
            ),
            command_bytes_max: self.size(
                "limits.command_bytes_max",
                limits.command_bytes_max,
                256,
                MIB,
            ),
        }
    }

    pub(super) fn twins(&mut self, config: &Written) -> TwinsConfig {
        let twins = &config.twins;
        TwinsConfig {
            idle: self.ms("twins.idle_ms", twins.idle_ms, 1, 30 * DAY_MS),
            hot_bytes: self.size("twins.hot_bytes", twins.hot_bytes, 0, 1024 * GIB),
            gate_bytes: self.size("twins.gate_bytes", twins.gate_bytes, MIB, 16 * GIB),
        }
    }

    pub(super) fn indexes(&mut self, config: &Written) -> Vec<IndexPath> {
        const KEY: &str = "query.indexes";
        let texts = &config.query.indexes;
        if texts.len() > INDEXES_MAX {
            let right = format!("it takes at most {INDEXES_MAX}");
            self.refuse(KEY, format!("a list of {}", texts.len()), right);
        }
        let mut paths: Vec<IndexPath> = Vec::new();
        for text in texts {
            match Expression::index_path(text) {
                Ok(path) if paths.contains(&path) => {
                    self.refuse(KEY, format!("{text:?}"), "it is there twice: name it once");
                }
                Ok(path) => paths.push(path),
                Err(error) => {
                    let right = format!(
                        "{error}; it takes paths such as tags.site, desired.mode or reported.firmware"
                    );
                    self.refuse(KEY, format!("{text:?}"), right);
                }
            }
        }
        paths
    }
}
