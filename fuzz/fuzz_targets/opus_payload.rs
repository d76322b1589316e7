//! See `alm::fuzz::opus_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::opus_payload(bytes));
