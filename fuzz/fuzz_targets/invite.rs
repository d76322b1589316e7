//! See `alm::fuzz::invite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::invite(bytes));
