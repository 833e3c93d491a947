//! A whole session, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smtp::fuzz::fuzz_server_session(data));
