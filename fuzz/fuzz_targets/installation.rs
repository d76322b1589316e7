//! See `alm::fuzz::installation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::installation(bytes));
