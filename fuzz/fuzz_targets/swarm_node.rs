//! See `alm::fuzz::swarm_node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::fuzz::swarm_node(bytes));
