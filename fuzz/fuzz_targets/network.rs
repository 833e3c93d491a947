//! Networks: addresses and CIDR ranges.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::network::fuzz_network(data));
