//! See `alm::fuzz::swarm_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::swarm_message(bytes));
