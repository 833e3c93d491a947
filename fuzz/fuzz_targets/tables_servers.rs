//! What the servers of tables say, and the filters and URLs that are sent to them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_servers(data));
