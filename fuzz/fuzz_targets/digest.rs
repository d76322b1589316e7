//! See `alm::fuzz::digest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::digest(bytes));
