//! See `alm::fuzz::control_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::control_message(bytes));
