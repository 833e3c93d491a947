//! Content after DATA, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smtp::fuzz::fuzz_data_framing(data));
