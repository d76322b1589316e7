//! See `alm::fuzz::session_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::session_record(bytes));
