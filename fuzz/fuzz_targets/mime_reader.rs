//! The parts of a body, in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::mime::fuzz_mime_reader(data));
