//! Destinations as transport tables and `relayhost` name them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net::fuzz_nexthop(data));
