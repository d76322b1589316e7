//! See `alm::fuzz::media_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::media_packet(bytes));
