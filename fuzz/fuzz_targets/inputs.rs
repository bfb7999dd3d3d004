//! A twin, by a list of inputs; see `pollux_fuzz::inputs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::inputs(data));
