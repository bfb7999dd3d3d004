//! What comes from other nodes, and from those that want to join; see `pollux_fuzz::peer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::peer(data));
