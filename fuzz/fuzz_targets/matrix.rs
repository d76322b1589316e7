//! See `alm::fuzz::matrix`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::matrix(bytes));
