//! Content after BDAT, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smtp::fuzz::fuzz_chunk_framing(data));
