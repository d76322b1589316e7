//! See `alm::fuzz::media_repair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::media_repair(bytes));
