//! Frames of a stream, in any cuts; see `pollux_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::frames(data));
