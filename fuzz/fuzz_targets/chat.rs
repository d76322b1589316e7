//! See `alm::fuzz::chat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::chat(bytes));
