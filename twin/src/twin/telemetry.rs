//! Latest telemetry values: logged when they come numbered, an overlay when as datagrams.

use alloc::string::String;

use super::typed::Typed;
use super::{Latest, Twin, check};
use crate::input::FromDevice;
use crate::limits::{Limits, TELEMETRY_KEYS_MAX, TELEMETRY_VALUE_BYTES_MAX};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::types::Part;
use crate::value::Value;

impl Twin {
    /// A datagram: kept in memory only, never acknowledged (architecture 4).
    pub(super) fn volatile_telemetry(
        &mut self,
        now: Time,
        terms: (&Limits, Option<&Typed>),
        session: u64,
        message: FromDevice,
    ) -> Result<(), Rejection> {
        let FromDevice::Telemetry { values, observed_at, .. } = message else { return Ok(()) };
        self.check_telemetry(terms, &values)?;
        for (name, value) in values {
            self.local.volatile.insert(name, (session, Latest { value, at: now, observed_at }));
        }
        Ok(())
    }

    pub(super) fn check_telemetry(
        &self,
        (limits, typed): (&Limits, Option<&Typed>),
        values: &[(String, Value)],
    ) -> Result<(), Rejection> {
        let logged = &self.document.telemetry;
        let volatile = &self.local.volatile;
        let mut count = logged.len() + volatile.keys().filter(|k| !logged.contains_key(*k)).count();
        for (i, (name, value)) in values.iter().enumerate() {
            check::key(limits, name)?;
            if *value == Value::Null {
                let reason = alloc::format!("telemetry `{name}` is null; send a value");
                return Err(Rejection::Invalid { reason });
            }
            check::value(limits, value)?;
            check::bytes(value.json_len(), TELEMETRY_VALUE_BYTES_MAX)?;
            let known = logged.contains_key(name)
                || volatile.contains_key(name)
                || values[..i].iter().any(|(earlier, _)| earlier == name);
            count += usize::from(!known);
            check::count("telemetry names", count, TELEMETRY_KEYS_MAX)?;
        }
        let message = || Value::Object(values.iter().cloned().collect());
        typed.map_or(Ok(()), |typed| typed.check(Part::Telemetry, message))
    }
}
