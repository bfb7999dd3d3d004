//! Entries of a shard's log; see `pollux_fuzz::entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::entries(data));
