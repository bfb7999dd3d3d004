//! Images of twins, with a checksum that fits; see `pollux_fuzz::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::image(data));
