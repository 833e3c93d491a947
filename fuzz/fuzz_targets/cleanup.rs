//! Messages through cleanup, in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| intake::cleanup::fuzz_cleanup(data));
