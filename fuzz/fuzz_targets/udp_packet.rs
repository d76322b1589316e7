//! See `alm::fuzz::udp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::udp_packet(bytes));
