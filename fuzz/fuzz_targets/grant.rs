//! See `alm::fuzz::grant`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::grant(bytes));
