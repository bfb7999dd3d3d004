//! JSON text; see `pollux_fuzz::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::json(data));
